//! A host whose /proc/sys is read-only, as a container runtime gives it to unprivileged containers.

use serde_json::{Value, json};
use testbed::Node;

use super::{call, network};

const SUBNET: &str = "10.1.2.0/24";

/// For the programs that are started from now on.
pub fn make_read_only(node: &Node) {
    node.sh("mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys");
    assert!(!node.try_run(&["sysctl", "-qw", "net.ipv4.ip_forward=1"]).status.success());
}

fn with_gateway(plugin: &str) -> Value {
    network(plugin, "pods", &[SUBNET], json!({ "isDefaultGateway": true }))
}

#[test]
fn ipv4_works_where_forwarding_is_on() {
    for plugin in ["bridge", "ptp"] {
        std::thread::spawn(move || {
            let node = Node::new();
            let (a, b) = (node.pod("a"), node.pod("b"));
            node.sh("sysctl -qw net.ipv4.ip_forward=1");
            make_read_only(&node);
            let before = node.state();
            let config = with_gateway(plugin);
            call(&node, &config, &a).raw("PLAN").ok();
            node.plugin(plugin).conf(&config).status().ok();
            let results = [&a, &b].map(|pod| call(&node, &config, pod).add().ok());
            assert!(a.ping("10.1.2.1") && a.ping("10.1.2.3") && b.ping("10.1.2.2"), "{plugin}");
            for (pod, result) in [&a, &b].iter().zip(&results) {
                call(&node, &config, pod).prev(result).check().ok();
                assert_eq!(call(&node, &config, pod).prev(result).raw("REPAIR").ok(), json!([]));
                call(&node, &config, pod).prev(result).del().ok();
            }
            if plugin == "bridge" {
                node.sh("ip link del cni0");
            }
            testbed::assert_same!(
                &without_reservations(&before),
                &without_reservations(&node.state()),
            );
        })
        .join()
        .unwrap();
    }
}

#[test]
fn a_bridge_without_gateway_and_macvlan_need_nothing() {
    let node = Node::new();
    let _outside = node.outside();
    let pod = node.pod("a");
    make_read_only(&node);
    let mut lan = network("macvlan", "lan", &[], json!({ "master": "uplink" }));
    lan["ipam"]["ranges"] = json!([[{ "subnet": "192.0.2.0/24", "rangeStart": "192.0.2.100" }]]);
    for config in [network("bridge", "l2", &[SUBNET], json!({})), lan] {
        call(&node, &config, &pod).raw("PLAN").ok();
        let result = call(&node, &config, &pod).add().ok();
        if config["type"] == "macvlan" {
            assert!(pod.ping("192.0.2.2"));
        }
        call(&node, &config, &pod).prev(&result).check().ok();
        call(&node, &config, &pod).prev(&result).del().ok();
    }
}

#[test]
fn required_sysctls_that_cannot_be_set_are_named_beforehand() {
    for plugin in ["bridge", "ptp"] {
        std::thread::spawn(move || {
            let node = Node::new();
            let pod = node.pod("a");
            node.sh("sysctl -qw net.ipv4.ip_forward=0");
            make_read_only(&node);
            let before = node.state();
            let config = with_gateway(plugin);
            let status = node.plugin(plugin).conf(&config).status().err();
            assert_eq!(status.0, 50, "{status:?}");
            for said in [
                status,
                call(&node, &config, &pod).raw("PLAN").err(),
                call(&node, &config, &pod).add().err(),
            ] {
                let (_, msg, details) = said;
                assert!(msg.contains("sysctl net/ipv4/ip_forward"), "{msg}");
                assert!(!details.contains("rollback failed"), "{details}");
                assert!(details.contains("sysctl -w net/ipv4/ip_forward=1"), "{details}");
            }
            testbed::assert_same!(
                &without_reservations(&before),
                &without_reservations(&node.state()),
            );
            // A network of the other family does not need it.
            let other = network(plugin, "six", &["fd00:1::/64"], json!({}));
            if plugin == "bridge" {
                node.plugin(plugin).conf(&other).status().ok();
            }
        })
        .join()
        .unwrap();
    }
}

/// The state without the files of the IPAM plugin, which store the last assigned address.
pub fn without_reservations(state: &str) -> String {
    state.lines().filter(|line| !line.contains("/var/lib/cni")).collect::<Vec<_>>().join("\n")
}
