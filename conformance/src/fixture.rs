//! The environment of a test: a host, containers, and the calls of the plugin, which it records as
//! evidence.

mod effect;

use std::cell::{Cell, RefCell};
use std::fs;
use std::io::ErrorKind;
use std::panic::resume_unwind;
use std::thread;

use serde_json::{Value, json};
use testbed::{Cni, Node, Outcome, Pod};

use crate::case::Case;
use crate::disk::Disk;
use crate::evidence::RecordedCall;
use crate::ipam;
use crate::isolation::broken;
use crate::json::{each, set, text};
use crate::place::Place;
use crate::previous;
use crate::profile::{FIRST_NUMBER, Kind, Profile, Variant, put_number};
use crate::suite::{LINKS, Suite};
use crate::timeout::{DEADLINE, scaled};
use crate::verdict::{NotPassed, OutcomeExt, TestResult, ensure, failed};
use crate::version::numbers;

/// The name of the network in the plugin's configuration.
pub const NETWORK: &str = "judged";

/// A host with the plugin under test.
#[derive(Debug)]
pub struct Fixture {
    /// The case: plugin, version and requirement.
    pub case: Case,
    /// The profile of the plugin.
    pub profile: Profile,
    /// The host. Commands and plugins run in its namespaces.
    pub host: Node,
    /// The host's file system.
    pub disk: Disk,
    /// Shell commands of the variant for each container, in addition to those of the profile.
    container_setup: RefCell<Vec<String>>,
    /// The number of containers so far.
    containers: Cell<u32>,
    calls: RefCell<Vec<RecordedCall>>,
    notes: RefCell<Vec<String>>,
    untested: RefCell<Vec<(String, String)>>,
    /// For a chained plugin: whether ADD has an effect, once it is known.
    effect: Cell<Option<bool>>,
}

/// A container: a network namespace and a container ID.
#[derive(Debug, Clone)]
pub struct Container {
    /// The network namespace.
    pub pod: Pod,
    /// `CNI_CONTAINERID`.
    pub id: String,
    /// For a chained plugin: the result of the plugin before it.
    pub prev: Option<Value>,
    /// `$NUMBER` of the profile.
    pub number: u32,
}

/// A call of the plugin under test, before it is made.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    fixture: &'a Fixture,
    /// The container's namespace, if the call is for a container.
    pod: Option<Pod>,
    /// The environment and the configuration of the call.
    pub cni: Cni,
}

impl Fixture {
    /// Makes a host and prepares it as the profile says. The calling thread enters the namespaces
    /// of the host, see [`Node::new`].
    ///
    /// # Panics
    ///
    /// If the host cannot be made.
    pub fn new(case: Case, profile: Profile) -> Fixture {
        let (disk, host) = host(&case.suite).unwrap_or_else(|error| broken(&error));
        if profile.forwarding {
            forward();
        }
        let links = case.suite.link_programs(LINKS);
        links
            .and_then(|()| ipam::install(profile.ipv4_only))
            .unwrap_or_else(|error| broken(&error));
        profile.setup.iter().for_each(|line| set_up(&host, line));
        Fixture {
            case,
            profile,
            host,
            disk,
            container_setup: RefCell::default(),
            containers: Cell::default(),
            calls: RefCell::default(),
            notes: RefCell::default(),
            untested: RefCell::default(),
            effect: Cell::default(),
        }
    }

    /// The state of the host and its containers, with all files: those in `/run` and
    /// `/var/lib/cni`, and, without their content, those that were changed elsewhere.
    pub fn state(&self) -> String {
        self.disk
            .changes()
            .into_iter()
            .fold(self.host.state() + "== disk\n", |state, line| state + &line + "\n")
    }

    /// Runs the shell commands that a variant adds for the host.
    pub fn prepare(&self, variant: &Variant) {
        variant.setup.iter().for_each(|line| set_up(&self.host, line));
        self.container_setup.borrow_mut().extend(variant.container_setup.iter().cloned());
    }

    /// The version of the specification under test.
    pub fn version(&self) -> &str {
        &self.case.version
    }

    /// Whether that version is `version` or later.
    pub fn is_from(&self, version: &str) -> bool {
        numbers(self.version()) >= numbers(version)
    }

    /// Makes a container. For a chained plugin it already has a veth pair to the host, as if
    /// another plugin had made it.
    pub fn container(&self, name: &str) -> Container {
        let container = self.unconnected(name);
        Container { prev: self.previous(&container.pod), ..container }
    }

    /// Makes a container without a connection, also for a chained plugin.
    pub fn unconnected(&self, name: &str) -> Container {
        let pod = self.host.pod(name);
        let number = FIRST_NUMBER + self.containers.get();
        self.containers.set(self.containers.get() + 1);
        for line in self.profile.container_setup.iter().chain(self.container_setup.borrow().iter())
        {
            self.host.sh(&format!("NAME={name} NUMBER={number}; {line}"));
        }
        Container { pod, id: format!("{name}-7f3e"), prev: None, number }
    }

    /// The container after DEL and a new ADD of the plugin before a chained one.
    pub fn reconnected(&self, container: Container) -> Container {
        if container.prev.is_none() {
            return container;
        }
        container.pod.sh("ip link del eth0");
        Container { prev: self.previous(&container.pod), ..container }
    }

    /// For a chained plugin: connects a container, and returns the result of the plugin before it.
    fn previous(&self, pod: &Pod) -> Option<Value> {
        (self.profile.kind == Kind::Chained).then(|| match self.profile.on_bridge {
            true => previous::bridge(&self.host, pod, self.version()),
            false => previous::veth_pair(&self.host, pod, self.version()),
        })
    }

    /// The configuration of the profile. If it contains `$NUMBER`, it is the one for the newest
    /// container.
    pub fn config(&self) -> Value {
        self.config_of(None, FIRST_NUMBER + self.containers.get().saturating_sub(1))
    }

    /// The configuration of a variant, for the container with that number.
    pub fn config_of(&self, variant: Option<&Variant>, number: u32) -> Value {
        let mut config = self.complete(self.profile.config_of(variant));
        put_number(&mut config, number);
        config
    }

    /// Whether the profile contains `$NUMBER`, so that its configuration differs for each
    /// container.
    pub fn is_numbered(&self) -> bool {
        let setup = self.profile.container_setup.iter();
        let configs = [None].into_iter().chain(self.profile.variants.iter().map(Some));
        let configs = configs.map(|variant| self.profile.config_of(variant).to_string());
        setup.cloned().chain(configs).any(|text| text.contains("$NUMBER"))
    }

    /// Continues only if a container can have a second interface with the same configuration. A
    /// device of the host, for example, is in one container, once.
    ///
    /// # Errors
    ///
    /// If the requirement does not apply to such a configuration.
    pub fn has_second_interface(&self) -> TestResult {
        let why = "each container has a device or a number of its own, for one interface";
        match self.is_numbered() {
            true => Err(NotPassed::NotApplicable(why.to_owned())),
            false => Ok(()),
        }
    }

    /// Adds to a configuration what every configuration has: `cniVersion`, `name`, `type`, and an
    /// IPAM plugin.
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

    /// A call of the plugin with the configuration of the profile, for `eth0` of a container.
    pub fn call(&self, container: &Container) -> Call<'_> {
        self.call_in(None, container)
    }

    /// A call with the configuration of a variant, for `eth0` of a container.
    pub fn call_in(&self, variant: Option<&Variant>, container: &Container) -> Call<'_> {
        let bare = self.call_with(&self.config_of(variant, container.number));
        let call = Call { pod: Some(container.pod.clone()), ..bare }
            .with(|cni| cni.container(&container.id).netns(&container.pod).ifname("eth0"))
            .with(|cni| {
                self.profile.env_of(container.number).fold(cni, |cni, (k, v)| cni.env(k, &v))
            });
        match &container.prev {
            Some(prev) => call.with(|cni| cni.prev(prev)),
            None => call,
        }
    }

    /// A call with any configuration, without a container.
    pub fn call_with(&self, config: &Value) -> Call<'_> {
        let path = self.case.suite.cni_path(config);
        let cni = Cni::new(&self.case.plugin)
            .suite(&self.case.suite.folder)
            .conf(config)
            // As the common library of runtimes sets it if there are no arguments.
            .args("");
        let env = self.profile.env.iter();
        let cni = env.fold(cni, |cni, (name, value)| cni.env(name, value)).env("CNI_PATH", path);
        Call { fixture: self, pod: None, cni }
    }

    /// A call of another plugin of the suite for `eth0` of a container, if the suite has it.
    pub fn call_of(&self, plugin: &str, config: &Value, container: &Container) -> Option<Call<'_>> {
        let folder = self.case.suite.folder_of(plugin)?;
        let path = format!("{}:{}", self.case.suite.search_path(), ipam::FOLDER);
        let cni = Cni::new(plugin).suite(folder).conf(config).args("").env("CNI_PATH", path);
        let cni = cni.container(&container.id).netns(&container.pod).ifname("eth0");
        Some(Call { fixture: self, pod: Some(container.pod.clone()), cni })
    }

    /// Makes a container and adds it. Returns the container and the result.
    ///
    /// # Errors
    ///
    /// If ADD fails.
    pub fn added(&self, name: &str) -> Result<(Container, Value), NotPassed> {
        let container = self.container(name);
        let result = self.call(&container).attach()?;
        Ok((container, result))
    }

    /// Runs `work` with a new host and another profile of the plugin. This fixture keeps the
    /// recorded calls and notes.
    ///
    /// # Panics
    ///
    /// As [`Fixture::new`], and if `work` panics.
    pub fn on_another_host<T: Send>(
        &self,
        profile: Profile,
        work: impl FnOnce(&Fixture) -> T + Send,
    ) -> T {
        let case = self.case.clone();
        let apart = move || {
            let fixture = Fixture::new(case, profile);
            let done = work(&fixture);
            (done, fixture.calls.take(), fixture.notes.take())
        };
        let done = thread::scope(|scope| scope.spawn(apart).join());
        let (done, calls, notes) = done.unwrap_or_else(|panic| resume_unwind(panic));
        self.calls.borrow_mut().extend(calls);
        self.notes.borrow_mut().extend(notes);
        done
    }

    /// Deletes the namespace of a container, as a reboot does.
    pub fn delete_namespace(&self, container: &Container) {
        self.host.delete(&container.pod);
    }

    /// Adds a figure to the report, whether the test passes or not.
    pub fn note(&self, text: impl ToString) {
        self.notes.borrow_mut().push(text.to_string());
    }

    /// Records that a configuration of the profile could not be tested.
    pub fn record_untested(&self, variant: &str, why: &str) {
        self.untested.borrow_mut().push((variant.to_owned(), why.to_owned()));
    }

    /// The configurations of the profile that were not tested, each with the reason.
    pub fn untested(&self) -> Vec<(String, String)> {
        self.untested.borrow().clone()
    }

    /// What the report shows of this test besides the verdict: the calls and the notes.
    pub fn evidence(&self) -> (Vec<RecordedCall>, Vec<String>) {
        (self.calls.borrow().clone(), self.notes.borrow().clone())
    }

    /// Whether a result so far contains an interface of that name.
    pub fn was_returned(&self, interface: &str) -> bool {
        let returns = |call: &RecordedCall| {
            let result: Value = serde_json::from_str(&call.stdout).unwrap_or_default();
            each(&result, "interfaces").any(|known| text(known, "name") == interface)
        };
        self.calls.borrow().iter().any(returns)
    }

    /// Records a call that was made with another fixture.
    pub fn keep_call(&self, call: RecordedCall) {
        self.calls.borrow_mut().push(call);
    }

    /// Records a call. Tests that make calls in other threads use it afterwards.
    pub fn keep(&self, cni: &Cni, verb: &str, outcome: &Outcome) {
        self.calls.borrow_mut().push(RecordedCall {
            shell: cni.shell(verb),
            status: outcome.status.to_string(),
            stdout: outcome.stdout.clone(),
            stderr: outcome.stderr.clone(),
        });
    }
}

/// Makes the calling thread a host on which the suite's programs, and the kit, are visible.
fn host(suite: &Suite) -> Result<(Disk, Node), String> {
    let own = std::env::current_exe().map_err(|error| format!("find the kit's file: {error}"))?;
    let programs = [suite.folder.as_path()].into_iter().chain(suite.path.iter().map(|p| &**p));
    let mut disk = Disk::new(programs.chain([own.as_path()]))?;
    let host = Node::new();
    disk.show_programs()?;
    Ok((disk, host))
}

/// Runs a shell command of a profile. `$PLUGINS` is the directory with all programs of the suite.
fn set_up(host: &Node, line: &str) {
    host.sh(&format!("PLUGINS={LINKS}; {line}"));
}

/// Enables forwarding on the host, as on every node of Kubernetes.
fn forward() {
    for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        let path = format!("/proc/sys/net/{key}");
        match fs::write(&path, "1") {
            // Without IPv6 there is nothing to enable.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => broken(&format!("enable forwarding on the host: {path}: {error}")),
            Ok(()) => {}
        }
    }
}

impl Call<'_> {
    /// Changes the environment or the configuration of the call.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(Cni) -> Cni) -> Self {
        self.cni = change(self.cni);
        self
    }

    /// Makes an ADD.
    pub fn add(&self) -> Outcome {
        self.verb("ADD")
    }

    /// Makes an ADD that must succeed and attach the container. Returns the result.
    ///
    /// # Errors
    ///
    /// A failure, if ADD fails or does nothing.
    pub fn attach(&self) -> Result<Value, NotPassed> {
        let result = self.add().succeeds()?;
        self.has_attached(&result)?;
        Ok(result)
    }

    /// Checks that an ADD with this result has attached the container. If it has not, the
    /// requirements on what follows an ADD would be met without a test.
    ///
    /// # Errors
    ///
    /// A failure, if ADD has done nothing. A chained plugin may do nothing, but then the
    /// requirement does not apply.
    pub fn has_attached(&self, result: &Value) -> TestResult {
        let (is_done, expected) = match self.fixture.profile.kind {
            Kind::Interface => {
                let is_there = |pod: &Pod| has_interface(pod, result);
                let is_done = self.pod.as_ref().is_none_or(is_there);
                (is_done, "an interface of the result in its sandbox")
            }
            Kind::Ipam => (!addresses(result).is_empty(), "addresses in the result"),
            Kind::Chained if self.fixture.has_effect() => (true, ""),
            Kind::Chained => {
                let why = "ADD changes neither the kernel nor a file nor the result, as far as the \
                    kit can see: give a configuration with an effect";
                return Err(NotPassed::NotApplicable(why.to_owned()));
            }
        };
        ensure(is_done, "ADD", expected, result)
    }

    /// Makes a DEL.
    pub fn del(&self) -> Outcome {
        self.verb("DEL")
    }

    /// Makes a CHECK with the result of ADD.
    pub fn check(&self, result: &Value) -> Outcome {
        self.clone().with(|cni| cni.prev(result)).verb("CHECK")
    }

    /// Makes a GC with the valid attachments: `(container ID, interface name)`.
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

    /// Makes a STATUS.
    pub fn status(&self) -> Outcome {
        let none = ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"];
        self.clone().with(|cni| none.iter().fold(cni, |cni, name| cni.unset(name))).verb("STATUS")
    }

    /// Makes a call with any command.
    pub fn verb(&self, verb: &str) -> Outcome {
        let outcome = self.cni.within(verb, scaled(DEADLINE));
        self.fixture.keep(&self.cni, verb, &outcome);
        outcome
    }
}

/// Whether an interface of the result is in the container, or in a virtual machine, into which the
/// kit cannot look.
pub(crate) fn has_interface(pod: &Pod, result: &Value) -> bool {
    let links = pod.enter(|| fs::read_to_string("/proc/thread-self/net/dev")).unwrap_or_default();
    let is_link = |name: &str| {
        let mut names = links.lines().filter_map(|line| line.split_once(':'));
        names.any(|(link, _)| link.trim() == name)
    };
    each(result, "interfaces").any(|interface| match Place::of(&text(interface, "sandbox")) {
        Place::Host => false,
        Place::Container => is_link(&text(interface, "name")),
        Place::Elsewhere => true,
    })
}

/// The container's interface `ifname` in a result: the first one with a sandbox.
///
/// # Errors
///
/// A failure, if the result has no such interface.
pub fn sandbox_interface<'a>(result: &'a Value, ifname: &str) -> Result<&'a Value, NotPassed> {
    let interfaces = result.get("interfaces").and_then(Value::as_array);
    let mut inside = interfaces.into_iter().flatten().filter(|interface| {
        interface.get("sandbox").and_then(Value::as_str).is_some_and(|path| !path.is_empty())
    });
    inside.find(|interface| interface.get("name").is_some_and(|name| name == ifname)).ok_or_else(
        || failed("ADD", format!("{ifname} with its sandbox among the interfaces"), result),
    )
}

/// The addresses of a result, with their prefix lengths.
pub fn addresses(result: &Value) -> Vec<String> {
    let ips = result.get("ips").and_then(Value::as_array).into_iter().flatten();
    ips.filter_map(|ip| ip.get("address").and_then(Value::as_str)).map(str::to_owned).collect()
}
