//! `loopback` on a real kernel.
#![cfg(test)]

use serde_json::json;
use testbed::{Node, assert_same};

#[test]
fn the_loopback_interface_is_brought_up_and_down() {
    let node = Node::new();
    let pod = node.pod("a");
    let before = node.state();
    let call = node
        .plugin("loopback")
        .conf(json!({ "cniVersion": "1.1.0", "name": "lo", "type": "loopback" }))
        .netns(&pod)
        .ifname("lo");
    let result = call.add().ok();
    assert_eq!(
        result,
        json!({
            "cniVersion": "1.1.0",
            "interfaces": [{ "name": "lo", "mac": "00:00:00:00:00:00", "sandbox": pod.path() }],
            "ips": [{ "address": "127.0.0.1/8", "interface": 0 }, { "address": "::1/128", "interface": 0 }]
        })
    );
    assert!(pod.ping("127.0.0.1") && pod.ping("::1"));
    call.clone().prev(&result).check().ok();
    pod.sh("ip link set lo down");
    let (_, _, details) = call.clone().prev(&result).check().err();
    assert_eq!(details, "loopback interface is down");
    assert_eq!(
        call.clone().prev(&result).raw("REPAIR").ok(),
        json!(["loopback interface is down"])
    );
    for _ in 0..2 {
        call.del().ok();
        // The kernel leaves 127.0.0.1 on a link that is down.
        let after = node.state().replace("addr 127.0.0.1/8 dev lo scope host\n", "");
        assert_same!(before.replace("addr 127.0.0.1/8 dev lo scope host\n", ""), after);
    }
    call.clone().unset("CNI_NETNS").del().ok();
    call.env("CNI_NETNS", "/run/netns/never").del().ok();
}

#[test]
fn a_previous_result_passes_through() {
    let node = Node::new();
    let pod = node.pod("a");
    let prev = json!({
        "cniVersion": "1.0.0",
        "interfaces": [{ "name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": pod.path() }],
        "ips": [{ "address": "10.1.2.3/24", "interface": 0 }]
    });
    let call = node
        .plugin("loopback")
        .conf(json!({ "cniVersion": "1.0.0", "name": "lo", "type": "loopback" }))
        .prev(&prev)
        .netns(&pod);
    assert_eq!(call.add().ok(), prev);
}

#[test]
fn every_version_gets_its_own_shape() {
    let node = Node::new();
    for (version, shape) in [
        (
            "0.2.0",
            json!({ "cniVersion": "0.2.0", "ip4": { "ip": "127.0.0.1/8" }, "ip6": { "ip": "::1/128" }, "dns": {} }),
        ),
        (
            "0.3.1",
            json!({
                "cniVersion": "0.3.1",
                "interfaces": [{ "name": "lo", "mac": "00:00:00:00:00:00", "sandbox": "/run/netns/p0.3.1" }],
                "ips": [
                    { "version": "4", "address": "127.0.0.1/8", "interface": 0 },
                    { "version": "6", "address": "::1/128", "interface": 0 }
                ],
                "dns": {}
            }),
        ),
    ] {
        let pod = node.pod(&format!("p{version}"));
        let config = json!({ "cniVersion": version, "name": "lo", "type": "loopback" });
        assert_eq!(node.plugin("loopback").conf(config).netns(&pod).add().ok(), shape);
    }
}

#[test]
fn a_foreign_address_on_lo_is_an_error() {
    let node = Node::new();
    let pod = node.pod("a");
    pod.sh("ip addr add 10.1.2.3/24 dev lo");
    let config = json!({ "cniVersion": "1.1.0", "name": "lo", "type": "loopback" });
    let (_, msg, _) = node.plugin("loopback").conf(config).netns(&pod).add().err();
    assert!(
        msg.contains("loopback interface found with non-loopback address \"10.1.2.3/24\""),
        "{msg}"
    );
}
