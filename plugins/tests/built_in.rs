//! host-local is called in the plugin's own process if its file in `CNI_PATH` is from the same
//! build; any other file is run. The answer is the same.
#![cfg(test)]

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testbed::{Cni, Node, Outcome};

/// A directory with bridge and host-local of one build.
const SUITE: &str = "/run/suite";
const TRACE: &str = "/run/execs";

/// A network with one free address.
fn call(node: &Node, container: &str) -> Cni {
    let pod = node.pod(container);
    let config = json!({
        "cniVersion": "1.1.0", "name": "pods", "type": "bridge", "isGateway": true,
        "ipam": { "type": "host-local", "subnet": "10.7.0.0/30", "routes": [{ "dst": "0.0.0.0/0" }] },
    });
    node.plugin("bridge").conf(config).container(container).netns(&pod).suite(SUITE)
}

/// Calls the plugin, and returns the programs that it ran.
fn traced(call: &Cni, verb: &str) -> (Outcome, Vec<String>) {
    let strace = ["strace", "-f", "-qq", "-e", "trace=execve", "-e", "signal=none", "-o", TRACE];
    let outcome = call.clone().under(&strace).raw(verb);
    let trace = fs::read_to_string(TRACE).unwrap();
    let program = |line: &str| Some(line.split_once("execve(\"")?.1.split_once('"')?.0.to_owned());
    (outcome, trace.lines().filter(|line| line.ends_with("= 0")).filter_map(program).collect())
}

/// Fills the directory, and returns the path of host-local.
fn suite() -> PathBuf {
    fs::create_dir(SUITE).unwrap();
    for name in ["bridge", "host-local"] {
        fs::copy(testbed::binary(name), Path::new(SUITE).join(name)).unwrap();
    }
    Path::new(SUITE).join("host-local")
}

/// The answers of ADD, ADD of another container (for which no address is left), CHECK and DEL, and
/// the number of programs that each ran.
fn answers(change: impl FnOnce(&Path)) -> (Vec<String>, Vec<usize>) {
    let node = Node::new();
    change(&suite());
    let (first, second) = (call(&node, "one"), call(&node, "two"));
    let added = traced(&first, "ADD");
    let result: Value = added.0.ok();
    let outcomes = [
        added,
        traced(&second, "ADD"),
        traced(&first.clone().prev(&result), "CHECK"),
        traced(&first, "DEL"),
        traced(&first, "STATUS"),
    ];
    // The MAC of the bridge is random.
    let mac = result["interfaces"][0]["mac"].as_str().unwrap().to_owned();
    let text = |outcome: &Outcome| {
        [outcome.stdout.as_str(), &outcome.stderr].concat().replace(&mac, "MAC")
    };
    let texts = outcomes.iter().map(|(outcome, _)| text(outcome)).collect();
    (texts, outcomes.iter().map(|(_, programs)| programs.len()).collect())
}

#[test]
fn the_same_build_needs_no_second_process() {
    let (_, programs) = answers(|_| ());
    assert_eq!(programs, [1; 5]);
}

#[test]
fn whatever_else_is_there_is_run_and_answers_the_same() {
    let (expected, _) = answers(|_| ());
    assert!(expected[1].contains("no IP addresses available"), "{}", expected[1]);
    let another_build = |file: &Path| {
        let open = OpenOptions::new().read(true).write(true).open(file).unwrap();
        let (mut digit, at) = ([0], open.metadata().unwrap().len() - 2);
        open.read_exact_at(&mut digit, at).unwrap();
        open.write_all_at(if digit == *b"0" { b"1" } else { b"0" }, at).unwrap();
    };
    let stripped = |file: &Path| {
        let open = OpenOptions::new().write(true).open(file).unwrap();
        open.set_len(open.metadata().unwrap().len() - 81).unwrap();
    };
    let wrapped = |file: &Path| {
        fs::rename(file, "/run/suite/real").unwrap();
        fs::write(file, "#!/bin/sh\nexec /run/suite/real\n").unwrap();
        fs::set_permissions(file, Permissions::from_mode(0o755)).unwrap();
    };
    // A refused ADD is followed by a DEL (spec, section 4).
    for (change, programs) in [
        (&another_build as &dyn Fn(&Path), [2, 3, 2, 2, 2]),
        (&stripped, [2, 3, 2, 2, 2]),
        (&wrapped, [3, 5, 3, 3, 3]),
    ] {
        assert_eq!(answers(change), (expected.clone(), programs.to_vec()));
    }
}

#[test]
fn a_file_that_may_not_be_run_is_not_called_in_process() {
    let node = Node::new();
    fs::set_permissions(suite(), Permissions::from_mode(0o644)).unwrap();
    let (_, message, _) = call(&node, "one").add().err();
    assert!(message.contains("/run/suite/host-local") && message.contains("denied"), "{message}");
}
