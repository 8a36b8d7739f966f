//! Many concurrent calls of `bridge`: ADDs, DELs and failing ADDs.
#![cfg(test)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;

use serde_json::{Value, json};
use testbed::{Cni, Node, Outcome, Pod};

const GATEWAYS: [&str; 2] = ["10.1.2.1", "fd00:1:2::1"];

/// The network `name` on the bridge of the same name, its subnets numbered.
fn network(name: &str, subnet: u8) -> Value {
    json!({
        "cniVersion": "1.1.0",
        "name": name,
        "type": "bridge",
        "bridge": name,
        "isDefaultGateway": true,
        "ipMasq": true,
        "macspoofchk": true,
        "ipam": {
            "type": "host-local",
            "ranges": [
                [{ "subnet": format!("10.1.{subnet}.0/24") }],
                [{ "subnet": format!("fd00:1:{subnet}::/64") }],
            ]
        }
    })
}

fn call(node: &Node, config: &Value, pod: &Pod) -> Cni {
    node.plugin("bridge").conf(config).container(pod.name()).netns(pod)
}

/// Makes all calls at the same time.
fn at_once(calls: &[(&str, Cni)]) -> Vec<Outcome> {
    thread::scope(|scope| {
        let running = calls.iter().map(|(verb, call)| scope.spawn(move || call.raw(verb)));
        running.collect::<Vec<_>>().into_iter().map(|call| call.join().unwrap()).collect()
    })
}

/// The objects of attachments: their links, rules and addresses.
fn owned(node: &Node) -> Vec<String> {
    let is_owned = |line: &str| {
        ["veth", "ferrocni:", "/10.1.", "/fd00:"].iter().any(|mark| line.contains(mark))
    };
    node.state().lines().filter(|line| is_owned(line)).map(str::to_owned).collect()
}

/// Half of the containers are added while the other half is deleted, then the reverse.
fn come_and_go(networks: &[Value]) {
    let node = Node::new();
    let pods: Vec<Pod> = (0..32).map(|index| node.pod(&format!("p{index}"))).collect();
    let call_of = |index: usize| call(&node, &networks[index % networks.len()], &pods[index]);
    let calls = |coming: usize| -> Vec<_> {
        (0..pods.len())
            .map(|index| (if index / 2 % 2 == coming { "ADD" } else { "DEL" }, call_of(index)))
            .collect()
    };
    for coming in [0, 1, 0, 1] {
        at_once(&calls(coming)).iter().for_each(|outcome| drop(outcome.ok()));
        for (index, pod) in pods.iter().enumerate().filter(|(index, _)| index / 2 % 2 == coming) {
            let subnet = 2 + index % networks.len();
            assert!(pod.ping(format!("10.1.{subnet}.1")), "{} after round {coming}", pod.name());
            assert!(pod.ping(format!("fd00:1:{subnet}::1")), "{}, IPv6", pod.name());
        }
    }
    let last: Vec<_> = (0..pods.len()).map(|index| ("DEL", call_of(index))).collect();
    at_once(&last).iter().for_each(|outcome| drop(outcome.ok()));
    assert_eq!(owned(&node), Vec::<String>::new());
}

#[test]
fn adds_and_dels_of_one_network() {
    come_and_go(&[network("br2", 2)]);
}

#[test]
fn adds_and_dels_of_two_networks() {
    come_and_go(&[network("br2", 2), network("br3", 3)]);
}

/// The failing ADD makes the bridge, or finds it; in both cases it must not remove it while others
/// use it.
#[test]
fn an_add_that_fails_takes_nothing_from_others() {
    for round in 0..20 {
        thread::spawn(move || failing_among_others(round)).join().unwrap();
    }
}

fn failing_among_others(round: usize) {
    let node = Node::new();
    let config = network("br2", 2);
    let mut bad = config.clone();
    bad["ipam"] = unreachable_route();
    let path = format!("/run/plugins:{}", testbed::bin().display());
    let failing = node.pod("failing");
    let pods = ["a", "b", "c"].map(|name| node.pod(name));
    let mut calls: Vec<_> = pods.iter().map(|pod| ("ADD", call(&node, &config, pod))).collect();
    calls.insert(
        round % 4,
        ("ADD", call(&node, &bad, &failing).container("unwanted").env("CNI_PATH", path)),
    );
    let outcomes = at_once(&calls);
    for (index, ((_, call), outcome)) in calls.iter().zip(&outcomes).enumerate() {
        if index == round % 4 {
            let (_, msg, _) = outcome.err();
            assert!(msg.contains("add the route 10.7.0.0/16"), "{msg}");
        } else {
            call.clone().prev(&outcome.ok()).check().ok();
        }
    }
    for pod in &pods {
        for gateway in GATEWAYS {
            assert!(pod.ping(gateway), "round {round}: {gateway} from {}", pod.name());
        }
    }
    assert!(!node.state().contains("unwanted"), "round {round}: {}", node.state());
}

/// An IPAM plugin whose answer fails only when the route is made, almost at the end of ADD.
fn unreachable_route() -> Value {
    let result = json!({
        "cniVersion": "1.1.0",
        "ips": [{ "address": "10.1.2.200/24", "gateway": "10.1.2.1" }],
        "routes": [{ "dst": "10.7.0.0/16", "gw": "10.99.0.1" }]
    });
    fs::create_dir_all("/run/plugins").unwrap();
    let script =
        format!("#!/bin/sh\ncat >/dev/null\n[ $CNI_COMMAND = ADD ] && echo '{result}'\nexit 0\n");
    fs::write("/run/plugins/unreachable", script).unwrap();
    fs::set_permissions("/run/plugins/unreachable", fs::Permissions::from_mode(0o755)).unwrap();
    json!({ "type": "unreachable" })
}
