//! `ptp` on a real kernel: the objects it makes, the packets that pass and those that do not, and
//! the state after DEL.
#![cfg(test)]

use serde_json::{Value, json};
use testbed::{Cni, Node, Pod, assert_same};

/// Dual stack with default routes.
fn config(keys: Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.1.0",
        "name": "pods",
        "type": "ptp",
        "ipam": {
            "type": "host-local",
            "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]],
            "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]
        }
    });
    let (Value::Object(all), Value::Object(keys)) = (&mut config, keys) else { unreachable!() };
    all.extend(keys);
    config
}

fn call(node: &Node, config: &Value, pod: &Pod) -> Cni {
    node.plugin("ptp").conf(config).container(pod.name()).netns(pod)
}

/// Connects a pod and returns its addresses, IPv4 first.
#[track_caller]
fn join(node: &Node, config: &Value, pod: &Pod) -> Vec<String> {
    let result = call(node, config, pod).add().ok();
    let ips = result["ips"].as_array().unwrap().iter();
    ips.map(|ip| ip["address"].as_str().unwrap().split('/').next().unwrap().to_owned()).collect()
}

const GATEWAYS: [&str; 2] = ["10.1.2.1", "fd00:1:2::1"];

#[test]
fn the_first_packet_arrives_everywhere() {
    let node = Node::new();
    let (a, b) = (node.pod("a"), node.pod("b"));
    let of_a = join(&node, &config(json!({})), &a);
    let of_b = join(&node, &config(json!({})), &b);
    for (at, gateway) in GATEWAYS.iter().enumerate() {
        assert!(a.ping(&of_b[at]), "from a to b");
        assert!(b.ping(gateway), "from b to its gateway");
        assert!(node.ping(&of_a[at]), "from the host to a");
    }
    for (server, address) in [(&b, &of_b[0]), (&b, &of_b[1]), (&a, &of_a[0])] {
        let client = if server.name() == "a" { &b } else { &a };
        let seen = client.tcp(server, address.parse().unwrap(), 1 << 20).unwrap();
        assert_eq!(seen.received, 1 << 20);
    }
}

#[test]
fn masquerade_is_for_the_world_and_not_for_the_subnet() {
    let node = Node::new();
    let outside = node.outside();
    let (a, b) = (node.pod("a"), node.pod("b"));
    let masquerade = config(json!({ "ipMasq": true }));
    let of_a = join(&node, &masquerade, &a);
    let of_b = join(&node, &masquerade, &b);
    for address in [outside.v4, outside.v6] {
        assert!(a.ping(address), "{address}");
    }
    let seen = a.tcp(&outside, outside.v4.parse().unwrap(), 1000).unwrap();
    assert_eq!(seen.from.ip().to_string(), "192.0.2.1");
    for at in [0, 1] {
        let seen = a.tcp(&b, of_b[at].parse().unwrap(), 1000).unwrap();
        assert_eq!(seen.from.ip().to_string(), of_a[at]);
    }
    // Without it other hosts have no route back.
    let plain = node.pod("c");
    join(
        &node,
        &config(json!({ "name": "plain", "ipam": {
            "type": "host-local", "subnet": "10.3.0.0/24", "routes": [{ "dst": "0.0.0.0/0" }]
        }})),
        &plain,
    );
    assert!(plain.ping("10.3.0.1") && !plain.ping(outside.v4));
}

#[test]
fn masquerade_by_iptables_works_and_goes() {
    let node = Node::new();
    let outside = node.outside();
    let pod = node.pod("a");
    let config = config(json!({ "ipMasq": true, "ipMasqBackend": "iptables" }));
    join(&node, &config, &pod);
    assert!(pod.ping(outside.v4) && pod.ping(outside.v6));
    call(&node, &config, &pod).del().ok();
    let left = node.sh("iptables -t nat -S; ip6tables -t nat -S");
    assert!(!left.contains("CNI-"), "{left}");
}

/// The host is the only neighbour on the veth pair: the other addresses of the subnet, and their
/// MAC addresses, are behind it.
#[test]
fn nothing_is_shared_between_containers() {
    let node = Node::new();
    let (a, b) = (node.pod("a"), node.pod("b"));
    join(&node, &config(json!({})), &a);
    join(&node, &config(json!({})), &b);
    // A broadcast of one container does not reach the other.
    let heard = b.count("eth0", "ether type arp", || {
        a.try_run(&["ping", "-4", "-n", "-c1", "-W1", "10.1.2.77"]);
        a.try_run(&["ping", "-4", "-b", "-n", "-c1", "-W1", "255.255.255.255"]);
    });
    assert_eq!(heard, 0);
    let routes = a.sh("ip route; ip -6 route");
    for route in [
        "10.1.2.1 dev eth0 scope link src 10.1.2.2",
        "10.1.2.0/24 via 10.1.2.1 dev eth0 src 10.1.2.2",
        "fd00:1:2::1 dev eth0 src fd00:1:2::2",
        "fd00:1:2::/64 via fd00:1:2::1 dev eth0 src fd00:1:2::2",
    ] {
        assert!(routes.contains(route), "{route} in {routes}");
    }
}

#[test]
fn status_gives_the_reason_why_masquerading_is_impossible() {
    let node = Node::new();
    let status = |plugin: &str, keys: Value| {
        let mut config = config(keys);
        config["type"] = plugin.into();
        config["ipMasq"] = true.into();
        node.plugin(plugin).conf(config).status()
    };
    for plugin in ["ptp", "bridge"] {
        status(plugin, json!({})).ok();
        let (code, msg, _) = status(plugin, json!({ "ipMasqBackend": "pf" })).err();
        assert_eq!((code, msg.as_str()), (7, "unknown ipmasq backend \"pf\""));
        status(plugin, json!({ "ipMasqBackend": "iptables" })).ok();
    }
    // A device is not a program.
    node.sh("for program in $(readlink -f $(which iptables-save ip6tables-save) | sort -u); do
            mount --bind /dev/null $program
        done");
    for plugin in ["ptp", "bridge"] {
        status(plugin, json!({})).ok();
        let (code, msg, details) = status(plugin, json!({ "ipMasqBackend": "iptables" })).err();
        assert_eq!(code, 50);
        assert!(msg.contains("iptables-save is in no directory of PATH"), "{msg}");
        assert!(details.starts_with("install iptables"), "{details}");
    }
}

#[test]
fn the_mtu_is_that_of_the_veth_pair() {
    let node = Node::new();
    let pod = node.pod("a");
    join(&node, &config(json!({ "mtu": 5000 })), &pod);
    for gateway in GATEWAYS {
        let size = if gateway.contains(':') { "4952" } else { "4972" };
        pod.run(&["ping", "-n", "-c1", "-W1", "-M", "do", "-s", size, gateway]);
        let larger = pod.try_run(&["ping", "-n", "-c1", "-W1", "-M", "do", "-s", "4973", gateway]);
        assert!(!larger.status.success());
    }
}

#[test]
fn an_address_that_is_used_again_is_reached_at_once() {
    let node = Node::new();
    let ipam = json!({ "type": "host-local", "ranges": [
        [{ "subnet": "10.1.2.0/24", "rangeStart": "10.1.2.9", "rangeEnd": "10.1.2.9" }],
        [{ "subnet": "fd00:1:2::/64", "rangeStart": "fd00:1:2::9", "rangeEnd": "fd00:1:2::9" }],
    ]});
    let config = config(json!({ "ipam": ipam }));
    for round in 0..3 {
        let pod = node.pod(&format!("p{round}"));
        for address in join(&node, &config, &pod) {
            assert!(node.ping(&address), "{address} in round {round}");
        }
        call(&node, &config, &pod).del().ok();
    }
}

#[test]
fn ipv6_alone_and_an_ipam_plugin_without_a_gateway() {
    let node = Node::new();
    let (six, bare) = (node.pod("six"), node.pod("bare"));
    let only =
        json!({ "type": "host-local", "subnet": "fd00:6::/64", "routes": [{ "dst": "::/0" }] });
    join(&node, &config(json!({ "ipam": only })), &six);
    assert!(six.ping("fd00:6::1"));
    assert!(!node.state().contains("ip_forward = 1"));
    // The reference's `static` assigns the configured address, here without a gateway.
    let stated = json!({ "type": "static", "addresses": [{ "address": "10.5.0.7/24" }] });
    let config = config(json!({ "cniVersion": "1.0.0", "ipam": stated }));
    let path = testbed::reference();
    call(&node, &config, &bare).env("CNI_PATH", path).add().ok();
    assert!(bare.ping("10.5.0.1") && node.ping("10.5.0.7"));
}

#[test]
fn the_earlier_state_is_restored() {
    let node = Node::new();
    let pod = node.pod("a");
    let config = config(json!({ "ipMasq": true }));
    let first = call(&node, &config, &pod);
    first.add().ok();
    first.del().ok();
    let before = lasting(&node.state());
    let result = first.add().ok();
    let (with_result, blind) = (first.clone().prev(&result), first.clone().unset("CNI_NETNS"));
    for del in [&with_result, &first, &blind] {
        del.del().ok();
        assert_same!(before, lasting(&node.state()));
        del.del().ok();
        first.add().ok();
    }
    node.delete(&pod);
    blind.del().ok();
    assert!(!node.state().contains("link veth"), "{}", node.state());
}

/// The state without host-local's record of the last address.
fn lasting(state: &str) -> String {
    let lines = state.lines().filter(|line| !line.contains("last_reserved_ip"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn check_names_each_change_and_repair_puts_it_right() {
    let node = Node::new();
    let pod = node.pod("a");
    let config = config(json!({ "ipMasq": true, "mtu": 1400 }));
    let call = call(&node, &config, &pod);
    let result = call.add().ok();
    let veth = result["interfaces"][0]["name"].as_str().unwrap();
    let call = call.prev(&result);
    call.check().ok();
    for (on_host, change, named) in [
        (false, "ip addr del 10.1.2.2/24 dev eth0", "address 10.1.2.2/24 is not on eth0"),
        (false, "ip route del default", "route default via 10.1.2.1 dev eth0 is gone"),
        (false, "ip route del 10.1.2.0/24", "route 10.1.2.0/24 via 10.1.2.1 dev eth0 is gone"),
        (
            false,
            "ip -6 route del fd00:1:2::/64",
            "route fd00:1:2::/64 via fd00:1:2::1 dev eth0 is gone",
        ),
        (
            false,
            "ip route change 10.1.2.0/24 via 10.1.2.1 dev eth0",
            "route 10.1.2.0/24 via 10.1.2.1 dev eth0 has the source none instead of 10.1.2.2",
        ),
        (false, "ip link set eth0 down", "interface eth0 is down"),
        (false, "ip link set eth0 mtu 1300", "interface eth0 has the MTU 1300 instead of 1400"),
        (
            false,
            "ip link set eth0 address 02:00:00:00:00:01",
            "interface eth0 has the MAC 02:00:00:00:00:01",
        ),
        (true, "ip route del 10.1.2.2", "route 10.1.2.2/32 dev VETH is gone"),
        (true, "ip -6 route del fd00:1:2::2", "route fd00:1:2::2/128 dev VETH is gone"),
        (true, "ip addr del 10.1.2.1/32 dev VETH", "address 10.1.2.1/32 is not on VETH"),
        (true, "ip link set VETH down", "interface VETH is down"),
        (true, "sysctl -qw net.ipv4.ip_forward=0", "sysctl net/ipv4/ip_forward is 0 instead of 1"),
        (true, "nft delete element inet ferrocni masq4 '{ 10.1.2.2 }'", "10.1.2.2"),
    ] {
        let place: &Pod = if on_host { &node } else { &pod };
        place.sh(&change.replace("VETH", veth));
        let (_, _, details) = call.check().err();
        assert!(details.contains(&named.replace("VETH", veth)), "{change}: {details}");
        call.raw("REPAIR").ok();
        call.check().ok();
        for gateway in GATEWAYS {
            assert!(pod.ping(gateway), "{gateway} after {change}");
        }
    }
}

#[test]
fn an_add_that_fails_leaves_nothing() {
    let node = Node::new();
    let pod = node.pod("a");
    let ipam = json!({ "type": "host-local", "subnet": "10.1.2.0/24", "routes": [
        { "dst": "10.7.0.0/16", "gw": "10.99.0.1" },
    ]});
    let broken = call(&node, &config(json!({ "ipMasq": true, "ipam": ipam })), &pod);
    broken.add().err();
    let before = lasting(&node.state());
    let (_, msg, _) = broken.add().err();
    assert!(msg.contains("add the route 10.7.0.0/16 via 10.99.0.1 dev eth0"), "{msg}");
    assert_same!(before, lasting(&node.state()));
    assert!(!before.contains("link veth") && !before.contains("networks/pods/10."), "{before}");
}

#[test]
fn thirty_two_at_once() {
    let node = Node::new();
    let config = config(json!({ "ipMasq": true }));
    let pods: Vec<Pod> = (0..32).map(|index| node.pod(&format!("p{index}"))).collect();
    let all = |verb: &str| {
        std::thread::scope(|scope| {
            let calls = pods.iter().map(|pod| call(&node, &config, pod));
            let calls: Vec<_> =
                calls.map(|call| scope.spawn(move || call.raw(verb).ok())).collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect::<Vec<Value>>()
        })
    };
    let results = all("ADD");
    for (pod, result) in pods.iter().zip(&results).step_by(5) {
        assert!(pod.ping(GATEWAYS[0]) && pod.ping(GATEWAYS[1]));
        assert!(node.ping(result["ips"][0]["address"].as_str().unwrap()));
    }
    all("DEL");
    let left = node.state();
    assert!(!left.contains("link veth") && !left.contains("networks/pods/10."), "{left}");
}

#[test]
fn gc_removes_stale_attachments() {
    let node = Node::new();
    let (keep, stale) = (node.pod("keep"), node.pod("stale"));
    let config = config(json!({ "ipMasq": true }));
    join(&node, &config, &keep);
    let before = lasting(&node.state());
    join(&node, &config, &stale);
    let valid = json!([{ "containerID": "keep", "ifname": "eth0" }]);
    node.plugin("ptp").conf(&config).key("cni.dev/valid-attachments", valid).gc().ok();
    assert_same!(before, lasting(&node.state()));
    assert!(keep.ping(GATEWAYS[0]) && keep.ping(GATEWAYS[1]));
}

#[test]
fn attachments_of_the_reference_suite_are_looked_after() {
    let node = Node::new();
    let pod = node.pod("a");
    let config = config(json!({ "cniVersion": "1.0.0" }));
    let theirs = call(&node, &config, &pod).suite(testbed::reference());
    let ours = call(&node, &config, &pod);
    let result = theirs.add().ok();
    // Afterwards it is in this suite's form, and stays so.
    node.plugin("ptp").conf(&config).container("a").netns(&pod).prev(&result).raw("REPAIR").ok();
    ours.clone().prev(&result).check().ok();
    ours.clone().prev(&result).del().ok();
    assert!(!node.state().contains("link veth"), "{}", node.state());
    let result = ours.add().ok();
    theirs.prev(&result).del().ok();
    assert!(!node.state().contains("link veth"), "{}", node.state());
}
