//! Killed at any point, `bridge` leaves nothing that the next DEL or GC does not remove.
//!
//! `strace` kills it right before a system call: every one that changes something, one after the other, so that every
//! state in between is seen. What is shared stays: the bridge and its addresses, forwarding, the tables and their
//! chains, host-local's lock and counters.

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

/// Which calls to kill at.
#[derive(Debug, Clone, Copy)]
struct Kill {
    /// A system call, or several that count as one, as `strace -e` takes them.
    calls: &'static str,
    /// Only every so many-th of them.
    stride: usize,
    /// Whether processes that the plugin starts (host-local, iptables) are killed too, each at its own N-th call.
    /// Without, they go on alone.
    children: bool,
}

const fn kill(calls: &'static str, stride: usize, children: bool) -> Kill {
    Kill { calls, stride, children }
}

const ALONE: bool = false;
const CHILDREN: bool = true;

/// How what a kill left is cleaned up.
#[derive(Debug, Clone, Copy)]
enum Cleanup {
    /// DEL as runtimes send it that have no result.
    Del,
    /// DEL without `CNI_NETNS`, the namespace still there.
    DelBlind,
    /// DEL after the namespace is gone.
    DelGone,
    /// GC with an empty list of valid attachments.
    Gc,
}

const CLEANUPS: [Cleanup; 4] = [Cleanup::Del, Cleanup::Gc, Cleanup::DelBlind, Cleanup::DelGone];

/// A node with the shared things made, and a pod to join to them.
struct Lab {
    node: Node,
    pod: Pod,
    config: Value,
    /// The state that every cleanup has to come back to.
    clean: String,
    points: usize,
}

impl Lab {
    fn new(config: Value) -> Lab {
        let node = Node::new();
        let pod = node.pod("pod");
        let mut lab = Lab { node, pod, config, clean: String::new(), points: 0 };
        lab.call().add().ok();
        lab.call().del().ok();
        lab.renew_pod();
        lab.clean = lasting(&lab.node.state());
        lab
    }

    fn call(&self) -> Cni {
        self.node.plugin("bridge").conf(&self.config).container("c1").netns(&self.pod)
    }

    /// Deletes the pod's namespace and makes a new one.
    fn renew_pod(&mut self) {
        self.node.delete(&self.pod);
        self.pod = self.node.pod("pod");
    }

    /// Kills `verb` at one call after the other, until it gets through.
    fn sweep(&mut self, verb: &str, kill: Kill) {
        let mut killed = 0;
        for when in (1..1000).step_by(kill.stride) {
            if verb == "DEL" {
                self.call().add().ok();
            }
            let is_done = killed_at(&self.call(), verb, kill, when);
            let cleanup = CLEANUPS[self.points % CLEANUPS.len()];
            self.clean_up(
                cleanup,
                &format!("{verb} killed at {} no. {when}, then {cleanup:?}", kill.calls),
            );
            if is_done {
                break;
            }
            self.points += 1;
            killed += 1;
        }
        assert!(killed > 0, "{verb} was never killed at {}", kill.calls);
    }

    /// Cleans up, and looks: nothing is left, and the container can join again.
    fn clean_up(&mut self, cleanup: Cleanup, point: &str) {
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
        assert_same!(self.clean, lasting(&self.node.state()), "{point}");
        call.add().ok();
        for gateway in ["10.1.2.1", "fd00:1:2::1"] {
            assert!(self.pod.ping(gateway), "{point}: {gateway} is not in reach");
        }
        call.del().ok();
        self.renew_pod();
    }
}

/// Calls `verb` under `strace`, which kills it. True if it got through.
fn killed_at(call: &Cni, verb: &str, kill: Kill, when: usize) -> bool {
    let trace = format!("trace={}", kill.calls);
    let inject = format!("inject={}:signal=KILL:when={when}", kill.calls);
    let mut strace = vec!["strace", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    if kill.children {
        strace.push("-f");
    }
    call.clone().under(&strace).raw(verb).status.success()
}

/// A state without what is shared and comes or goes by the way: the files that say which address was handed out last,
/// and the chains of subnets, which GC removes when nobody is left in them.
fn lasting(state: &str) -> String {
    let mut in_subnet = false;
    let is_lasting = |line: &&str| {
        let ends = in_subnet && line.starts_with("\t}");
        in_subnet = (in_subnet && !ends) || line.starts_with("\tchain masq_");
        !in_subnet && !ends && !line.contains("last_reserved_ip")
    };
    state.split_inclusive('\n').filter(is_lasting).collect()
}

/// Kills a verb at all of the calls, and says at how many points.
fn sweep(verb: &str, config: Value, kills: &[Kill]) {
    let mut lab = Lab::new(config);
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
            kill("clone3,clone,fork,vfork", 1, ALONE),
            kill("setns", 3, ALONE),
            kill("openat", 4, ALONE),
            kill("flock", 1, ALONE),
            kill("exit_group", 1, ALONE),
        ],
    );
}

#[test]
fn an_add_killed_with_its_children() {
    sweep(
        "ADD",
        config(json!({})),
        &[
            kill("poll", 1, CHILDREN),
            kill("execve", 1, CHILDREN),
            kill("write", 2, CHILDREN),
            kill("linkat,link", 1, CHILDREN),
            kill("unlink,unlinkat", 1, CHILDREN),
            kill("rename,renameat,renameat2", 1, CHILDREN),
            kill("flock", 1, CHILDREN),
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
            kill("write", 1, ALONE),
            kill("clone3,clone,fork,vfork", 1, ALONE),
            kill("setns", 1, ALONE),
            kill("exit_group", 1, ALONE),
            kill("poll", 1, CHILDREN),
            kill("execve", 1, CHILDREN),
            kill("unlink,unlinkat", 1, CHILDREN),
        ],
    );
}
