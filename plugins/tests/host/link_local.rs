//! Link-local addresses exist or not, whichever of the kernel's work queues is faster.

use serde_json::json;
use testbed::Node;

use super::call;

#[test]
fn a_new_bridge_has_its_link_local_address_although_the_container_is_down() {
    let node = Node::new();
    let pod = node.pod("a");
    let config = json!({
        "cniVersion": "1.1.0", "name": "l2", "type": "bridge", "disableContainerInterface": true
    });
    let addresses = |of: &str| node.sh(&format!("ip -o -6 address show dev {of}"));
    for round in 0..20 {
        let result = call(&node, &config, &pod).add().ok();
        let end = result["interfaces"][1]["name"].as_str().unwrap();
        let of_bridge = addresses("cni0");
        assert_eq!(of_bridge.matches(" fe80::").count(), 1, "round {round}: {of_bridge}");
        assert!(!of_bridge.contains("tentative"), "round {round}: {of_bridge}");
        assert_eq!(addresses(end), "", "round {round}");
        assert_eq!(pod.sh("ip -o -6 address show dev eth0"), "", "round {round}");
        call(&node, &config, &pod).prev(&result).check().ok();
        call(&node, &config, &pod).del().ok();
        node.sh("ip link del cni0");
    }
}

/// It is the address that the kernel gives, so the kernel adds no second one when a port comes up.
#[test]
fn a_new_bridge_has_one_link_local_address() {
    let node = Node::new();
    let pod = node.pod("a");
    let config = json!({ "cniVersion": "1.1.0", "name": "l2", "type": "bridge" });
    call(&node, &config, &pod).add().ok();
    let of_bridge = node.sh("ip -o -6 address show dev cni0");
    assert_eq!(of_bridge.matches(" fe80::").count(), 1, "{of_bridge}");
    node.sh("ip link set cni0 down; ip link set cni0 up");
    let mut of_bridge = String::new();
    for _ in 0..4000 {
        of_bridge = node.sh("ip -o -6 address show dev cni0");
        if of_bridge.contains("fe80::") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(of_bridge.matches(" fe80::").count(), 1, "{of_bridge}");
}

/// With such an MTU the kernel gives a link no IPv6.
#[test]
fn a_new_bridge_with_an_mtu_below_the_minimum_of_ipv6_works() {
    let node = Node::new();
    let pod = node.pod("a");
    let config = json!({
        "cniVersion": "1.1.0", "name": "small", "type": "bridge", "isGateway": true, "mtu": 1200,
        "ipam": { "type": "host-local", "subnet": "10.1.2.0/24" }
    });
    let result = call(&node, &config, &pod).add().ok();
    assert!(pod.ping("10.1.2.1"));
    call(&node, &config, &pod).prev(&result).check().ok();
    call(&node, &config, &pod).del().ok();
}
