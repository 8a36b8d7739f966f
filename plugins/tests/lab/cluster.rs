//! A cluster: two nodes behind a router, pods on both, routes learnt by BGP, services by nf_tables
//! and IPVS, and a load-balancer address. The plugins' objects and the rules of other programs on
//! top must work together.

mod bird;
mod services;

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;

use serde_json::{Value, json};
use testbed::{Cni, Node, Pod, assert_same};

use bird::Bird;

/// A node of the cluster, with two pods.
struct Member {
    host: Pod,
    number: u8,
    pods: Vec<Pod>,
    /// The results of the pods' ADDs.
    results: Vec<Value>,
}

struct Cluster {
    /// The host of the namespaces, which is not a node of the cluster.
    node: Node,
    router: Pod,
    members: Vec<Member>,
}

/// The address of a node on the network between the nodes.
fn node_address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(172, 18, number, 10)
}

/// The address of a node's pod: the first has 2.
fn pod_address(number: u8, pod: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, number, 2 + pod)
}

impl Cluster {
    /// The nodes, their network, and the pods: no node has routes to the other's pods yet.
    fn new() -> Cluster {
        let node = crate::node();
        let router = node.pod("router");
        setup(&router, "link set lo up");
        let members = [1, 2].map(|number| Member::new(&node, &router, number));
        Cluster { node, router, members: members.into() }
    }

    fn pod(&self, number: u8, pod: u8) -> &Pod {
        &self.members[usize::from(number) - 1].pods[usize::from(pod)]
    }

    fn host(&self, number: u8) -> &Pod {
        &self.members[usize::from(number) - 1].host
    }
}

impl Member {
    fn new(node: &Node, router: &Pod, number: u8) -> Member {
        let host = node.pod(&format!("node{number}"));
        setup(
            router,
            &format!(
                "link add node{number} type veth peer name eth0 netns node{number}
                 addr add 172.18.{number}.1/24 dev node{number}
                 link set node{number} up"
            ),
        );
        // The segments cross the network one by one, as on a real one.
        setup(
            &host,
            &format!(
                "link set lo up
                 addr add {}/24 dev eth0
                 link set eth0 up gso_max_segs 1
                 route add default via 172.18.{number}.1
                 link add lb0 type dummy
                 link set lb0 up",
                node_address(number)
            ),
        );
        let pods = ["a", "b"].map(|name| node.pod(&format!("{name}{number}")));
        let results = pods.iter().map(|pod| join(node, &host, number, pod)).collect();
        Member { host, number, pods: pods.into(), results }
    }
}

/// Lines for `ip`, and the sysctls of routers and nodes.
fn setup(host: &Pod, lines: &str) {
    let lines: Vec<&str> = lines.lines().map(str::trim).collect();
    host.sh(&format!("ip -batch - <<'END'\n{}\nEND", lines.join("\n")));
    host.enter(|| {
        for (key, value) in [("ip_forward", "1"), ("conf/all/rp_filter", "1")] {
            fs::write(format!("/proc/sys/net/ipv4/{key}"), value).unwrap();
        }
    });
}

/// The chain that connects a pod to its node's bridge, and the node to the tunnel. BIRD makes the
/// routes into it.
fn chain(node: &Node, number: u8, pod: &Pod) -> [Cni; 2] {
    let subnet = format!("10.244.{number}.0/24");
    let bridge = json!({
        "cniVersion": "1.1.0", "name": "pods", "type": "bridge", "bridge": "cni0",
        "isDefaultGateway": true, "hairpinMode": true,
        "ipMasq": true, "ipMasqBeyond": ["10.244.0.0/16"],
        "ipam": { "type": "host-local", "subnet": subnet, "dataDir": format!("/run/node{number}") }
    });
    let ipip = json!({
        "cniVersion": "1.1.0", "name": "pods", "type": "ipip", "routes": "external", "local": "eth0",
        "nodeCIDRs": ["172.18.0.0/16"]
    });
    [bridge, ipip].map(|conf| {
        let plugin = node.plugin(conf["type"].as_str().unwrap());
        plugin.conf(&conf).container(pod.name()).netns(pod)
    })
}

/// Returns the result.
fn join(node: &Node, host: &Pod, number: u8, pod: &Pod) -> Value {
    let [bridge, ipip] = chain(node, number, pod);
    host.enter(|| ipip.prev(&bridge.add().ok()).add().ok())
}

#[test]
fn a_cluster_of_two_nodes() {
    let cluster = Cluster::new();
    let birds = Bird::start(&cluster);
    bird::pods_meet_in_the_tunnel(&cluster);
    services::are_reached(&cluster);
    attachments_are_as_they_were(&cluster);
    picture(&cluster);
    bird::only_nodes_may_send(&cluster);
    a_pod_leaves(&cluster);
    bird::a_node_without_bird_is_gone(&cluster, birds);
}

/// The other programs' rules change nothing of the plugins' objects.
fn attachments_are_as_they_were(cluster: &Cluster) {
    for member in &cluster.members {
        for (pod, result) in member.pods.iter().zip(&member.results) {
            for plugin in chain(&cluster.node, member.number, pod) {
                member.host.enter(|| plugin.prev(result).check().ok());
            }
        }
    }
}

/// Deleting a pod removes nothing of the other pods or the services.
fn a_pod_leaves(cluster: &Cluster) {
    let member = &cluster.members[0];
    let seen = || {
        member.host.sh(
            "nft list table ip services; ipvsadm -Sn; ip addr show tunl0; ip route show proto bird",
        )
    };
    let before = seen();
    let [bridge, ipip] = chain(&cluster.node, member.number, &member.pods[1]);
    let result = &member.results[1];
    member.host.enter(|| [ipip, bridge].map(|plugin| plugin.prev(result).del().ok()));
    assert_same!(before, seen());
    assert!(!member.host.ping(pod_address(1, 1)), "it is gone");
    services::are_reached_by(&member.pods[0]);
}

/// Draws the cluster, and compares the picture with the documentation.
fn picture(cluster: &Cluster) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/picture");
    let shown = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cluster.svg");
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-I", "-S", script, "router"]);
    for member in &cluster.members {
        command.arg(member.host.name()).args(member.pods.iter().map(Pod::name));
    }
    let drawn = command.output().unwrap();
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    let drawn = String::from_utf8(drawn.stdout).unwrap();
    // The lab keeps only files below LAB_OUT.
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(shown, &drawn).unwrap();
    }
    let shown = fs::read_to_string(shown).unwrap_or_default();
    assert_same!(shown, drawn, "UPDATE_DOCS=1 LAB_OUT=docs scripts/test --lab cluster");
}
