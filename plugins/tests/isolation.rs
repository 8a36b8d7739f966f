//! Shows with packets that the paths that `docs/isolation.md` lists are open, and that the rule
//! sets there close them.
#![cfg(test)]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use testbed::{Node, Outside, Pod};

/// The rule set of `docs/isolation.md` that makes the table `inet NAME`.
fn rules(name: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/isolation.md");
    let page = fs::read_to_string(page).unwrap();
    let sets = page.split("```nft\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut sets = sets.filter(|set| set.starts_with(&format!("table inet {name} ")));
    sets.next().unwrap_or_else(|| panic!("a rule set {name} in the page")).to_owned()
}

fn load(node: &Node, name: &str) {
    let file = format!("/run/{name}.nft");
    fs::write(&file, rules(name)).unwrap();
    node.run(&["nft", "-f", &file]);
}

/// A dual-stack network of 10.1.N.0/24 and fd00:1:N::/64.
fn network(plugin: &str, name: &str, subnet: u8, keys: Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.1.0",
        "name": name,
        "type": plugin,
        "ipam": {
            "type": "host-local",
            "ranges": [
                [{ "subnet": format!("10.1.{subnet}.0/24") }],
                [{ "subnet": format!("fd00:1:{subnet}::/64") }],
            ],
            "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }],
        }
    });
    let (Value::Object(all), Value::Object(keys)) = (&mut config, keys) else { unreachable!() };
    all.extend(keys);
    config
}

fn join(node: &Node, config: &Value, pod: &Pod) {
    let plugin = config["type"].as_str().unwrap();
    node.plugin(plugin).conf(config).container(pod.name()).netns(pod).add().ok();
}

/// Gives the pod one more address of each family, from which it sends on request.
fn pretend(pod: &Pod, v4: &str, v6: &str) {
    pod.sh(&format!("ip addr add {v4}/32 dev eth0; ip addr add {v6}/128 dev eth0 nodad"));
}

/// How many packets from `source` reach `outside` while the pod sends some.
fn arrive(pod: &Pod, outside: &Outside, source: &str) -> u64 {
    let (family, filter, target) = match source.contains(':') {
        true => ("-6", "ip6 saddr", outside.v6),
        false => ("-4", "ip saddr", outside.v4),
    };
    outside.count("eth0", &format!("{filter} {source}"), || {
        pod.try_run(&["ping", family, "-n", "-c1", "-W1", "-I", source, target]);
    })
}

#[test]
fn another_source_address_passes_a_bridge_and_is_stopped_on_routed_links() {
    let bridge = network("bridge", "pods", 2, json!({ "isGateway": true, "macspoofchk": true }));
    let ptp = network("ptp", "wires", 3, json!({}));
    for (config, subnet) in [(&bridge, 2), (&ptp, 3)] {
        let node_of_a_test = || {
            let node = Node::new();
            let outside = node.outside();
            let (a, b) = (node.pod("a"), node.pod("b"));
            join(&node, config, &a);
            join(&node, config, &b);
            let other = [format!("10.1.{subnet}.3"), format!("fd00:1:{subnet}::3")];
            pretend(&a, &other[0], &other[1]);
            for source in &other {
                assert_eq!(arrive(&a, &outside, source), 1, "{source} does not get through");
            }
            load(&node, "pod_sources");
            let is_stopped = subnet == 3;
            for source in &other {
                assert_eq!(arrive(&a, &outside, source), u64::from(!is_stopped), "{source}");
                assert_eq!(arrive(&b, &outside, source), 1, "{source}, which is b's own");
            }
            // A container that is added afterwards works from its first packet on.
            let late = node.pod("late");
            join(&node, config, &late);
            assert_eq!(arrive(&late, &outside, &format!("10.1.{subnet}.4")), 1);
            assert_eq!(arrive(&late, &outside, &format!("fd00:1:{subnet}::4")), 1);
        };
        std::thread::scope(|scope| scope.spawn(node_of_a_test).join().unwrap());
    }
}

/// Sends ARP replies: IP addresses and MAC addresses from the command line.
const ARP_REPLY: &str = r#"
import socket, sys
mac, claimed, to_mac, to = sys.argv[1:]
raw = lambda text: bytes.fromhex(text.replace(":", ""))
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind(("eth0", 0))
reply = raw(to_mac) + raw(mac) + raw("0806" "0001" "0800" "0604" "0002")
link.send(reply + raw(mac) + socket.inet_aton(claimed) + raw(to_mac) + socket.inet_aton(to))
"#;

#[test]
fn an_arp_reply_for_another_container_is_believed_on_a_bridge() {
    let node = Node::new();
    let config = network("bridge", "pods", 2, json!({ "isGateway": true, "macspoofchk": true }));
    let (a, b) = (node.pod("a"), node.pod("b"));
    join(&node, &config, &a);
    join(&node, &config, &b);
    let mac_of = |pod: &Pod| {
        let shown: Value = serde_json::from_str(&pod.sh("ip -j link show eth0")).unwrap();
        shown[0]["address"].as_str().unwrap().to_owned()
    };
    let bridge: Value = serde_json::from_str(&node.sh("ip -j link show cni0")).unwrap();
    let bridge = bridge[0]["address"].as_str().unwrap();
    let neighbour = || node.sh("ip neigh show 10.1.2.3 dev cni0");
    assert!(neighbour().contains(&mac_of(&b)), "{}", neighbour());
    // The kernel accepts no new entry for a second after the last change (`locktime`).
    node.sh("sysctl -qw net.ipv4.neigh.cni0.locktime=0");
    a.run(&["/usr/bin/python3", "-c", ARP_REPLY, &mac_of(&a), "10.1.2.3", bridge, "10.1.2.1"]);
    let believed = (0..1000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        neighbour().contains(&mac_of(&a))
    });
    assert!(believed, "the host does not believe a: {}", neighbour());
}

#[test]
fn two_networks_reach_each_other_until_a_rule_stops_them() {
    let node = Node::new();
    let (red, blue) = (node.pod("red"), node.pod("blue"));
    for (pod, subnet) in [(&red, 2), (&blue, 3)] {
        let bridge = format!("{}0", pod.name());
        let keys = json!({ "bridge": bridge, "isGateway": true });
        join(&node, &network("bridge", pod.name(), subnet, keys), pod);
    }
    assert!(red.ping("10.1.3.2") && blue.ping("fd00:1:2::2"), "closed already");
    load(&node, "network_isolation");
    for (pod, address) in [(&red, "10.1.3.2"), (&red, "fd00:1:3::2"), (&blue, "10.1.2.2")] {
        assert!(!pod.ping(address), "{} reaches {address}", pod.name());
    }
    assert!(red.ping("10.1.2.1") && red.ping("fd00:1:2::1"), "its own gateway");
}

#[test]
fn an_unassigned_address_leaves_unhidden_until_a_rule_stops_it() {
    let node = Node::new();
    let outside = node.outside();
    let config = network("bridge", "pods", 2, json!({ "isGateway": true, "ipMasq": true }));
    let pod = node.pod("a");
    join(&node, &config, &pod);
    pretend(&pod, "10.9.9.9", "fd00:9::9");
    for source in ["10.9.9.9", "fd00:9::9"] {
        assert_eq!(arrive(&pod, &outside, source), 1, "{source} is hidden or dropped");
    }
    assert_eq!(arrive(&pod, &outside, "10.1.2.2"), 0, "an assigned address");
    load(&node, "pod_subnets");
    for source in ["10.9.9.9", "fd00:9::9"] {
        assert_eq!(arrive(&pod, &outside, source), 0, "{source} passes");
    }
    pod.sh("ip addr del 10.9.9.9/32 dev eth0; ip addr del fd00:9::9/128 dev eth0");
    assert!(pod.ping(outside.v4) && pod.ping(outside.v6), "the container's own addresses");
}

#[test]
fn a_container_with_cap_net_admin_hides_its_macvlan_link_until_its_namespace_ends() {
    let node = Node::new();
    node.outside();
    let config = network("macvlan", "lan", 2, json!({ "master": "uplink" }));
    let pod = node.pod("a");
    join(&node, &config, &pod);
    pod.sh("ip link set eth0 down; ip link set eth0 name hidden alias mine");
    let del = node.plugin("macvlan").conf(&config).container("a");
    del.del().ok();
    assert!(pod.sh("ip -o link").contains("hidden"), "DEL found it");
    node.delete(&pod);
    // An exclusive link requires that the parent has no other macvlan link. The kernel deletes
    // namespaces with a delay.
    let is_gone = (0..1000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let made = node.try_run(&[
            "ip",
            "link",
            "add",
            "link",
            "uplink",
            "name",
            "exclusive",
            "type",
            "macvlan",
            "mode",
            "passthru",
        ]);
        made.status.success()
    });
    assert!(is_gone, "the link outlives its namespace");
}
