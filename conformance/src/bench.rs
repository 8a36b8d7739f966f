//! What a test stands on: a host of its own, containers, and calls of the plugin, which are kept as evidence.

use std::cell::{Cell, RefCell};
use std::fs;
use std::os::unix::fs::symlink;
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use testbed::{Cni, Node, Outcome, Pod};

use crate::case::Case;
use crate::ipam;
use crate::profile::{FIRST_NUMBER, Kind, Profile, Variant, put_number};
use crate::requirement::{Judge, Stop, failed};

/// A plugin that has not ended by then hangs.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// A variable of the environment with a number: the kit waits so many times as long, for slow machines.
pub const PATIENCE_FACTOR: &str = "CNI_CONFORMANCE_PATIENCE";
/// The name of the network that the plugin is configured for.
pub const NETWORK: &str = "judged";
/// How many calls a failure shows.
const CALLS_SHOWN: usize = 8;

/// A host of the test's own, with the plugin under test.
#[derive(Debug)]
pub struct Bench {
    /// What is tested, in which version of the specification.
    pub case: Case,
    /// How the plugin is tested.
    pub profile: Profile,
    /// The host. Commands run in its namespaces, and so do the plugins.
    pub host: Node,
    /// What a variant's scenario does for each container beyond the profile.
    container_setup: RefCell<Vec<String>>,
    /// How many containers there were.
    containers: Cell<u32>,
    calls: RefCell<Vec<Called>>,
    notes: RefCell<Vec<String>>,
}

/// A container: a network namespace, and the id it has for the plugin.
#[derive(Debug, Clone)]
pub struct Container {
    /// The namespace.
    pub pod: Pod,
    /// `CNI_CONTAINERID`.
    pub id: String,
    /// For a plugin that is called after another one: the other one's result.
    pub prev: Option<Value>,
    /// `$NUMBER` of the profile.
    pub number: u32,
}

/// A call of the plugin under test, being put together.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    bench: &'a Bench,
    /// The call as it stands.
    pub cni: Cni,
}

/// A call that was made, as evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// The call as a command for a shell.
    pub shell: String,
    /// How it ended.
    pub status: String,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Bench {
    /// A host as the profile wants it. The calling thread becomes the host: see [`Node::new`].
    ///
    /// # Panics
    ///
    /// If a host cannot be made.
    pub fn new(case: Case, profile: Profile) -> Bench {
        let host = Node::new();
        profile.setup.iter().for_each(|line| drop(host.sh(line)));
        ipam::install(profile.ipv4_only).unwrap_or_else(|error| broken(&error));
        Bench {
            case,
            profile,
            host,
            container_setup: RefCell::default(),
            containers: Cell::default(),
            calls: RefCell::default(),
            notes: RefCell::default(),
        }
    }

    /// Does what a variant asks of the host beyond the profile.
    pub fn prepare(&self, variant: &Variant) {
        variant.setup.iter().for_each(|line| drop(self.host.sh(line)));
        self.container_setup.borrow_mut().extend(variant.container_setup.iter().cloned());
    }

    /// The version of the specification in which the plugin is tested.
    pub fn version(&self) -> &str {
        &self.case.version
    }

    /// Whether that version is at least `version`.
    pub fn is_from(&self, version: &str) -> bool {
        crate::requirement::number(self.version()) >= crate::requirement::number(version)
    }

    /// A new container. For a plugin that is called after another one, it has a wire to the host already, as if another
    /// plugin had made it.
    pub fn container(&self, name: &str) -> Container {
        let pod = self.host.pod(name);
        let number = FIRST_NUMBER + self.containers.get();
        self.containers.set(self.containers.get() + 1);
        for line in self.profile.container_setup.iter().chain(self.container_setup.borrow().iter())
        {
            self.host.sh(&format!("NAME={name} NUMBER={number}; {line}"));
        }
        let prev = (self.profile.kind == Kind::Chained).then(|| self.wire(&pod));
        Container { pod, id: format!("{name}-7f3e"), prev, number }
    }

    /// Joins a container to the host by a wire with addresses of both families, and returns the result that a plugin
    /// would have printed for it.
    fn wire(&self, pod: &Pod) -> Value {
        let name = pod.name();
        let number = 2 + self.host.sh("ip -o link show type veth").lines().count();
        let (host, path) = (format!("host-{name}"), pod.path().display());
        self.host.sh(&format!(
            "ip link add {host} type veth peer name eth0 netns {path}
             sysctl -qw net.ipv6.conf.{host}.accept_dad=0 net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
             ip addr add 10.9.{number}.1/24 dev {host}; ip addr add fd00:9:{number}::1/64 dev {host} nodad
             ip link set {host} up"
        ));
        pod.sh(&format!(
            "sysctl -qw net.ipv6.conf.eth0.accept_dad=0
             ip link set lo up; ip addr add 10.9.{number}.2/24 dev eth0
             ip addr add fd00:9:{number}::2/64 dev eth0 nodad; ip link set eth0 up
             ip route add default via 10.9.{number}.1; ip route add default via fd00:9:{number}::1"
        ));
        let mac = |pod: &Pod, link: &str| {
            let links: Value = serde_json::from_str(&pod.run(&["ip", "-j", "link", "show", link]))
                .unwrap_or_default();
            links.pointer("/0/address").cloned().unwrap_or_default()
        };
        let mut result = json!({
            "cniVersion": self.version(),
            "interfaces": [
                { "name": host, "mac": mac(&self.host, &host) },
                { "name": "eth0", "mac": mac(pod, "eth0"), "sandbox": pod.path() }
            ],
            "ips": [
                { "address": format!("10.9.{number}.2/24"), "gateway": format!("10.9.{number}.1"), "interface": 1 },
                { "address": format!("fd00:9:{number}::2/64"), "gateway": format!("fd00:9:{number}::1"), "interface": 1 }
            ],
            "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }],
            "dns": {}
        });
        if !self.is_from("1.0.0") {
            let ips = result.get_mut("ips").and_then(Value::as_array_mut).into_iter().flatten();
            for (ip, version) in ips.zip(["4", "6"]) {
                set(ip, "version", version);
            }
        }
        result
    }

    /// The plugin's configuration, as the profile has it: for the newest container, if it is not the same for each.
    pub fn config(&self) -> Value {
        self.config_of(None, FIRST_NUMBER + self.containers.get().saturating_sub(1))
    }

    /// The plugin's configuration in a variant, for the container with that number.
    pub fn config_of(&self, variant: Option<&Variant>, number: u32) -> Value {
        let mut config = self.complete(self.profile.config_of(variant));
        put_number(&mut config, number);
        config
    }

    /// Whether what is done for a container, or its configuration, depends on its number.
    pub fn is_numbered(&self) -> bool {
        let setup = self.profile.container_setup.iter();
        let configs = [None].into_iter().chain(self.profile.variants.iter().map(Some));
        let configs = configs.map(|variant| self.profile.config_of(variant).to_string());
        setup.cloned().chain(configs).any(|text| text.contains("$NUMBER"))
    }

    /// A configuration with what every one has: `cniVersion`, `name`, `type`, and an address management plugin.
    pub fn complete(&self, mut config: Value) -> Value {
        set(&mut config, "cniVersion", self.version());
        set(&mut config, "name", NETWORK);
        if config.get("type").is_none() {
            set(&mut config, "type", self.case.plugin.as_str());
        }
        if config.get("ipam").is_some_and(|ipam| ipam == "any") {
            let ipam = ipam::any(&self.case.suite);
            set(&mut config, "ipam", ipam);
        }
        config
    }

    /// A call of the plugin with the profile's configuration, for `eth0` of a container.
    pub fn call(&self, container: &Container) -> Call<'_> {
        self.call_in(None, container)
    }

    /// The same, with the configuration of a variant.
    pub fn call_in(&self, variant: Option<&Variant>, container: &Container) -> Call<'_> {
        let call = self
            .call_with(&self.config_of(variant, container.number))
            .with(|cni| cni.container(&container.id).netns(&container.pod).ifname("eth0"));
        match &container.prev {
            Some(prev) => call.with(|cni| cni.prev(prev)),
            None => call,
        }
    }

    /// A call with a configuration, for no container yet.
    pub fn call_with(&self, config: &Value) -> Call<'_> {
        let path = format!("{}:{}", self.case.suite.search_path(), ipam::FOLDER);
        let cni = Cni::new(&self.case.plugin)
            .suite(&self.case.suite.folder)
            .conf(config)
            .env("CNI_PATH", path);
        Call { bench: self, cni }
    }

    /// A container that was added, and the result.
    ///
    /// # Errors
    ///
    /// If ADD fails.
    pub fn added(&self, name: &str) -> Result<(Container, Value), Stop> {
        let container = self.container(name);
        let result = self.call(&container).add().succeeds()?;
        Ok((container, result))
    }

    /// Does work on another host, as fresh as this one was, for a plugin with this profile. Its calls and notes are kept
    /// here.
    ///
    /// # Panics
    ///
    /// As [`Bench::new`], and if the work does.
    pub fn elsewhere<T: Send>(&self, profile: Profile, work: impl FnOnce(&Bench) -> T + Send) -> T {
        let case = self.case.clone();
        let apart = move || {
            let bench = Bench::new(case, profile);
            let done = work(&bench);
            (done, bench.calls.take(), bench.notes.take())
        };
        let done = thread::scope(|scope| scope.spawn(apart).join());
        let (done, calls, notes) = done.unwrap_or_else(|panic| resume_unwind(panic));
        self.calls.borrow_mut().extend(calls);
        self.notes.borrow_mut().extend(notes);
        done
    }

    /// The container is gone, as after a reboot: its namespace is deleted.
    pub fn kill(&self, container: &Container) {
        self.host.delete(&container.pod);
    }

    /// Keeps a figure for the report, whether the test passes or not.
    pub fn note(&self, text: impl ToString) {
        self.notes.borrow_mut().push(text.to_string());
    }

    /// What the report shows of this test besides its verdict: the last calls, and the notes.
    pub fn evidence(&self) -> (Vec<Called>, Vec<String>) {
        let calls = self.calls.borrow();
        let first = calls.len().saturating_sub(CALLS_SHOWN);
        (calls.iter().skip(first).cloned().collect(), self.notes.borrow().clone())
    }

    /// Keeps a call as evidence that was made on another bench.
    pub fn adopt(&self, call: Called) {
        self.calls.borrow_mut().push(call);
    }

    /// Keeps a call as evidence. For calls that are made from other threads, afterwards.
    pub fn keep(&self, cni: &Cni, verb: &str, outcome: &Outcome) {
        self.calls.borrow_mut().push(Called {
            shell: cni.shell(verb),
            status: outcome.status.to_string(),
            stdout: outcome.stdout.clone(),
            stderr: outcome.stderr.clone(),
        });
    }
}

impl Call<'_> {
    /// Changes the call: its environment, its configuration.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(Cni) -> Cni) -> Self {
        self.cni = change(self.cni);
        self
    }

    /// ADD.
    pub fn add(&self) -> Outcome {
        self.verb("ADD")
    }

    /// DEL.
    pub fn del(&self) -> Outcome {
        self.verb("DEL")
    }

    /// CHECK, with the result of ADD.
    pub fn check(&self, result: &Value) -> Outcome {
        self.clone().with(|cni| cni.prev(result)).verb("CHECK")
    }

    /// GC, with the attachments that are valid: `(container id, interface)`.
    pub fn gc(&self, valid: &[(&str, &str)]) -> Outcome {
        let valid: Vec<Value> = valid
            .iter()
            .map(|(id, ifname)| json!({ "containerID": id, "ifname": ifname }))
            .collect();
        let none = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"];
        let call = self.clone().with(|cni| {
            let cni = none.iter().fold(cni, |cni, name| cni.unset(name));
            cni.key("cni.dev/valid-attachments", valid.clone()).key("cni.dev/attachments", valid)
        });
        call.verb("GC")
    }

    /// STATUS.
    pub fn status(&self) -> Outcome {
        let none = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"];
        self.clone().with(|cni| none.iter().fold(cni, |cni, name| cni.unset(name))).verb("STATUS")
    }

    /// Any verb.
    pub fn verb(&self, verb: &str) -> Outcome {
        let outcome = self.cni.within(verb, patient(DEADLINE));
        self.bench.keep(&self.cni, verb, &outcome);
        outcome
    }
}

/// What a result says of the container's interface `ifname`: the first in a sandbox.
///
/// # Errors
///
/// A failure, if it says nothing of one.
pub fn sandbox_interface<'a>(result: &'a Value, ifname: &str) -> Result<&'a Value, Stop> {
    let interfaces = result.get("interfaces").and_then(Value::as_array);
    let mut inside = interfaces.into_iter().flatten().filter(|interface| {
        interface.get("sandbox").and_then(Value::as_str).is_some_and(|path| !path.is_empty())
    });
    inside.find(|interface| interface.get("name").is_some_and(|name| name == ifname)).ok_or_else(
        || failed("ADD", format!("{ifname} with its sandbox among the interfaces"), result),
    )
}

/// The addresses of a result, with their prefix.
pub fn addresses(result: &Value) -> Vec<String> {
    let ips = result.get("ips").and_then(Value::as_array).into_iter().flatten();
    ips.filter_map(|ip| ip.get("address").and_then(Value::as_str)).map(str::to_owned).collect()
}

/// Puts a key into an object of JSON. What is no object stays as it is.
pub fn set(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(keys) = object.as_object_mut() {
        keys.insert(key.to_owned(), value.into());
    }
}

/// How long to wait on this machine for what usually takes at most that long.
pub fn patient(time: Duration) -> Duration {
    let factor = std::env::var(PATIENCE_FACTOR).ok().and_then(|factor| factor.parse().ok());
    time * factor.unwrap_or(1).max(1)
}

/// The kit cannot go on: what it stands on could not be made. That is no finding about the plugin.
pub fn broken(why: &str) -> ! {
    eprintln!("{why}");
    std::process::exit(crate::case::BROKEN);
}

/// Makes sure that `folder` is there. Used for what the kit keeps beside the tests.
pub(crate) fn folder(folder: &str) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("make {folder}: {error}"))
}

/// Puts the kit itself into a folder under another name: a plugin by the name it is run by.
pub(crate) fn link_self(path: &str) -> Result<(), String> {
    let own =
        std::env::current_exe().map_err(|error| format!("find the kit's own file: {error}"))?;
    symlink(&own, path).map_err(|error| format!("make {path}: {error}"))
}
