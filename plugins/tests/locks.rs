//! The locks between calls: an unprivileged user can take none of them, and a call that cannot take
//! a lock continues without it.
#![cfg(test)]

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use testbed::{Cni, Node, Outcome, Pod, assert_same};

const LOCK: &str = "/run/ferrocni/lock";
const FALLBACK: &str = "/var/lib/cni/networks/.ferrocni/lock";
const NOBODY: u32 = 65534;

/// A process of an unprivileged user that holds a lock on the node's namespace file during its
/// lifetime.
struct Holder(Child);

impl Holder {
    fn start() -> Holder {
        let hold = "echo held; exec sleep 1000";
        let mut command = unprivileged(&["flock", "/proc/self/ns/net", "sh", "-c", hold]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        Holder(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // flock waits for its child; `kill` of the group would need one of its own.
        Command::new("pkill").args(["-KILL", "-P", &self.0.id().to_string()]).status().unwrap();
        self.0.wait().unwrap();
    }
}

/// A command of an unprivileged user.
fn unprivileged(command: &[&str]) -> Command {
    let mut run = Command::new("setpriv");
    run.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).args(command);
    run.stdin(Stdio::null());
    run
}

/// A network on a bridge, whose last step fails if `works` is not set.
fn bridge(works: bool) -> Value {
    let gateway = if works { "10.1.2.1" } else { "10.99.0.1" };
    json!({
        "cniVersion": "1.1.0", "name": "pods", "type": "bridge", "bridge": "cbr0", "isGateway": true,
        "ipam": { "type": "host-local", "subnet": "10.1.2.0/24", "routes": [{ "dst": "10.7.0.0/16", "gw": gateway }] },
    })
}

/// A macvlan network with the host's own link.
fn macvlan() -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "lan", "type": "macvlan", "master": "uplink", "hostAccess": true,
        "ipam": { "type": "host-local", "ranges": [[{ "subnet": "192.0.2.0/24", "rangeStart": "192.0.2.100" }]] },
    })
}

fn call(node: &Node, config: &Value, pod: &Pod) -> Cni {
    node.plugin(config["type"].as_str().unwrap()).conf(config).container(pod.name()).netns(pod)
}

/// An ADD that fails at its last step.
fn failing(node: &Node, pod: &Pod) -> Outcome {
    let outcome = call(node, &bridge(false), pod).add();
    assert!(outcome.err().1.contains("add the route 10.7.0.0/16"), "{outcome}");
    outcome
}

fn has(node: &Node, link: &str) -> bool {
    node.sh("ip -br link").lines().any(|line| line.starts_with(link))
}

#[test]
fn an_unprivileged_user_blocks_no_rollback() {
    let node = Node::new();
    node.outside();
    let pods = ["a", "b"].map(|name| node.pod(name));
    let states = |held: bool| {
        let _holder = held.then(Holder::start);
        failing(&node, &pods[0]);
        let after_failure = node.state();
        assert!(!has(&node, "cbr0"), "held: {held}: {after_failure}");
        call(&node, &macvlan(), &pods[0]).add().ok();
        assert!(has(&node, "shim-") && pods[0].ping("192.0.2.1"));
        call(&node, &macvlan(), &pods[0]).del().ok();
        assert!(!has(&node, "shim-"), "held: {held}");
        [after_failure, node.state()]
    };
    let [free, held] = [states(false), states(true)];
    let without_counters = |state: &str| -> String {
        state
            .lines()
            .filter(|line| !line.contains("last_reserved_ip"))
            .map(|line| format!("{line}\n"))
            .collect()
    };
    // Host-local's files and forwarding from the first round are in both states.
    assert_same!(without_counters(&free[1]), without_counters(&held[1]));
    let refused = |what: &[&str]| !unprivileged(what).status().unwrap().success();
    assert!(refused(&["cat", LOCK]) && refused(&["ls", "/run/ferrocni"]));
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("/run/ferrocni"), mode(LOCK)), (0o700, 0o600));
    assert_eq!(fs::read(LOCK).unwrap(), b"");
}

/// Only while another call holds its lock.
#[test]
fn a_bridge_that_another_add_is_about_to_use_stays() {
    let node = Node::new();
    let pod = node.pod("a");
    node.sh("mkdir -m 700 /run/ferrocni; touch /run/ferrocni/lock; chmod 600 /run/ferrocni/lock");
    // A process that may open the file can signal by a lock that something is in use.
    let script = "exec 3<>/run/ferrocni/lock; exec python3 -c '
import fcntl, os, struct, sys
host = os.stat(\"/proc/thread-self/ns/net\").st_ino
fcntl.fcntl(3, 37, struct.pack(\"hhqqi4x\", fcntl.F_RDLCK, 0, host, 1, 0))
print(\"held\", flush=True)
sys.stdin.read()'";
    let mut child = node.command("sh");
    let mut child =
        child.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    failing(&node, &pod);
    assert!(has(&node, "cbr0"));
    node.sh("ip link del cbr0");
    drop(child.stdin.take());
    child.wait().unwrap();
    // The lock ended with its holder.
    failing(&node, &pod);
    assert!(!has(&node, "cbr0"));
}

#[test]
fn where_run_is_read_only_the_lock_is_beside_the_addresses() {
    let node = Node::new();
    let pod = node.pod("a");
    node.sh("mount -o remount,ro /run");
    failing(&node, &pod);
    assert!(!has(&node, "cbr0") && !Path::new(LOCK).exists() && Path::new(FALLBACK).exists());
    call(&node, &bridge(true), &pod).add().ok();
    assert!(pod.ping("10.1.2.1"));
}

#[test]
fn without_locks_all_works_and_shared_objects_stay() {
    let node = Node::new();
    node.outside();
    let pod = node.pod("a");
    node.sh("mount -o remount,ro /run; mkdir -p /var/lib/cni/networks; touch \
        /var/lib/cni/networks/.ferrocni");
    failing(&node, &pod);
    assert!(has(&node, "cbr0"));
    let works = call(&node, &bridge(true), &pod);
    works.add().ok();
    assert!(pod.ping("10.1.2.1"));
    works.del().ok();
    call(&node, &macvlan(), &pod).add().ok();
    assert!(pod.ping("192.0.2.1"));
    call(&node, &macvlan(), &pod).del().ok();
    assert!(has(&node, "shim-"));
}

/// A file that another user may have put in its place is not locked, because that user could open
/// it.
#[test]
fn a_planted_lock_is_not_used() {
    let planted: [(&str, fn()); 5] = [
        ("a folder of another user", || {
            fs::create_dir("/run/ferrocni").unwrap();
            chown("/run/ferrocni", Some(NOBODY), None).unwrap();
        }),
        ("a link to a folder", || {
            fs::create_dir("/run/elsewhere").unwrap();
            symlink("/run/elsewhere", "/run/ferrocni").unwrap();
        }),
        ("a link to a file", || {
            fs::create_dir("/run/ferrocni").unwrap();
            symlink("/run/elsewhere", LOCK).unwrap();
        }),
        ("a file that all can open", || {
            fs::create_dir("/run/ferrocni").unwrap();
            fs::write(LOCK, "").unwrap();
            fs::set_permissions(LOCK, Permissions::from_mode(0o644)).unwrap();
        }),
        ("a file of another user", || {
            fs::create_dir("/run/ferrocni").unwrap();
            fs::write(LOCK, "").unwrap();
            fs::set_permissions(LOCK, Permissions::from_mode(0o600)).unwrap();
            chown(LOCK, Some(NOBODY), None).unwrap();
        }),
    ];
    for (what, plant) in planted {
        let on_a_node = || {
            let node = Node::new();
            let pod = node.pod("a");
            plant();
            failing(&node, &pod);
            assert!(!has(&node, "cbr0"), "{what}");
            assert!(Path::new(FALLBACK).exists(), "{what}");
            assert!(!Path::new("/run/elsewhere/lock").exists(), "{what}");
            call(&node, &bridge(true), &pod).add().ok();
            assert!(pod.ping("10.1.2.1"), "{what}");
        };
        std::thread::scope(|scope| scope.spawn(on_a_node).join()).unwrap();
    }
}
