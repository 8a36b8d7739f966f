//! Unusual files in the place of files that a plugin reads: it names them in an error at once, or
//! they are harmless.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use testbed::{Cni, Node, Outcome, binary};

use crate::plugins;

const FOLDER: &str = "/var/lib/cni/networks/pods";

/// A call on a network whose addresses come from host-local; the node has a pod `a`.
fn call(node: &Node) -> Cni {
    let pod = node.pod("a");
    node.plugin("bridge").conf(&plugins()[0]).netns(&pod)
}

/// The error of a call that ends by itself. A call that waits forever is killed.
#[track_caller]
fn error(call: &Cni, verb: &str) -> String {
    let (_, msg, details) = ended(call, verb).err();
    format!("{msg}\n{details}")
}

#[track_caller]
fn ended(call: &Cni, verb: &str) -> Outcome {
    let outcome = call.within(verb, Duration::from_secs(30));
    assert!(!outcome.hung, "{outcome}");
    outcome
}

#[test]
fn resolv_conf_is_a_regular_file_of_reasonable_size() {
    let node = Node::new();
    let mut config = plugins()[0].clone();
    let pod = node.pod("a");
    node.sh("mkfifo /run/fifo; mkdir /run/folder; truncate -s 1G /run/huge");
    for (path, why) in [
        ("/run/fifo", "it is a FIFO, not a regular file"),
        ("/dev/zero", "it is a character device, not a regular file"),
        ("/run/folder", "it is a folder, not a regular file"),
        ("/run/huge", "it is larger than 1048576 bytes"),
        ("/run/none", "No such file or directory"),
    ] {
        config["ipam"]["resolvConf"] = json!(path);
        let call = node.plugin("bridge").conf(&config).netns(&pod);
        let text = error(&call, "ADD");
        assert!(text.contains(&format!("resolvConf {path}: {why}")), "{text}");
        ended(&call, "DEL").ok();
    }
    config["ipam"]["resolvConf"] = json!("/dev/null");
    node.plugin("bridge").conf(&config).netns(&pod).add().ok();
}

#[test]
fn an_entry_that_is_not_a_file_in_a_networks_directory_is_named() {
    for (make, path) in [
        ("mkdir", "lock"),
        ("mkfifo", "lock"),
        ("mkdir", "last_reserved_ip.0"),
        ("mkfifo", "last_reserved_ip.0"),
    ] {
        let found = std::thread::spawn(move || {
            let node = Node::new();
            let call = call(&node);
            node.sh(&format!("mkdir -p {FOLDER}; {make} {FOLDER}/{path}"));
            error(&call, "ADD")
        });
        let text = found.join().unwrap();
        assert!(text.contains(&format!("{FOLDER}/{path}: ")), "{make} {path}: {text}");
    }
}

#[test]
fn an_entry_that_is_not_a_file_reserves_an_address() {
    let node = Node::new();
    let call = call(&node);
    node.sh(&format!(
        "mkdir -p {FOLDER}/10.1.2.2; mkfifo {FOLDER}/10.1.2.3; ln -s /dev/zero {FOLDER}/10.1.2.4"
    ));
    let result = ended(&call, "ADD").ok();
    assert_eq!(result["ips"][0]["address"], "10.1.2.5/24");
    ended(&call, "DEL").ok();
}

#[test]
fn an_index_that_anybody_may_have_written_is_not_believed() {
    for forge in [
        // It has the right format, and another owner.
        "chown 1000 {}",
        // Sizes that only the header states, and the file does not have.
        "truncate -s 128 {}",
        "rm {}; mkfifo {}",
        "rm {}; mkdir {}",
        "rm {}; ln -s /dev/zero {}",
    ] {
        let done = std::thread::spawn(move || {
            let node = Node::new();
            let call = call(&node);
            node.sh("mkdir -m 777 -p /var/lib/cni/networks");
            call.add().ok();
            node.sh(&forge.replace("{}", "/var/lib/cni/networks/.index/pods"));
            let pod = node.pod("b");
            let other = call.clone().container("c2").netns(&pod);
            assert_eq!(ended(&other, "ADD").ok()["ips"][0]["address"], "10.1.2.3/24", "{forge}");
            ended(&other, "DEL").ok();
            ended(&call, "DEL").ok();
            assert!(fs::read_dir(FOLDER).unwrap().all(|file| {
                let name = file.unwrap().file_name();
                name == "lock" || name == "last_reserved_ip.0"
            }));
        });
        done.join().unwrap();
    }
}

#[test]
fn nothing_is_written_through_a_link_in_the_place_of_the_index() {
    let node = Node::new();
    let call = call(&node);
    node.sh("mkdir -m 777 -p /var/lib/cni/networks; mkdir /run/elsewhere; echo kept > /run/elsewhere/pods
        ln -s /run/elsewhere /var/lib/cni/networks/.index");
    call.add().ok();
    call.del().ok();
    assert_eq!(node.sh("ls -A /run/elsewhere; cat /run/elsewhere/pods"), "pods\nkept\n");
}

/// The standard error of cnitool, which has a minute to fail.
fn cnitool(args: &[&str]) -> String {
    let mut command = Command::new("timeout");
    command.arg("60").arg(binary("cnitool")).args(args);
    command.env("NETCONFPATH", "/run/net.d").env("CNI_PATH", testbed::bin());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn an_entry_that_is_not_a_file_in_cnitools_directories_is_named() {
    let node = Node::new();
    node.pod("a");
    node.sh("mkdir -p /run/net.d /var/lib/cni/results; mkfifo /run/net.d/a.conflist");
    let why = "/run/net.d/a.conflist: it is a FIFO, not a regular file";
    for args in [&["add", "pods", "/run/netns/a"][..], &["lint", "/run/net.d"], &["ls"]] {
        let text = cnitool(args);
        assert!(text.contains(why), "{args:?}: {text}");
    }
    node.sh("rm /run/net.d/a.conflist");
    fs::write("/run/net.d/pods.conf", plugins()[0].to_string()).unwrap();
    let id = "--container-id=c1";
    node.sh("mkfifo /var/lib/cni/results/pods-c1-eth0");
    let text = cnitool(&["check", "pods", "/run/netns/a", id]);
    let why = "/var/lib/cni/results/pods-c1-eth0: it is a FIFO, not a regular file";
    assert!(text.contains(why), "{text}");
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error() {
    let node = Node::new();
    let call = call(&node);
    let limited = call.clone().under(&["prlimit", "--fsize=2"]);
    let text = error(&limited, "ADD");
    assert!(text.contains(&format!("{FOLDER}/.draft: File too large")), "{text}");
    assert_eq!(node.sh(&format!("ls {FOLDER}")).trim(), "lock");
    // Nothing is left that would prevent the next ADD from getting the first address.
    assert_eq!(call.add().ok()["ips"][0]["address"], "10.1.2.2/24");
}
