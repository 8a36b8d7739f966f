//! Attachments of the reference suite, of other networks and with the same MAC address.

use serde_json::{Value, json};
use testbed::{Node, Pod, assert_same};

use crate::{call, config, main_config};

#[test]
fn attachments_of_the_reference_suite_are_looked_after() {
    let node = Node::new();
    let outside = node.outside();
    let pod = node.pod("a");
    let config = config(json!({ "cniVersion": "1.0.0" }));
    let theirs = call(&node, &config, &pod).suite(testbed::reference());
    let ours = call(&node, &config, &pod);
    let result = theirs.add().ok();
    assert!(pod.ping(outside.v4));
    ours.clone().prev(&result).del().ok();
    let state = node.state();
    assert!(
        !state.contains("\nlink veth")
            && !state.contains("CNI-")
            && !state.contains("networks/pods/10."),
        "{state}"
    );
    // And the reverse, with the reference's masquerade: it does not know this suite's rules.
    let config = self::config(json!({ "cniVersion": "1.0.0", "ipMasqBackend": "iptables" }));
    let result = call(&node, &config, &pod).add().ok();
    call(&node, &config, &pod).suite(testbed::reference()).prev(&result).del().ok();
    let state = node.state();
    assert!(!state.contains("\nlink veth") && !state.contains("networks/pods/10."), "{state}");
}

/// A bridge forwards frames to the port where it last saw an address, so both containers would lose
/// packets.
#[test]
fn a_mac_of_a_living_container_is_refused_and_its_holder_named() {
    const MAC: &str = "02:00:00:00:00:04";
    let node = Node::new();
    let (holder, second) = (node.pod("holder"), node.pod("second"));
    let wanted = |pod: &Pod, config: &Value| {
        call(&node, config, pod).args(&format!("IgnoreUnknown=1;MAC={MAC}"))
    };
    wanted(&holder, &main_config()).add().ok();
    let refused = |config: &Value| {
        let before = node.state();
        let (_, msg, details) = wanted(&second, config).add().err();
        assert!(
            msg.contains("ferrocni:pods/holder/eth0 has the same MAC address on cbr0"),
            "{msg}"
        );
        assert!(details.contains("Give one of the two another MAC address"), "{details}");
        // ADD made nothing, and no address stays reserved.
        assert_same!(&before, &node.state());
    };
    refused(&main_config());
    // Another network on the same bridge shares its ports.
    let ipam = json!({ "type": "host-local", "subnet": "10.1.2.0/24", "rangeStart": "10.1.2.200" });
    refused(&config(json!({ "name": "others", "ipam": ipam })));
    let bridge = node.sh("ip -o link show cbr0 | grep -o 'ether [^ ]*' | cut -d' ' -f2");
    let (_, msg, _) = call(&node, &main_config(), &second)
        .args(&format!("IgnoreUnknown=1;MAC={}", bridge.trim()))
        .add()
        .err();
    assert!(msg.contains("the bridge cbr0 has the same MAC address"), "{msg}");
    // The holder is not rejected because of its own address.
    let (_, msg, _) = wanted(&holder, &main_config()).add().err();
    assert!(msg.contains("already exists"), "{msg}");
    // Another bridge is another link layer.
    let other = config(json!({
        "name": "blue", "bridge": "cbr1", "ipam": { "type": "host-local", "subnet": "10.9.0.0/24" }
    }));
    wanted(&second, &other).add().ok();
    wanted(&second, &other).del().ok();
    wanted(&holder, &main_config()).del().ok();
    let result = wanted(&second, &main_config()).add().ok();
    assert_eq!(result["interfaces"][2]["mac"], MAC);
}

/// A bond in a container, for example. Whichever interface gets a frame, the container accepts it.
#[test]
fn two_interfaces_of_one_container_may_have_one_mac() {
    let node = Node::new();
    let (both, other) = (node.pod("both"), node.pod("other"));
    let wanted = |ifname: &str| {
        let args = "IgnoreUnknown=1;MAC=02:00:00:00:00:04";
        call(&node, &main_config(), &both).args(args).ifname(ifname)
    };
    let results = ["eth0", "eth1"].map(|ifname| wanted(ifname).add().ok());
    call(&node, &main_config(), &other).add().ok();
    for (ifname, result) in ["eth0", "eth1"].iter().zip(&results) {
        let address = result["ips"][0]["address"].as_str().unwrap();
        let address = address.split('/').next().unwrap();
        assert!(node.ping(address) && other.ping(address), "{ifname}: {address}");
        both.sh(&format!("ping -c 3 -i 0.1 -W 2 -I {ifname} 10.1.2.1"));
        wanted(ifname).prev(result).check().ok();
    }
    // Another container may not have it.
    let (_, msg, _) = call(&node, &main_config(), &node.pod("third"))
        .args("IgnoreUnknown=1;MAC=02:00:00:00:00:04")
        .add()
        .err();
    assert!(msg.contains("has the same MAC address"), "{msg}");
}

/// The kernel takes the later one of two IPv4 default routes of one metric, and splits flows
/// between two of IPv6.
#[test]
fn of_two_networks_with_a_default_route_the_later_one_gets_ipv4_and_both_get_ipv6() {
    let node = Node::new();
    let pod = node.pod("a");
    let network = |name: &str, bridge: &str, number: u32| {
        config(json!({
            "name": name, "bridge": bridge,
            "ipam": { "type": "host-local", "ranges": [
                [{ "subnet": format!("10.{number}.0.0/24") }], [{ "subnet": format!("fd00:{number}::/64") }],
            ] },
        }))
    };
    let (first, second) = (network("first", "cbr0", 1), network("second", "cbr1", 2));
    let on = |config, ifname| call(&node, config, &pod).ifname(ifname);
    let result = on(&first, "eth0").add().ok();
    on(&second, "net1").add().ok();
    let taken = pod.sh("ip route get 192.0.2.9");
    assert!(taken.contains("via 10.2.0.1 dev net1"), "{taken}");
    let ipv6 = pod.sh("ip -6 route show default");
    assert!(
        ipv6.contains("via fd00:1::1 dev eth0") && ipv6.contains("via fd00:2::1 dev net1"),
        "{ipv6}"
    );
    // Both routes are there, so nothing is missing of the first network.
    on(&first, "eth0").prev(&result).check().ok();
}
