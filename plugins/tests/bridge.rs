//! `bridge` on a real kernel: what it makes, what passes and what does not, and what is left.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests report by panicking"
)]

use serde_json::{Value, json};
use testbed::{Cni, Node, Pod, assert_same};

/// The main configuration: dual stack, gateway on the bridge, masquerade.
fn main_config() -> Value {
    json!({
        "cniVersion": "1.1.0",
        "name": "pods",
        "type": "bridge",
        "bridge": "cbr0",
        "isDefaultGateway": true,
        "ipMasq": true,
        "ipam": {
            "type": "host-local",
            "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]]
        }
    })
}

/// As [`main_config`], with other keys.
fn config(keys: Value) -> Value {
    let mut config = main_config();
    let (Value::Object(config_keys), Value::Object(keys)) = (&mut config, keys) else {
        unreachable!()
    };
    config_keys.extend(keys);
    config
}

fn call(node: &Node, config: &Value, pod: &Pod) -> Cni {
    node.plugin("bridge").conf(config).container(pod.name()).netns(pod)
}

/// Joins a pod and gives its addresses, IPv4 first.
#[track_caller]
fn join(node: &Node, config: &Value, pod: &Pod) -> Vec<String> {
    addresses(&call(node, config, pod).add().ok())
}

fn addresses(result: &Value) -> Vec<String> {
    let ips = result["ips"].as_array().unwrap().iter();
    ips.map(|ip| ip["address"].as_str().unwrap().split('/').next().unwrap().to_owned()).collect()
}

/// The name of the host's end of a result's wire.
fn host_end(result: &Value) -> String {
    result["interfaces"][1]["name"].as_str().unwrap().to_owned()
}

const GATEWAYS: [&str; 2] = ["10.1.2.1", "fd00:1:2::1"];

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
    // The world beyond has no route back to the containers: only masquerade makes it answer.
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
fn masquerade_spares_the_networks_it_is_told_of() {
    for backend in ["nftables", "iptables"] {
        std::thread::spawn(move || {
            let node = Node::new();
            let outside = node.outside();
            // Another node's container, which knows the way back.
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

/// Two machines behind one port, as two `macvlan` links in `vepa` mode on the container's interface: they reach each other
/// only if the bridge sends frames back where they came from.
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

#[test]
fn del_leaves_only_what_is_shared() {
    let node = Node::new();
    let pod = node.pod("a");
    let config = config(json!({ "macspoofchk": true }));
    // What others use stays: the bridge, forwarding, the tables, host-local's counters.
    call(&node, &config, &pod).add().ok();
    call(&node, &config, &pod).del().ok();
    let before = node.state();
    let call = call(&node, &config, &pod);
    let result = call.add().ok();
    for again in 0..2 {
        call.clone().prev(&result).del().ok();
        assert_same!(without_counters(&before), without_counters(&node.state()), "DEL {again}");
    }
    // As runtimes do that have lost everything else: no namespace, no result.
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

/// Files that say which address was handed out last.
fn without_counters(state: &str) -> String {
    state.lines().filter(|line| !line.contains("last_reserved_ip")).collect::<Vec<_>>().join("\n")
}

/// Without the folder that host-local made for a network; it stays, empty but for its lock.
fn without_network(state: &str, network: &str) -> String {
    let folder = format!("/var/lib/cni/networks/{network}");
    state.split_inclusive('\n').filter(|line| !line.contains(&folder)).collect()
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
fn check_names_what_was_changed_and_repair_puts_it_right() {
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
fn gc_removes_what_is_not_listed_under_either_key() {
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
fn status_says_why_add_could_not_be_served() {
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
    let (code, msg, details) = node.plugin("bridge").conf(&tiny).status().err();
    assert_eq!(code, 50, "{msg} {details}");
}

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
    // Somebody else has the next address already.
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
    assert!(details.contains("ip address del 10.1.2.1/24 dev cbr0"), "{details}");
    assert_same!(before, without_network(&node.state(), "other"));
    join(&node, &other(true), &second);
    let state = node.state();
    assert!(state.contains("10.5.0.1/24") && !state.contains("addr 10.1.2.1/24"), "{state}");
    // IPv6 subnets that do not overlap do not disturb each other.
    assert!(state.contains("fd00:5::1/64") && state.contains("fd00:1:2::1/64"), "{state}");
    assert!(second.ping("10.5.0.1") && second.ping("fd00:5::1"));
}

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
    // And the other way, where their masquerade is meant: they know nothing of ours.
    let config = self::config(json!({ "cniVersion": "1.0.0", "ipMasqBackend": "iptables" }));
    let result = call(&node, &config, &pod).add().ok();
    call(&node, &config, &pod).suite(testbed::reference()).prev(&result).del().ok();
    let state = node.state();
    assert!(!state.contains("\nlink veth") && !state.contains("networks/pods/10."), "{state}");
}
