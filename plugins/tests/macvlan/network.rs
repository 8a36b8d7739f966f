//! Containers on the network reach each other and other hosts, but not their own host.

use serde_json::json;
use testbed::Node;

use super::{HOST, Lan, config, layer_2, on_a_lan, one_address};

#[test]
fn containers_reach_each_other_and_other_hosts() {
    let lan = Lan::new();
    let (a, of_a) = lan.join(&config(json!({})), "a");
    let (b, of_b) = lan.join(&config(json!({})), "b");
    for address in &of_b {
        assert!(a.ping(address), "{address} from a");
    }
    for address in [lan.outside.v4, lan.outside.v6] {
        assert!(a.ping(address), "{address} from a");
    }
    for (index, address) in of_a.iter().enumerate() {
        assert!(lan.outside.ping(address), "{address} from outside");
        let seen = b.tcp(&a, address.parse().unwrap(), 100_000).unwrap();
        assert_eq!((seen.from.ip().to_string(), seen.received), (of_b[index].clone(), 100_000));
    }
}

#[test]
fn the_first_packet_from_outside_arrives() {
    let lan = Lan::new();
    let (_, addresses) = lan.join(&config(json!({})), "a");
    for address in &addresses {
        assert!(lan.outside.ping(address), "{address}");
    }
}

#[test]
fn the_host_and_its_containers_do_not_reach_each_other() {
    let lan = Lan::new();
    let (pod, addresses) = lan.join(&config(json!({})), "a");
    for (host, address) in HOST.iter().zip(&addresses) {
        assert!(!pod.ping(host), "{host} from the container");
        assert!(!lan.node.ping(address), "{address} from the host");
    }
}

/// A host on the network that used the address a moment ago learns its new MAC from the
/// announcement.
#[test]
fn a_reused_address_is_announced_to_the_network() {
    let lan = Lan::new();
    let config = one_address(json!({}));
    let (first, addresses) = lan.join(&config, "first");
    for address in &addresses {
        assert!(lan.outside.ping(address));
    }
    lan.call(&config, &first).del().ok();
    let old = lan.outside.sh("ip neigh");
    let (second, again) = lan.join(&config, "second");
    assert_eq!(addresses, again);
    let mac = second.sh("ip -br link show eth0");
    let mac = mac.split_whitespace().nth(2).unwrap();
    assert!(!old.contains(mac), "{old}");
    let new = lan.outside.sh("ip neigh");
    for address in &addresses {
        let is_known = |line: &str| line.starts_with(&format!("{address} ")) && line.contains(mac);
        assert!(new.lines().any(is_known), "{address} is not at {mac}:\n{new}");
        assert!(lan.outside.ping(address), "{address}");
    }
}

#[test]
fn without_ipam_the_link_is_up_and_has_no_address() {
    let lan = Lan::new();
    let pod = lan.node.pod("a");
    let result = lan.call(&layer_2(json!({})), &pod).add().ok();
    assert!(result.get("ips").is_none(), "{result}");
    assert_eq!(result["interfaces"][0]["name"], "eth0");
    assert_eq!(result["interfaces"][0]["sandbox"], "/run/netns/a");
    let shown = pod.sh("ip -d link show eth0; ip -4 addr show eth0");
    assert!(shown.contains("UP,LOWER_UP") && !shown.contains("inet "), "{shown}");
    pod.sh("ip addr add 192.0.2.77/24 dev eth0");
    assert!(lan.outside.ping("192.0.2.77"));
}

#[test]
fn without_master_the_parent_is_the_link_of_the_default_route() {
    let lan = Lan::new();
    let pod = lan.node.pod("a");
    let nameless = config(json!({ "master": null }));
    let call = lan.call(&nameless, &pod);
    let (_, msg, _) = call.add().err();
    assert_eq!(msg, "no default route interface found");
    lan.node.sh("ip link add other type veth peer name other2
        ip addr add 198.51.100.1/24 dev other; ip link set other up; ip link set other2 up
        ip route add default via 198.51.100.2 metric 500
        ip route add default via 192.0.2.2 metric 100");
    let result = call.add().ok();
    assert!(pod.ping(lan.outside.v4));
    // A parent that was found stays the parent, even if the default route changes.
    lan.node.sh("ip route del default via 192.0.2.2 metric 100");
    let call = call.prev(&result);
    call.check().ok();
    lan.node.sh("ip route del default");
    call.check().ok();
    call.del().ok();
    assert!(!pod.sh("ip link").contains("eth0"));
}

/// The parent is a link in the container, as an earlier plugin would have made it.
#[test]
fn the_parent_can_be_in_the_container() {
    for master in [Some("net0"), None] {
        on_a_lan(|lan| {
            let pod = lan.node.pod("a");
            lan.node.sh("ip link set uplink netns /run/netns/a name net0");
            pod.sh("ip addr add 192.0.2.9/24 dev net0; ip link set net0 up
                ip route add default via 192.0.2.2");
            let inside = config(json!({ "master": master, "linkInContainer": true }));
            let call = lan.call(&inside, &pod);
            let before = lan.node.state();
            let result = call.add().ok();
            assert!(pod.sh("ip -d link show eth0").contains("eth0@net0"));
            assert!(pod.ping("2001:db8:ffff::2"));
            let call = call.prev(&result);
            call.check().ok();
            call.status().ok();
            call.del().ok();
            testbed::assert_same!(super::lasting(&before), super::lasting(&lan.node.state()));
        });
    }
}

#[test]
fn the_mtu_is_the_parents_or_less() {
    let lan = Lan::new();
    lan.node.sh("ip link set uplink mtu 1450");
    for (name, mtu, found) in
        [("a", 0, "mtu 1450 "), ("b", 1450, "mtu 1450 "), ("c", 1300, "mtu 1300 ")]
    {
        let (pod, _) = lan.join(&config(json!({ "mtu": mtu })), name);
        assert!(pod.sh("ip link show eth0").contains(found), "{mtu}");
    }
    let pod = lan.node.pod("d");
    let (code, msg, _) = lan.call(&config(json!({ "mtu": 1451 })), &pod).add().err();
    assert_eq!((code, msg.as_str()), (7, "invalid MTU 1451, must be [0, master MTU(1450)]"));
}

/// The addresses' name resolution is kept, and replaced as a whole by the configuration's.
#[test]
fn name_resolution_is_that_of_ipam_or_of_the_configuration() {
    let lan = Lan::new();
    std::fs::write("/run/resolv.conf", "nameserver 192.0.2.53\nsearch a.test\n").unwrap();
    let mut of_ipam = config(json!({}));
    of_ipam["ipam"]["resolvConf"] = "/run/resolv.conf".into();
    let (a, b) = (lan.node.pod("a"), lan.node.pod("b"));
    let result = lan.call(&of_ipam, &a).add().ok();
    assert_eq!(result["dns"], json!({ "nameservers": ["192.0.2.53"], "search": ["a.test"] }));
    of_ipam["dns"] = json!({ "nameservers": ["192.0.2.54"] });
    let result = lan.call(&of_ipam, &b).add().ok();
    assert_eq!(result["dns"], json!({ "nameservers": ["192.0.2.54"] }));
}

/// Connected to a bridge of the node, whose other port is on the network.
#[test]
fn a_bridge_can_be_the_parent() {
    let node = Node::new();
    let outside = node.outside();
    node.sh("ip link add br0 type bridge; ip link set uplink master br0; ip link set br0 up");
    let lan = Lan { node, outside };
    let (pod, addresses) = lan.join(&config(json!({ "master": "br0" })), "a");
    assert!(pod.ping(lan.outside.v4) && lan.outside.ping(&addresses[1]));
}
