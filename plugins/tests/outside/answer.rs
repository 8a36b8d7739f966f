//! An ADD whose answer does not arrive is rolled back.

use std::fs::{File, OpenOptions};
use std::process::{Output, Stdio};

use serde_json::Value;
use testbed::{Cni, Node, assert_same};

use crate::{kind, plugins};

/// Runs ADD with standard output as given, or through a shell that arranges it.
fn add(call: &Cni, stdout: impl Into<Stdio>) -> Output {
    let (mut command, input) = call.prepared("ADD");
    command.stdout(stdout);
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input).ok();
    child.wait_with_output().unwrap()
}

/// The call under a shell that does something to its standard output.
fn redirected(call: &Cni, redirection: &str) -> Output {
    add(
        &call.clone().under(&["/bin/sh", "-c", &format!("exec \"$0\" {redirection}")]),
        Stdio::null(),
    )
}

/// The call with its standard output in a file of the node.
fn to_file(call: &Cni) -> Output {
    let file = File::create("/run/answer").unwrap();
    std::fs::remove_file("/run/answer").unwrap();
    add(call, file)
}

fn node_for(config: &Value) -> Node {
    let node = Node::new();
    if kind(config) == "macvlan" {
        node.outside();
    }
    node
}

/// The state of the node, except the last assigned address, which changes even if the ADD is rolled
/// back.
fn state(node: &Node) -> String {
    node.sh("rm -f /var/lib/cni/networks/pods/last_reserved_ip.0");
    node.state()
}

#[track_caller]
fn failed(output: &Output, why: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(stderr.contains(why), "{stderr}");
}

#[test]
fn an_add_whose_answer_does_not_arrive_leaves_nothing() {
    // This kernel may have no tunnels for ipip.
    for config in plugins().into_iter().filter(|config| kind(config) != "ipip") {
        std::thread::spawn(move || leaves_nothing(&config)).join().unwrap();
    }
}

fn leaves_nothing(config: &Value) {
    let node = node_for(config);
    let pod = node.pod("a");
    let call = node.plugin(kind(config)).conf(config).netns(&pod);
    // Objects that a network has for all its containers stay after the last.
    call.add().ok();
    call.del().ok();
    let before = state(&node);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    failed(&add(&call, full), "cannot write the answer: No space left on device");
    assert_same!(before, state(&node), "{config} on a full disk");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    failed(&add(&call, writer), "cannot write the answer: Broken pipe");
    assert_same!(before, state(&node), "{config} without a reader");
    failed(&add(&call, File::open("/dev/null").unwrap()), "cannot write the answer: Bad file");
    assert_same!(before, state(&node), "{config} on a file that is open to be read");
    let other = node.plugin(kind(config)).conf(config).netns(&pod).container("c2");
    other.add().ok();
    other.del().ok();
}

#[test]
fn cnitool_undoes_an_add_whose_answer_does_not_arrive() {
    let node = Node::new();
    node.pod("a");
    std::fs::create_dir("/run/net.d").unwrap();
    std::fs::write("/run/net.d/pods.conf", plugins()[0].to_string()).unwrap();
    let tool = |verb: &str| {
        let mut command = std::process::Command::new(testbed::binary("cnitool"));
        command.args([verb, "pods", "/run/netns/a"]);
        command.env("NETCONFPATH", "/run/net.d").env("CNI_PATH", testbed::bin());
        command
    };
    let add = || tool("add");
    assert!(add().output().unwrap().status.success());
    let again = add().stdout(OpenOptions::new().write(true).open("/dev/full").unwrap()).output();
    // That attachment existed before.
    assert_eq!(again.unwrap().status.code(), Some(1));
    assert!(tool("check").output().unwrap().status.success());
    assert!(tool("del").output().unwrap().status.success());
    let before = state(&node);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = add().stdout(full).output().unwrap();
    failed(&output, "cannot write the result to standard output: No space left on device");
    assert_same!(before, state(&node));
}

#[test]
fn an_add_without_standard_output_does_nothing() {
    let config = &plugins()[0];
    let node = Node::new();
    let pod = node.pod("a");
    let call = node.plugin("bridge").conf(config).netns(&pod);
    let before = state(&node);
    failed(&redirected(&call, ">&-"), "standard output is closed");
    assert_same!(before, state(&node));
    // A caller may discard the answer on purpose.
    let output = redirected(&call, ">/dev/null");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn an_add_whose_answer_is_longer_than_a_file_may_be_leaves_nothing() {
    let config = &plugins()[0];
    let node = Node::new();
    let pod = node.pod("a");
    let call = node.plugin("bridge").conf(config).netns(&pod);
    call.add().ok();
    call.del().ok();
    let before = state(&node);
    // Long enough for the reservation, not for the answer.
    let limited = call.clone().under(&["prlimit", "--fsize=100"]);
    failed(&to_file(&limited), "File too large");
    assert_same!(before, state(&node));
}
