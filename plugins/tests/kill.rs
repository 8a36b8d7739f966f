//! A plugin that is killed at any point leaves nothing that the next DEL or GC does not remove.
//!
//! `strace` kills it right before a system call: in turn every call that changes something, so that
//! every intermediate state is tested. Shared objects stay: the bridge and its addresses,
//! forwarding, the tables and their chains, host-local's lock and counters.
#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::{Cni, Node, Pod, assert_same};

/// Everything at once: dual stack, gateway on the bridge, masquerade, spoof check.
fn config(keys: Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.1.0",
        "name": "pods",
        "type": "bridge",
        "bridge": "cbr0",
        "isDefaultGateway": true,
        "ipMasq": true,
        "macspoofchk": true,
        "ipam": {
            "type": "host-local",
            "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]]
        }
    });
    let (Value::Object(all), Value::Object(keys)) = (&mut config, keys) else { unreachable!() };
    all.extend(keys);
    config
}

/// The calls at which the plugin is killed.
#[derive(Debug, Clone, Copy)]
struct Kill {
    /// A system call, or several that count as one, as `strace -e` takes them.
    calls: &'static str,
    /// Only every n-th of them.
    stride: usize,
    /// Whether processes that the plugin starts (iptables, host-local of another build) are killed
    /// too, each at its own N-th call, and the plugin at the N-th call of one of its threads.
    /// Otherwise they continue alone.
    children: bool,
}

const fn kill(calls: &'static str, stride: usize, children: bool) -> Kill {
    Kill { calls, stride, children }
}

const ALONE: bool = false;
const CHILDREN: bool = true;

/// The cleanup after a kill.
#[derive(Debug, Clone, Copy)]
enum Cleanup {
    /// DEL from a runtime without a result.
    Del,
    /// DEL without `CNI_NETNS`, while the namespace still exists.
    DelBlind,
    /// DEL after the namespace was deleted.
    DelGone,
    /// GC with an empty list of valid attachments.
    Gc,
}

const CONTAINER: &str = "the-container";
const CLEANUPS: [Cleanup; 4] = [Cleanup::Del, Cleanup::Gc, Cleanup::DelBlind, Cleanup::DelGone];

/// A node with the shared objects, and a pod to connect.
struct Lab {
    node: Node,
    pod: Pod,
    config: Value,
    /// Other binaries than the built ones.
    suite: Option<PathBuf>,
    /// The state that every cleanup must restore.
    clean: String,
    points: usize,
}

impl Lab {
    fn new(config: Value) -> Lab {
        Lab::untouched(config).touched()
    }

    /// Makes the shared objects.
    fn touched(mut self) -> Lab {
        self.call().add().ok();
        self.call().del().ok();
        self.renew_pod();
        self.clean = lasting(&self.node.state());
        self
    }

    /// As [`new`](Lab::new), without shared objects.
    fn untouched(config: Value) -> Lab {
        let node = Node::new();
        let pod = node.pod("pod");
        if config["type"] == "macvlan" {
            node.outside();
            node.sh(
                "ip addr add 10.1.2.1/24 dev uplink; ip addr add fd00:1:2::1/64 dev uplink nodad",
            );
        }
        Lab { node, pod, config, suite: None, clean: String::new(), points: 0 }
    }

    /// As [`new`](Lab::new), with a host-local of another build: it is run as a process of its own.
    fn apart(config: Value) -> Lab {
        let lab = Lab::untouched(config);
        let suite = testbed::host_local_apart(Path::new("/run/suite"));
        Lab { suite: Some(suite), ..lab }.touched()
    }

    fn call(&self) -> Cni {
        let plugin = self.config["type"].as_str().unwrap();
        let call = self.node.plugin(plugin).conf(&self.config).container(CONTAINER);
        let call = call.netns(&self.pod);
        self.suite.iter().fold(call, |call, suite| call.suite(suite))
    }

    /// Deletes the pod's namespace and makes a new one.
    fn renew_pod(&mut self) {
        self.node.delete(&self.pod);
        self.pod = self.node.pod("pod");
    }

    /// Kills `verb` at one call after the other, until it completes.
    fn sweep(&mut self, verb: &str, kill: Kill) {
        let mut killed = 0;
        for when in (1..1000).step_by(kill.stride) {
            if verb == "DEL" {
                self.call().add().ok();
            }
            let is_done = killed_at(&self.call(), verb, kill, when);
            let cleanup = CLEANUPS.iter().cycle().nth(self.points).copied().unwrap_or(CLEANUPS[0]);
            let point = format!("{verb} killed at {} no. {when}, then {cleanup:?}", kill.calls);
            self.clean_up(cleanup);
            assert_same!(self.clean, lasting(&self.node.state()), "{point}");
            self.join_again(&point);
            if is_done {
                break;
            }
            self.points += 1;
            killed += 1;
        }
        assert!(killed > 0, "{verb} was never killed at {}", kill.calls);
    }

    /// The shared objects; only the bridge's MAC is random.
    fn shared(&self) -> String {
        testbed::normalise(&lasting(&self.node.state()))
    }

    fn clean_up(&mut self, cleanup: Cleanup) {
        let call = self.call();
        match cleanup {
            Cleanup::Del => call.del(),
            Cleanup::DelBlind => call.clone().unset("CNI_NETNS").del(),
            Cleanup::DelGone => {
                self.node.delete(&self.pod);
                let outcome = call.del();
                self.pod = self.node.pod("pod");
                outcome
            }
            Cleanup::Gc => call.clone().key("cni.dev/valid-attachments", json!([])).gc(),
        }
        .ok();
    }

    /// The same container in its initial state.
    fn join_again(&mut self, point: &str) {
        self.call().add().ok();
        for gateway in ["10.1.2.1", "fd00:1:2::1"] {
            assert!(self.pod.ping(gateway), "{point}: {gateway} is not in reach");
        }
        self.call().del().ok();
        self.renew_pod();
    }
}

/// Calls `verb` under `strace`, which kills it. Returns true if it completed.
fn killed_at(call: &Cni, verb: &str, kill: Kill, when: usize) -> bool {
    let trace = format!("trace={}", kill.calls);
    let inject = format!("inject={}:signal=KILL:when={when}", kill.calls);
    let mut strace = vec!["strace", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    if kill.children {
        strace.push("-f");
    }
    let is_done = call.clone().under(&strace).raw(verb).status.success();
    wait_for_orphans();
    is_done
}

/// Waits for processes of the killed plugin: they continue for a moment. A runtime's next call
/// would come later than the test's.
fn wait_for_orphans() {
    let own = fs::read_link("/proc/thread-self/ns/net").unwrap();
    let is_orphan = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let is_other = pid.is_some_and(|pid| pid != std::process::id());
        is_other && fs::read_link(entry.path().join("ns/net")).is_ok_and(|ns| ns == own)
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while fs::read_dir("/proc").unwrap().flatten().any(is_orphan) {
        assert!(Instant::now() < deadline, "something that a killed plugin started does not end");
        std::thread::yield_now();
    }
}

/// A state without shared objects that may change: the files with the last assigned address, and
/// the chains of subnets, which GC removes when no container is left in them.
fn lasting(state: &str) -> String {
    let mut in_subnet = false;
    let is_lasting = |line: &&str| {
        let ends = in_subnet && line.starts_with("\t}");
        in_subnet = (in_subnet && !ends) || line.starts_with("\tchain masq_");
        !in_subnet && !ends && !line.contains("last_reserved_ip")
    };
    state.split_inclusive('\n').filter(is_lasting).collect()
}

/// Kills a verb at all of the calls, and returns the number of kills.
fn sweep(verb: &str, config: Value, kills: &[Kill]) {
    sweep_in(Lab::new(config), verb, kills);
}

fn sweep_in(mut lab: Lab, verb: &str, kills: &[Kill]) {
    kills.iter().for_each(|kill| lab.sweep(verb, *kill));
    println!("{verb} was killed at {} points", lab.points);
}

#[test]
fn an_add_killed_in_the_kernels_work() {
    sweep("ADD", config(json!({})), &[kill("sendto", 1, ALONE)]);
}

#[test]
fn an_add_killed_anywhere_else() {
    sweep(
        "ADD",
        config(json!({})),
        &[
            kill("write", 1, ALONE),
            kill("setns", 5, ALONE),
            kill("openat", 8, ALONE),
            kill("flock,fcntl", 1, ALONE),
            kill("pwrite64", 1, ALONE),
            kill("utimensat", 1, ALONE),
            kill("rename,renameat,renameat2", 1, ALONE),
            kill("exit_group", 1, ALONE),
        ],
    );
}

#[test]
fn an_add_killed_with_its_children() {
    sweep_in(
        Lab::apart(config(json!({}))),
        "ADD",
        &[
            kill("clone3,clone,fork,vfork", 1, ALONE),
            kill("poll", 1, CHILDREN),
            kill("execve", 1, CHILDREN),
            kill("write", 3, CHILDREN),
            kill("pwrite64", 1, CHILDREN),
            kill("utimensat", 1, CHILDREN),
            kill("rename,renameat,renameat2", 1, CHILDREN),
            kill("flock,fcntl", 1, CHILDREN),
            kill("exit_group", 1, CHILDREN),
        ],
    );
}

#[test]
fn a_del_killed_anywhere() {
    sweep(
        "DEL",
        config(json!({})),
        &[
            kill("sendto", 1, ALONE),
            kill("openat", 2, ALONE),
            kill("unlink,unlinkat", 1, ALONE),
            kill("pwrite64", 1, ALONE),
            kill("utimensat", 1, ALONE),
            kill("exit_group", 1, ALONE),
        ],
    );
}

#[test]
fn a_del_killed_with_its_children() {
    sweep_in(
        Lab::apart(config(json!({}))),
        "DEL",
        &[
            kill("write", 1, ALONE),
            kill("clone3,clone,fork,vfork", 1, ALONE),
            kill("poll", 1, CHILDREN),
            kill("execve", 1, CHILDREN),
            kill("unlink,unlinkat", 1, CHILDREN),
            kill("pwrite64", 1, CHILDREN),
            kill("utimensat", 1, CHILDREN),
        ],
    );
}

#[test]
fn masquerade_by_iptables_killed_anywhere() {
    let iptables = config(json!({ "ipMasqBackend": "iptables" }));
    let mut lab = Lab::new(iptables);
    for verb in ["ADD", "DEL"] {
        for (calls, stride) in [("clone3,clone,fork,vfork", 1), ("poll", 3)] {
            lab.sweep(verb, kill(calls, stride, ALONE));
        }
        lab.sweep(verb, kill("sendmsg", 1, CHILDREN));
    }
    println!("with iptables, ADD and DEL were killed at {} points", lab.points);
}

/// A routed veth pair instead of a bridge.
fn ptp() -> Value {
    let ipam = config(json!({}))["ipam"].clone();
    json!({ "cniVersion": "1.1.0", "name": "pods", "type": "ptp", "ipMasq": true, "ipam": ipam })
}

#[test]
fn a_routed_veth_pair_killed_anywhere() {
    sweep("ADD", ptp(), &[kill("sendto", 1, ALONE), kill("write", 2, ALONE)]);
}

#[test]
fn the_end_of_a_routed_veth_pair_killed_anywhere() {
    sweep("DEL", ptp(), &[kill("sendto", 1, ALONE), kill("exit_group", 1, ALONE)]);
}

/// A link only inside the container, and the host's access to it.
fn macvlan() -> Value {
    let ipam = config(json!({}))["ipam"].clone();
    json!({ "cniVersion": "1.1.0", "name": "pods", "type": "macvlan", "master": "uplink",
        "hostAccess": true, "hostRoutes": ["10.96.0.0/12"], "ipam": ipam })
}

#[test]
fn a_macvlan_link_killed_anywhere() {
    sweep(
        "ADD",
        macvlan(),
        &[kill("sendto", 1, ALONE), kill("write", 2, ALONE), kill("flock,fcntl", 1, ALONE)],
    );
}

#[test]
fn the_end_of_a_macvlan_link_killed_anywhere() {
    sweep(
        "DEL",
        macvlan(),
        &[
            kill("sendto", 1, ALONE),
            // A separate thread, with its own count of calls, deletes the host's link.
            kill("sendto", 1, CHILDREN),
            kill("flock,fcntl", 1, CHILDREN),
            kill("exit_group", 1, ALONE),
        ],
    );
}

/// The first ADD of a node makes the shared objects. If it is killed half way, the next one
/// completes them: the final state is that after an undisturbed ADD and DEL.
fn first_add(calls: &'static str, from: usize, stride: usize) {
    let complete = on_a_new_node(|mut lab| {
        lab.join_again("undisturbed");
        lab.shared()
    });
    let mut points = 0;
    for when in (from..).step_by(stride) {
        let cleanup = CLEANUPS[points % CLEANUPS.len()];
        let point = format!("first ADD killed at {calls} no. {when}, then {cleanup:?}");
        let is_done = on_a_new_node(|mut lab| {
            let is_done = killed_at(&lab.call(), "ADD", kill(calls, 1, ALONE), when);
            lab.clean_up(cleanup);
            let left = lab.node.sh(OWNED);
            assert!(!left.contains(CONTAINER) && !left.contains("veth"), "{point}: {left}");
            lab.join_again(&point);
            assert_same!(complete, lab.shared(), "{point}");
            is_done
        });
        if is_done {
            break;
        }
        points += 1;
    }
    println!("the first ADD was killed at {calls} at {points} points");
    assert!(points > 5, "{points}");
}

#[test]
fn a_first_add_killed_at_odd_requests_is_completed_by_the_next() {
    first_add("sendto", 1, 2);
}

#[test]
fn a_first_add_killed_at_even_requests_is_completed_by_the_next() {
    first_add("sendto", 2, 2);
}

#[test]
fn a_first_add_killed_at_files_is_completed_by_the_next() {
    first_add("write", 1, 1);
}

/// Shows what an attachment owns: links, rules, addresses.
const OWNED: &str = "ip link; nft list ruleset; grep -r . /var/lib/cni || true";

/// A node is a thread.
fn on_a_new_node<T: Send>(work: impl FnOnce(Lab) -> T + Send) -> T {
    let work = || work(Lab::untouched(config(json!({}))));
    let done = std::thread::scope(|scope| scope.spawn(work).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
