//! A host that has IPv6 switched off by sysctl.

use serde_json::json;
use testbed::Node;

use super::read_only::{make_read_only, without_reservations};
use super::{call, network};

const SUBNETS: [&str; 2] = ["10.1.2.0/24", "fd00:1::/64"];

#[test]
fn gateways_have_ipv6_although_the_host_has_it_switched_off() {
    for of in ["default", "all"] {
        for plugin in ["bridge", "ptp"] {
            std::thread::spawn(move || {
                let node = Node::new();
                node.sh(&format!("sysctl -qw net.ipv6.conf.{of}.disable_ipv6=1"));
                let (a, b) = (node.pod("a"), node.pod("b"));
                let config = network(plugin, "pods", &SUBNETS, json!({ "isDefaultGateway": true }));
                for pod in [&a, &b] {
                    let result = call(&node, &config, pod).add().ok();
                    call(&node, &config, pod).prev(&result).check().ok();
                }
                for address in ["10.1.2.1", "fd00:1::1", "10.1.2.3", "fd00:1::3"] {
                    assert!(a.ping(address), "{plugin}, {of}: {address}");
                }
                // The other links keep their setting.
                let off = node.sh(&format!("sysctl -n net.ipv6.conf.{of}.disable_ipv6"));
                assert_eq!(off.trim(), "1");
                call(&node, &config, &a).del().ok();
                call(&node, &config, &b).del().ok();
            })
            .join()
            .unwrap();
        }
    }
}

/// A bridge that its first container made without IPv6.
#[test]
fn a_bridge_gets_ipv6_with_its_first_gateway_that_has_such_an_address() {
    let node = Node::new();
    node.sh("sysctl -qw net.ipv6.conf.default.disable_ipv6=1");
    let (a, b) = (node.pod("a"), node.pod("b"));
    let keys = json!({ "isGateway": true, "bridge": "cbr0" });
    call(&node, &network("bridge", "four", &SUBNETS[..1], keys.clone()), &a).add().ok();
    call(&node, &network("bridge", "six", &SUBNETS[1..], keys), &b).add().ok();
    assert!(b.ping("fd00:1::1"));
}

#[test]
fn a_refused_setting_is_named_with_its_remedy() {
    let node = Node::new();
    node.sh("sysctl -qw net.ipv6.conf.default.disable_ipv6=1 net.ipv4.ip_forward=1
        sysctl -qw net.ipv6.conf.all.forwarding=1");
    make_read_only(&node);
    let pod = node.pod("a");
    let config = network("bridge", "pods", &SUBNETS, json!({ "isGateway": true }));
    let before = without_reservations(&node.state());
    let (_, msg, details) = call(&node, &config, &pod).add().err();
    assert!(msg.contains("sysctl net/ipv6/conf/cni0/disable_ipv6"), "{msg}");
    assert!(!details.contains("rollback failed"), "{details}");
    assert!(details.contains("sysctl -w net/ipv6/conf/default/disable_ipv6=0"), "{details}");
    testbed::assert_same!(&before, &without_reservations(&node.state()));
    // PLAN reports it beforehand.
    let (_, planned, _) = call(&node, &config, &pod).raw("PLAN").err();
    assert!(planned.contains("sysctl net/ipv6/conf/"), "{planned}");
}
