//! An attachment from ADD to DEL, and GC and STATUS of the network.

use serde_json::{Value, json};
use testbed::{Cni, Node, Pod, assert_same};

use crate::{GATEWAYS, addresses, call, config, host_end, join, main_config, without_counters};

#[test]
fn del_leaves_only_shared_objects() {
    let node = Node::new();
    let pod = node.pod("a");
    let config = config(json!({ "macspoofchk": true }));
    // Shared objects stay: the bridge, forwarding, the tables, host-local's counters.
    call(&node, &config, &pod).add().ok();
    call(&node, &config, &pod).del().ok();
    let before = node.state();
    let call = call(&node, &config, &pod);
    let result = call.add().ok();
    for again in 0..2 {
        call.clone().prev(&result).del().ok();
        assert_same!(without_counters(&before), without_counters(&node.state()), "DEL {again}");
    }
    // As from a runtime that has lost everything else: no namespace, no result.
    call.add().ok();
    for again in 0..2 {
        call.clone().unset("CNI_NETNS").del().ok();
        assert_same!(
            without_counters(&before),
            without_counters(&node.state()),
            "bare DEL {again}"
        );
    }
}

#[test]
fn del_works_after_the_namespace_is_gone() {
    let node = Node::new();
    let keep = node.pod("keep");
    join(&node, &main_config(), &keep);
    let before = node.state();
    let gone = node.pod("gone");
    let call = call(&node, &main_config(), &gone);
    call.add().ok();
    node.delete(&gone);
    call.del().ok();
    assert_same!(without_counters(&before), without_counters(&node.state()));
    assert!(keep.ping(GATEWAYS[0]));
}

#[test]
fn a_second_add_is_an_error_and_changes_nothing() {
    let node = Node::new();
    let pod = node.pod("a");
    let layer2 = json!({ "cniVersion": "1.1.0", "name": "wire", "type": "bridge" });
    for config in [main_config(), layer2] {
        let call = call(&node, &config, &pod).ifname(config["name"].as_str().unwrap());
        call.add().ok();
        let before = node.state();
        let (_, msg, details) = call.add().err();
        assert!(format!("{msg} {details}").contains("already"), "{msg} {details}");
        assert_same!(before, node.state());
    }
}

#[test]
fn check_names_changes_and_repair_reverts_them() {
    let node = Node::new();
    let outside = node.outside();
    let pod = node.pod("a");
    let config = config(json!({ "mtu": 1400, "hairpinMode": true, "macspoofchk": true }));
    let call = call(&node, &config, &pod);
    let result = call.add().ok();
    let call = call.prev(&result);
    call.check().ok();
    let veth = host_end(&result);
    for (in_pod, change, named) in [
        (true, "ip addr del 10.1.2.2/24 dev eth0", "address 10.1.2.2/24 is not on eth0"),
        (true, "ip -6 addr del fd00:1:2::2/64 dev eth0", "address fd00:1:2::2/64 is not on eth0"),
        (true, "ip route del default", "route default via 10.1.2.1 dev eth0 is gone"),
        (true, "ip route del 10.1.2.0/24 dev eth0", "route 10.1.2.0/24 dev eth0 is gone"),
        (true, "ip -6 route del fd00:1:2::/64 dev eth0", "route fd00:1:2::/64 dev eth0 is gone"),
        (true, "ip route flush all", "route 10.1.2.0/24 dev eth0 is gone"),
        (true, "ip -6 route flush proto boot", "route default via fd00:1:2::1 dev eth0 is gone"),
        (false, "ip route del 10.1.2.0/24 dev cbr0", "route 10.1.2.0/24 dev cbr0 is gone"),
        (false, "ip -6 route del fd00:1:2::/64 dev cbr0", "route fd00:1:2::/64 dev cbr0 is gone"),
        (true, "ip link set eth0 mtu 1300", "eth0 has the MTU 1300 instead of 1400"),
        (true, "ip link set eth0 down", "interface eth0 is down"),
        (true, "ip link set eth0 address 02:00:00:00:00:01", "eth0 has the MAC 02:00:00:00:00:01"),
        (false, &format!("ip link set {veth} nomaster"), "is not in the bridge cbr0"),
        (false, &format!("bridge link set dev {veth} hairpin off"), "hairpin mode"),
        (false, "ip addr del 10.1.2.1/24 dev cbr0", "address 10.1.2.1/24 is not on cbr0"),
        (false, "sysctl -qw net.ipv4.ip_forward=0", "sysctl net/ipv4/ip_forward is 0 instead of 1"),
        (false, "nft delete table inet ferrocni", "masquerad"),
        (false, "nft flush chain inet ferrocni postrouting", "postrouting lacks the rule"),
        (false, "nft delete table bridge ferrocni", "is not guarded"),
    ] {
        if in_pod {
            pod.sh(change)
        } else {
            node.sh(change)
        };
        let (_, msg, details) = call.check().err();
        assert!(details.contains(named), "{change}: {msg}: {details}");
        let repaired = call.raw("REPAIR").ok();
        assert_eq!(repaired.as_array().unwrap().join_lines(), details, "{change}");
        call.check().ok();
        assert_eq!(call.raw("REPAIR").ok(), json!([]));
        assert!(pod.ping(outside.v4) && pod.ping(outside.v6), "after {change}");
    }
}

trait JoinLines {
    fn join_lines(&self) -> String;
}

impl JoinLines for Vec<Value> {
    fn join_lines(&self) -> String {
        self.iter().map(|line| line.as_str().unwrap()).collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn sixty_four_at_once() {
    let node = Node::new();
    let pods: Vec<Pod> = (0..64).map(|index| node.pod(&format!("p{index}"))).collect();
    let mut seen: Vec<String> = at_once(&pods, |pod| call(&node, &main_config(), pod), "ADD")
        .iter()
        .flat_map(addresses)
        .collect();
    seen.sort();
    let all = seen.len();
    seen.dedup();
    assert_eq!((all, seen.len()), (128, 128), "every container has addresses of its own");
    let bridges = node.sh("ip -br link show type bridge");
    assert_eq!(bridges.lines().count(), 1, "{bridges}");
    for (index, pod) in pods.iter().enumerate().step_by(9) {
        assert!(pod.ping(GATEWAYS[index % 2]));
    }
    at_once(&pods, |pod| call(&node, &main_config(), pod), "DEL");
    let left = node.state();
    assert!(
        !left.contains("\nlink veth")
            && !left.contains("jump")
            && !left.contains("networks/pods/10."),
        "{left}"
    );
}

/// Calls a verb for all pods at the same time; all must succeed.
fn at_once(pods: &[Pod], call: impl Fn(&Pod) -> Cni, verb: &str) -> Vec<Value> {
    std::thread::scope(|scope| {
        let calls = pods.iter().map(call).map(|call| scope.spawn(move || call.raw(verb).ok()));
        calls.collect::<Vec<_>>().into_iter().map(|call| call.join().unwrap()).collect()
    })
}

#[test]
fn gc_removes_attachments_that_neither_key_lists() {
    for key in ["cni.dev/valid-attachments", "cni.dev/attachments"] {
        std::thread::spawn(move || {
            let node = Node::new();
            let (keep, stale) = (node.pod("keep"), node.pod("stale"));
            let config = config(json!({ "macspoofchk": true }));
            join(&node, &config, &keep);
            let before = node.state();
            join(&node, &config, &stale);
            let valid = json!([{ "containerID": "keep", "ifname": "eth0" }]);
            node.plugin("bridge").conf(&config).key(key, valid).gc().ok();
            assert_same!(without_counters(&before), without_counters(&node.state()), "{key}");
            assert!(keep.ping(GATEWAYS[0]));
        })
        .join()
        .unwrap();
    }
}

#[test]
fn status_gives_the_reason_why_add_would_fail() {
    let node = Node::new();
    let plugin = node.plugin("bridge").conf(main_config());
    plugin.status().ok();
    node.sh("ip link add cbr0 type veth peer name other");
    let (code, msg, _) = plugin.status().err();
    assert_eq!(code, 50);
    assert!(msg.contains("\"cbr0\" already exists but is not a bridge"), "{msg}");
    node.sh("ip link del cbr0");
    let tiny = config(json!({ "ipam": { "type": "host-local", "subnet": "10.1.2.0/30" } }));
    join(&node, &tiny, &node.pod("a"));
    // A full pool fails STATUS only if the configuration asks for it.
    node.plugin("bridge").conf(&tiny).status().ok();
    let mut asked = tiny.clone();
    asked["ipam"]["statusWhenFull"] = "unavailable".into();
    let (code, msg, details) = node.plugin("bridge").conf(&asked).status().err();
    assert_eq!(code, 50, "{msg} {details}");
}
