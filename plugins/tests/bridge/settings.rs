//! Keys of the configuration, as the kernel has them.

use serde_json::json;
use testbed::{Node, assert_same};

use crate::{GATEWAYS, call, config, join, main_config, without_counters, without_network};

#[test]
fn settings_reach_the_kernel() {
    let node = Node::new();
    let pod = node.pod("a");
    let config = config(json!({
        "mtu": 1300,
        "promiscMode": true,
        "ipam": {
            "type": "host-local",
            "subnet": "10.1.2.0/24",
            "routes": [
                { "dst": "10.9.0.0/16", "mtu": 1200, "advmss": 1000, "priority": 7 },
                { "dst": "10.10.0.0/16", "gw": "10.1.2.99", "table": 100 },
                { "dst": "10.11.0.0/16", "scope": 253 }
            ]
        }
    }));
    let result = call(&node, &config, &pod)
        .args("IgnoreUnknown=1;MAC=02:11:22:33:44:55;K8S_POD_NAME=x")
        .add()
        .ok();
    assert_eq!(result["interfaces"][2]["mac"], "02:11:22:33:44:55");
    let state = node.state();
    for line in ["promisc", "mtu 1300"] {
        assert!(
            state.lines().any(|seen| seen.contains("link cbr0") && seen.contains(line)),
            "{line}: {state}"
        );
    }
    let routes = pod.sh("ip route show table all");
    for route in [
        "10.9.0.0/16 via 10.1.2.1 dev eth0 metric 7 mtu 1200 advmss 1000",
        "10.10.0.0/16 via 10.1.2.99 dev eth0 table 100",
        "10.11.0.0/16 dev eth0 scope link",
        "default via 10.1.2.1 dev eth0",
    ] {
        assert!(routes.contains(route), "{route} in {routes}");
    }
    let link = pod.sh("ip link show eth0");
    assert!(link.contains("02:11:22:33:44:55") && link.contains("mtu 1300"), "{link}");
}

#[test]
fn a_container_that_has_ipv6_switched_off_gets_it_switched_on() {
    let node = Node::new();
    let pod = node.pod("a");
    pod.sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
    join(&node, &main_config(), &pod);
    assert!(pod.ping(GATEWAYS[1]));
}

#[test]
fn duplicate_address_detection_is_waited_for() {
    let node = Node::new();
    let pod = node.pod("a");
    join(&node, &config(json!({ "enabledad": true })), &pod);
    let addresses = pod.sh("ip -6 addr show dev eth0");
    assert!(!addresses.contains("tentative") && addresses.contains("fd00:1:2::2"), "{addresses}");
    // Another container has the next address already.
    let taken = node.pod("b");
    node.sh("ip -6 addr add fd00:1:2::3/64 dev cbr0 nodad");
    let before = node.state();
    let (_, msg, _) = call(&node, &config(json!({ "enabledad": true })), &taken).add().err();
    assert!(msg.contains("DADFAILED"), "{msg}");
    assert_same!(without_counters(&before), without_counters(&node.state()));
}

#[test]
fn a_container_can_do_without_an_interface_that_is_up() {
    let node = Node::new();
    let pod = node.pod("a");
    let config = json!({ "cniVersion": "1.1.0", "name": "wire", "type": "bridge", "disableContainerInterface": true });
    let result = call(&node, &config, &pod).add().ok();
    assert_eq!(result.get("ips"), None);
    assert!(node.state().contains("link eth0 veth down"), "{}", node.state());
    let (code, msg, _) =
        call(&node, &self::config(json!({ "disableContainerInterface": true })), &pod).add().err();
    assert_eq!(
        (code, msg.as_str()),
        (7, "cannot use IPAM when DisableContainerInterface flag is set")
    );
}

#[test]
fn a_second_address_of_the_bridge_is_refused_or_replaced() {
    let node = Node::new();
    let pod = node.pod("a");
    join(&node, &main_config(), &pod);
    let other = |force: bool| {
        config(
            json!({ "name": "other", "forceAddress": force, "ipam": { "type": "host-local", "ranges": [
                [{ "subnet": "10.5.0.0/24" }], [{ "subnet": "fd00:5::/64" }],
            ]}}),
        )
    };
    let second = node.pod("b");
    let before = node.state();
    let (_, msg, details) = call(&node, &other(false), &second).add().err();
    assert!(msg.contains("\"cbr0\" already has an IP address different from 10.5.0.1/24"), "{msg}");
    assert!(details.contains("by 1 container of the network \"pods\""), "{details}");
    assert_same!(before, without_network(&node.state(), "other"));
    join(&node, &other(true), &second);
    let state = node.state();
    assert!(state.contains("10.5.0.1/24") && !state.contains("addr 10.1.2.1/24"), "{state}");
    // IPv6 subnets that do not overlap do not disturb each other.
    assert!(state.contains("fd00:5::1/64") && state.contains("fd00:1:2::1/64"), "{state}");
    assert!(second.ping("10.5.0.1") && second.ping("fd00:5::1"));
}

/// Each ADD with `forceAddress` removes the bridge's address; a repair restores it, and removes
/// none.
#[test]
fn a_repair_under_force_address_leaves_the_gateway_of_other_living_containers() {
    let node = Node::new();
    let forced = |subnet: &str| {
        config(json!({ "forceAddress": true, "ipam": { "type": "host-local", "subnet": subnet } }))
    };
    let (old, new) = (node.pod("old"), node.pod("new"));
    let (before, after) = (forced("10.1.2.0/24"), forced("10.5.0.0/24"));
    let first = call(&node, &before, &old).add().ok();
    let second = call(&node, &after, &new).add().ok();
    assert!(new.ping("10.5.0.1") && !old.ping("10.1.2.1"));
    let first = call(&node, &before, &old).prev(&first);
    let second = call(&node, &after, &new).prev(&second);
    assert_eq!(second.raw("REPAIR").ok(), json!([]));
    assert_eq!(first.raw("REPAIR").ok(), json!(["address 10.1.2.1/24 is not on cbr0"]));
    assert!(new.ping("10.5.0.1") && old.ping("10.1.2.1"));
    first.check().ok();
    second.check().ok();
}
