//! Names and MAC addresses that the kernel would reject or misinterpret: the plugin rejects them
//! with a message, before it changes anything.

use serde_json::json;
use testbed::{Cni, Node, Outcome, Pod, assert_same, binary};

use crate::plugins;

/// The message of a rejected call.
#[track_caller]
fn said(outcome: &Outcome) -> String {
    let (_, msg, details) = outcome.err();
    format!("{msg}\n{details}")
}

#[test]
fn an_interface_name_with_a_percent_sign_is_refused() {
    let node = Node::new();
    let pod = node.pod("a");
    let call = node.plugin("bridge").conf(&plugins()[0]).netns(&pod);
    let before = node.state();
    for name in ["eth%d", "%", "a%%b"] {
        for verb in ["ADD", "PLAN"] {
            let text = said(&call.clone().ifname(name).raw(verb));
            assert!(
                text.contains("interface name contains %\nthe kernel takes it as a pattern"),
                "{text}"
            );
        }
    }
    let text = said(&call.key("bridge", "cbr%d").add());
    assert!(text.contains("bridge: interface name contains %"), "{text}");
    assert_same!(before, node.state());
}

/// A call with a MAC address in each of the places that a plugin reads.
fn ways(node: &Node, pod: &Pod, mac: &str) -> Vec<Cni> {
    let mut calls = Vec::new();
    for config in [&plugins()[0], &plugins()[2]] {
        let call = node.plugin(config["type"].as_str().unwrap()).conf(config).netns(pod);
        calls.push(call.clone().key("runtimeConfig", json!({ "mac": mac })));
        calls.push(call.clone().key("args", json!({ "cni": { "mac": mac } })));
        calls.push(call.clone().args(&format!("MAC={mac}")));
        if config["type"] == "macvlan" {
            calls.push(call.key("mac", mac));
        }
    }
    calls
}

#[test]
fn mac_addresses_that_no_link_can_have_are_refused() {
    let node = Node::new();
    node.outside();
    let pod = node.pod("a");
    for (mac, why) in [
        ("00:00:00:00:00:00", "it is all zero"),
        ("01:00:5e:00:00:01", "it is a multicast address"),
        ("ff-ff-ff-ff-ff-ff", "it is a multicast address"),
        ("0300.5e00.0001", "it is a multicast address"),
    ] {
        let calls = ways(&node, &pod, mac);
        let before = node.state();
        for call in calls {
            for verb in ["ADD", "PLAN"] {
                let outcome = call.raw(verb);
                assert_eq!(outcome.err().0, 7, "{outcome}");
                let text = said(&outcome);
                assert!(text.contains(&format!("invalid MAC address: {mac}: {why}")), "{outcome}");
            }
            assert_same!(before, node.state());
            // A mistake made after ADD must not block the removal of what ADD made.
            call.del().ok();
        }
    }
}

#[test]
fn lint_reports_invalid_mac_addresses() {
    let node = Node::new();
    let bed = |config: &serde_json::Value| {
        std::fs::write("/run/pods.conf", config.to_string()).unwrap();
        let mut command = std::process::Command::new(binary("cnitool"));
        let output = command.args(["lint", "--no-host", "/run/pods.conf"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    node.outside();
    for (key, value) in [
        ("args", json!({ "cni": { "mac": "01:00:5e:00:00:01" } })),
        ("runtimeConfig", json!({ "mac": "01:00:5e:00:00:01" })),
        ("mac", json!("01:00:5e:00:00:01")),
    ] {
        let mut config = plugins()[2].clone();
        config[key] = value;
        let text = bed(&config);
        assert!(
            text.contains("is not a valid MAC address of an interface: it is a multicast address"),
            "{text}"
        );
    }
    let mut config = plugins()[0].clone();
    config["bridge"] = "br%d".into();
    let text = bed(&config);
    assert!(text.contains("interface name contains %"), "{text}");
}
