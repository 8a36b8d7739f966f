//! The destinations that packets reach.

use serde_json::json;
use testbed::Node;

use crate::{GATEWAYS, addresses, call, config, join, main_config};

#[test]
fn containers_reach_each_other_the_gateway_and_the_world() {
    let node = Node::new();
    let outside = node.outside();
    let (a, b) = (node.pod("a"), node.pod("b"));
    join(&node, &main_config(), &a);
    let of_b = join(&node, &main_config(), &b);
    for address in GATEWAYS {
        assert!(a.ping(address), "{address} from a");
    }
    for address in &of_b {
        assert!(a.ping(address), "{address} from a");
    }
    // The outside network has no route back to the containers: it answers only with masquerade.
    for address in [outside.v4, outside.v6] {
        assert!(b.ping(address), "{address} from b");
    }
}

#[test]
fn the_first_packet_from_the_host_and_from_outside_arrives() {
    let node = Node::new();
    let pod = node.pod("a");
    for address in join(&node, &main_config(), &pod) {
        assert!(node.ping(&address), "{address}");
    }
}

#[test]
fn without_masquerade_nothing_comes_back_from_the_world() {
    let node = Node::new();
    let outside = node.outside();
    let pod = node.pod("a");
    join(&node, &config(json!({ "ipMasq": false })), &pod);
    assert!(pod.ping(GATEWAYS[0]));
    assert!(!pod.ping(outside.v4));
    assert!(!pod.ping(outside.v6));
}

#[test]
fn masquerade_spares_the_subnet() {
    let node = Node::new();
    let outside = node.outside();
    let (a, b) = (node.pod("a"), node.pod("b"));
    let of_a = join(&node, &main_config(), &a);
    let of_b = join(&node, &main_config(), &b);
    for (index, address) in of_b.iter().enumerate() {
        let seen = a.tcp(&b, address.parse().unwrap(), 1000).unwrap();
        assert_eq!((seen.from.ip().to_string(), seen.received), (of_a[index].clone(), 1000));
    }
    let seen = a.tcp(&outside, outside.v4.parse().unwrap(), 1000).unwrap();
    assert_eq!(seen.from.ip().to_string(), "192.0.2.1");
}

#[test]
fn masquerade_excludes_the_configured_networks() {
    for backend in ["nftables", "iptables"] {
        std::thread::spawn(move || {
            let node = Node::new();
            let outside = node.outside();
            // Another node's container, which has a route back.
            let far = ["10.1.9.9", "fd00:1:9::9"];
            outside.sh("ip addr add 10.1.9.9/32 dev eth0; ip route add 10.1.2.0/24 via 192.0.2.1
                ip addr add fd00:1:9::9/128 dev eth0 nodad; ip route add fd00:1:2::/64 via 2001:db8:ffff::1");
            node.sh("ip route add 10.1.9.0/24 via 192.0.2.2
                ip route add fd00:1:9::/64 via 2001:db8:ffff::2");
            let pod = node.pod("a");
            let keys = json!({ "ipMasqBackend": backend, "ipMasqBeyond": ["10.1.0.0/16", "fd00:1::/32"] });
            let config = config(keys);
            let call = call(&node, &config, &pod);
            let result = call.add().ok();
            for (own, far) in addresses(&result).iter().zip(far) {
                let seen = pod.tcp(&outside, far.parse().unwrap(), 1000).unwrap();
                assert_eq!(seen.from.ip().to_string(), *own, "{backend}");
            }
            for (address, host) in [(outside.v4, "192.0.2.1"), (outside.v6, "2001:db8:ffff::1")] {
                let seen = pod.tcp(&outside, address.parse().unwrap(), 1000).unwrap();
                assert_eq!(seen.from.ip().to_string(), host, "{backend}");
            }
            call.clone().prev(&result).check().ok();
            call.prev(&result).del().ok();
            let left = node.sh("nft list ruleset; iptables-save -t nat; ip6tables-save -t nat");
            assert!(!left.contains(&addresses(&result)[0]), "{backend}: {left}");
        })
        .join()
        .unwrap();
    }
}

#[test]
fn masquerade_by_iptables_works_and_goes() {
    let node = Node::new();
    let outside = node.outside();
    let pod = node.pod("a");
    let config = config(json!({ "ipMasqBackend": "iptables" }));
    let call = call(&node, &config, &pod);
    let result = call.add().ok();
    assert!(pod.ping(outside.v4) && pod.ping(outside.v6));
    call.clone().prev(&result).check().ok();
    call.prev(&result).del().ok();
    let left = node.sh("iptables-save -t nat; ip6tables-save -t nat");
    assert!(!left.contains("pods"), "{left}");
}

#[test]
fn an_address_used_again_answers_its_first_packet() {
    let node = Node::new();
    let (other, first, second) = (node.pod("other"), node.pod("first"), node.pod("second"));
    let one_address = config(json!({ "ipam": { "type": "host-local", "ranges": [
        [{ "subnet": "10.1.2.0/24", "rangeStart": "10.1.2.8", "rangeEnd": "10.1.2.9" }],
        [{ "subnet": "fd00:1:2::/64", "rangeStart": "fd00:1:2::8", "rangeEnd": "fd00:1:2::9" }],
    ]}}));
    join(&node, &one_address, &other);
    let shared = join(&node, &one_address, &first);
    for address in &shared {
        assert!(other.ping(address) && node.ping(address));
    }
    call(&node, &one_address, &first).del().ok();
    assert_eq!(join(&node, &one_address, &second), shared);
    for address in &shared {
        assert!(node.ping(address), "{address} from the host");
        assert!(other.ping(address), "{address} from a container");
    }
}

/// Two hosts behind one port, as two `macvlan` links in `vepa` mode on the container's interface:
/// they reach each other only if the bridge sends frames back to their port.
#[test]
fn hairpin_mode_sends_frames_back() {
    for (hairpin, reached) in [(true, true), (false, false)] {
        std::thread::spawn(move || {
            let node = Node::new();
            let (pod, x, y) = (node.pod("a"), node.pod("x"), node.pod("y"));
            join(&node, &config(json!({ "hairpinMode": hairpin })), &pod);
            for (inner, address) in [(&x, "10.1.2.101/24"), (&y, "10.1.2.102/24")] {
                let name = inner.name();
                pod.sh(&format!("ip link add {name} link eth0 type macvlan mode vepa"));
                pod.sh(&format!("ip link set {name} netns /run/netns/{name}"));
                inner.sh(&format!("ip addr add {address} dev {name}; ip link set {name} up"));
            }
            assert_eq!(x.ping("10.1.2.102"), reached, "hairpinMode {hairpin}");
        })
        .join()
        .unwrap();
    }
}

#[test]
fn isolated_ports_reach_the_host_but_not_each_other() {
    let node = Node::new();
    let (a, b, open) = (node.pod("a"), node.pod("b"), node.pod("open"));
    let isolated = config(json!({ "portIsolation": true }));
    join(&node, &isolated, &a);
    let of_b = join(&node, &isolated, &b);
    join(&node, &main_config(), &open);
    for (gateway, address) in GATEWAYS.iter().zip(&of_b) {
        assert!(a.ping(gateway), "the host stays in reach");
        assert!(!a.ping(address), "an isolated container must not reach {address}");
        assert!(open.ping(address), "{address} is in reach for one that is not isolated");
    }
}

#[test]
fn a_spoofed_mac_address_does_not_pass() {
    let node = Node::new();
    let (guarded, free) = (node.pod("guarded"), node.pod("free"));
    join(&node, &config(json!({ "macspoofchk": true })), &guarded);
    join(&node, &main_config(), &free);
    for pod in [&guarded, &free] {
        assert!(pod.ping(GATEWAYS[0]) && pod.ping(GATEWAYS[1]));
        pod.run(&["ip", "link", "set", "eth0", "address", "02:00:00:00:00:99"]);
    }
    assert!(!guarded.ping(GATEWAYS[0]) && !guarded.ping(GATEWAYS[1]), "spoofed frames pass");
    assert!(free.ping(GATEWAYS[0]), "without macspoofchk they should");
}
