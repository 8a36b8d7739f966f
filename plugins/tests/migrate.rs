//! Migration from the reference suite to these plugins and back with live containers, as
//! `docs/migrate.md` describes it: they keep their connectivity, CHECK is correct in both suites,
//! and in the end neither suite leaves anything.
#![cfg(test)]

use serde_json::{Value, json};
use testbed::{Cni, Node, Pod, assert_same};

const PLUGINS: [&str; 2] = ["bridge", "ptp"];

/// A network whose containers reach other hosts only with masquerading.
fn network(plugin: &str) -> Value {
    let ipam = json!({ "type": "host-local", "subnet": "10.1.2.0/24", "routes": [{ "dst": "0.0.0.0/0" }] });
    let mut config = json!({ "cniVersion": "1.0.0", "name": "pods", "type": plugin, "ipMasq": true, "ipam": ipam });
    if plugin == "bridge" {
        config["bridge"] = "cbr0".into();
        config["isGateway"] = true.into();
    }
    config
}

fn ours(node: &Node, config: &Value, pod: &Pod) -> Cni {
    node.plugin(config["type"].as_str().unwrap()).conf(config).container(pod.name()).netns(pod)
}

fn theirs(node: &Node, config: &Value, pod: &Pod) -> Cni {
    ours(node, config, pod).suite(testbed::reference())
}

/// The elements that masquerade containers in our table.
fn elements(node: &Node) -> usize {
    node.sh("nft list table inet ferrocni 2>/dev/null || true")
        .matches("comment \"ferrocni:")
        .count()
}

/// The state without what a network keeps on a host after its last container.
fn lasting(node: &Node) -> String {
    let shared = ["last_reserved_ip", "cbr0", "ip_forward", "/.ferrocni", "/index", "/lock"];
    let state = node.state();
    state
        .lines()
        .filter(|line| !shared.iter().any(|it| line.contains(it)))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// A host without rules, which has had containers of the network before.
fn used(plugin: &str) -> (Node, Pod) {
    let node = Node::new();
    node.outside();
    let pod = node.pod("live");
    let call = theirs(&node, &network(plugin), &pod);
    call.add().ok();
    call.del().ok();
    (node, pod)
}

fn reaches_the_world(pod: &Pod) -> bool {
    pod.ping("192.0.2.2")
}

fn back(plugin: &str) {
    let (node, pod) = used(plugin);
    let before = lasting(&node);
    let config = network(plugin);
    let result = ours(&node, &config, &pod).add().ok();
    assert!(reaches_the_world(&pod) && elements(&node) == 1);
    // The network's file changes, and `cnitool repair` moves the live containers.
    let mut config = config;
    config["ipMasqBackend"] = "iptables".into();
    let refused = ours(&node, &config, &pod).prev(&result).check().err().2;
    assert!(refused.contains("10.1.2.3 is also masqueraded by nf_tables"), "{refused}");
    let repaired = ours(&node, &config, &pod).prev(&result).raw("REPAIR").ok();
    assert!(repaired.to_string().contains("missing: iptables -t nat"), "{repaired}");
    assert_eq!(elements(&node), 0, "an element of ours would stay for ever");
    ours(&node, &config, &pod).prev(&result).check().ok();
    assert!(reaches_the_world(&pod));
    // The binaries are replaced: live attachments stay live, deleted ones leave nothing.
    assert!(reaches_the_world(&pod));
    theirs(&node, &config, &pod).prev(&result).check().ok();
    theirs(&node, &config, &pod).prev(&result).del().ok();
    node.sh("nft delete table inet ferrocni");
    assert_same!(before, lasting(&node));
}

#[test]
fn back_to_the_reference_with_live_containers() {
    PLUGINS.iter().for_each(|plugin| apart(|| back(plugin)));
}

/// The purpose of the repair: without it, DEL of the other suite fails, and this suite's element
/// stays.
#[test]
fn without_the_repair_an_element_would_stay() {
    let (node, pod) = used("bridge");
    let config = network("bridge");
    let result = ours(&node, &config, &pod).add().ok();
    let (_, msg, _) = theirs(&node, &config, &pod).prev(&result).del().err();
    assert!(msg.contains("iptables -t nat -D POSTROUTING"), "{msg}");
    node.delete(&pod);
    assert_eq!(elements(&node), 1);
}

fn there(plugin: &str) {
    let (node, pod) = used(plugin);
    let before = lasting(&node);
    let config = network(plugin);
    let result = theirs(&node, &config, &pod).add().ok();
    assert!(reaches_the_world(&pod));
    // This suite's CHECK knows the reference's rules. The reference's ptp leaves two settings of
    // the container's interface unchanged.
    let call = || ours(&node, &config, &pod).prev(&result);
    let settings: Vec<String> = serde_json::from_value(call().raw("REPAIR").ok()).unwrap();
    assert_eq!(settings.len(), if plugin == "ptp" { 2 } else { 0 }, "{settings:?}");
    assert!(settings.iter().all(|it| it.starts_with("sysctl net/")), "{settings:?}");
    call().check().ok();
    // Another difference is repaired, and the masquerading stays unchanged.
    pod.sh("ip link set eth0 down");
    assert!(call().raw("REPAIR").ok().to_string().contains("is down"));
    assert!(elements(&node) == 0 && reaches_the_world(&pod));
    // Without the reference's rules the container is not masqueraded, and the repair masquerades
    // it.
    node.sh(
        "iptables -t nat -F; iptables -t nat -S | sed -n 's/^-N/-X/p' | xargs -r iptables -t nat",
    );
    assert!(!reaches_the_world(&pod));
    let refused = call().check().err().2;
    assert!(refused.contains("10.1.2.3 is not masqueraded"), "{refused}");
    call().raw("REPAIR").ok();
    assert!(elements(&node) == 1 && reaches_the_world(&pod));
    call().del().ok();
    assert_eq!(elements(&node), 0);
    let after = lasting(&node);
    let _ = node.try_run(&["nft", "delete", "table", "inet", "ferrocni"]);
    assert_same!(before, lasting(&node), "{after}");
}

#[test]
fn from_the_reference_with_live_containers() {
    PLUGINS.iter().for_each(|plugin| apart(|| there(plugin)));
}

/// On a node of its own.
fn apart(work: impl FnOnce() + Send) {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap());
}
