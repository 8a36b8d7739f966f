//! The senders whose packets the tunnel accepts, with forged IP-in-IP packets to a pod, to the node
//! and on to another node.

use serde_json::json;
use testbed::{Outcome, Pod};

use super::{Between, Cluster, PODS, Use, batch, machine};

/// A host on the nodes' network that is not a node.
const STRANGER: &str = "192.0.2.66";
/// The first node's second address.
const SECOND: &str = "192.0.2.50";
/// The inner source addresses: a pod of the other node, and an unused address.
const INNER: [&str; 2] = ["10.1.2.2", "10.66.0.1"];

/// Sends UDP packets inside IPv4 packets: from each inner source to each inner target. The outer
/// source is `at` if it is not empty.
pub(crate) fn send(from: &Pod, at: &str, to: &str, sources: &[&str], targets: &[&str]) {
    const SCRIPT: &str = "
import socket, struct, sys
def total(data):
    sums = sum(struct.unpack('!%dH' % (len(data) // 2), data))
    while sums >> 16: sums = (sums & 0xffff) + (sums >> 16)
    return ~sums & 0xffff
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, 4)
raw.bind((sys.argv[1], 0))
for source in sys.argv[3].split(','):
    for target in sys.argv[4].split(','):
        udp = struct.pack('!HHHH', 9999, 9999, 12, 0) + b'evil'
        ends = socket.inet_aton(source) + socket.inet_aton(target)
        head = lambda sums: struct.pack('!BBHHHBBH', 69, 0, 20 + len(udp), 0, 0, 64, 17, sums) + ends
        raw.sendto(head(total(head(0))) + udp, (sys.argv[2], 0))
";
    let (sources, targets) = (sources.join(","), targets.join(","));
    from.run(&["/usr/bin/python3", "-I", "-S", "-c", SCRIPT, at, to, &sources, &targets]);
}

/// The number of these packets that leave a tunnel of the first node.
fn unpacked(cluster: &Cluster, device: &str, from: &Pod, to: &str) -> u64 {
    // A pod, the node itself, and the other node's pod.
    let inner = [PODS[0], "10.1.1.1", PODS[1]];
    cluster.hosts[0].count(device, "udp dport 9999", || send(from, "", to, &INNER, &inner))
}

/// All of them.
const ALL: u64 = 6;

impl Cluster {
    /// The outside host, on the switch.
    fn stranger(&self) -> Pod {
        let stranger = machine(&self.node, "stranger");
        batch(
            &self.middle,
            "link add stranger type veth peer name eth0 netns stranger
             link set stranger up master sw",
        );
        batch(
            &stranger,
            &format!(
                "addr add {STRANGER}/24 dev eth0
                 link set eth0 up
                 route add 10.1.1.0/24 via 192.0.2.1"
            ),
        );
        stranger
    }
}

#[test]
fn only_peers_may_send_into_the_tunnel() {
    let mut cluster = Cluster::joined(Between::Switch, Use::Chained);
    let stranger = cluster.stranger();
    let from = |cluster: &Cluster, machine: &Pod, to: &str| unpacked(cluster, "tunl0", machine, to);
    cluster.assert_works();
    // The fallback device would accept packets to any address of the node.
    for to in ["192.0.2.1", "10.1.1.1"] {
        assert_eq!(from(&cluster, &stranger, to), 0, "from no peer to {to}");
    }
    assert_eq!(from(&cluster, &cluster.hosts[1], "192.0.2.1"), ALL, "from a peer");
    let arrived = cluster.pods[0].count("eth0", "udp dport 9999", || {
        send(&stranger, "", "192.0.2.1", &INNER, &[PODS[0]]);
        send(&cluster.hosts[1], "", "192.0.2.1", &INNER, &[PODS[0]]);
    });
    assert_eq!(arrived, 2, "in the pod, from the peer only");
    assert!(cluster.hosts[0].sh("nft list chain inet ferrocni input").contains("packets 14 "));
    // The outside host becomes a peer, and then is removed from the list.
    let mut peers = cluster.peers();
    peers.as_array_mut().unwrap().push(json!({ "node": STRANGER, "podCIDRs": ["10.1.3.0/24"] }));
    cluster.write_peers(&peers);
    let said = cluster.sync(0);
    assert!(said.contains("set inet ferrocni peers_pods lacks 192.0.2.66"), "{said}");
    assert_eq!(from(&cluster, &stranger, "192.0.2.1"), ALL, "a new peer");
    cluster.write_peers(&cluster.peers());
    let said = cluster.sync(0);
    assert!(
        said.contains("set inet ferrocni peers_pods has 192.0.2.66, which is left over"),
        "{said}"
    );
    assert_eq!(from(&cluster, &stranger, "192.0.2.1"), 0, "a former peer");
    // Objects that another program removes are reported and restored.
    let result = cluster.results.borrow()[0].clone();
    let check = |cluster: &Cluster| cluster.at(0, cluster.ipip(0).prev(&result), "CHECK");
    check(&cluster).ok();
    cluster.hosts[0].sh("nft flush ruleset");
    let (_, _, details) = check(&cluster).err();
    assert!(details.contains("nf_tables set inet ferrocni peers_pods is missing"), "{details}");
    cluster.at(0, cluster.ipip(0).prev(&result), "REPAIR").ok();
    assert_eq!(from(&cluster, &stranger, "192.0.2.1"), 0, "after the repair");
    // Its network is named, and then every host may send.
    for (key, value) in [("nodeCIDRs", json!(["192.0.2.64/26"])), ("acceptFrom", json!("all"))] {
        cluster.keys[key] = value;
        cluster.sync(0);
        assert_eq!(from(&cluster, &stranger, "192.0.2.1"), ALL, "with {key}");
        check(&cluster).ok();
        cluster.keys.as_object_mut().unwrap().remove(key);
        cluster.sync(0);
        assert_eq!(from(&cluster, &stranger, "192.0.2.1"), 0, "without {key}");
    }
    let gc = cluster.ipip(0).key("cni.dev/valid-attachments", json!([]));
    cluster.at(0, gc, "GC").ok();
    let left = cluster.hosts[0].sh("nft list ruleset");
    assert!(!left.contains("pods"), "{left}");
}

#[test]
fn each_tunnel_has_its_own_peers() {
    let mut cluster = Cluster::joined(Between::Switch, Use::Chained);
    let stranger = cluster.stranger();
    // A second network, with a tunnel at the second address, whose only peer is the outside host;
    // and a tunnel of another program.
    batch(
        &cluster.hosts[0],
        "addr add 192.0.2.50/24 dev eth0
         addr add 192.0.2.51/24 dev eth0
         link add theirs type ipip local 192.0.2.51
         link set theirs up",
    );
    let first = cluster.keys.clone();
    let second = json!({
        "name": "more", "device": "more0", "local": SECOND, "address": "10.9.1.1",
        "peers": [{ "node": STRANGER, "podCIDRs": ["10.9.2.0/24"] }]
    });
    cluster.keys = second.clone();
    cluster.sync(0);
    let unpacked = |device: &str, from: &Pod, to: &str| unpacked(&cluster, device, from, to);
    // The first network has not been synchronised since: it leaves the second's tunnel alone.
    assert_eq!(unpacked("more0", &stranger, SECOND), ALL);
    assert_eq!(unpacked("more0", &cluster.hosts[1], SECOND), 0);
    assert_eq!(unpacked("tunl0", &cluster.hosts[1], "192.0.2.1"), ALL);
    assert_eq!(unpacked("tunl0", &stranger, "192.0.2.1"), 0);
    cluster.keys = first;
    let said = cluster.sync(0);
    assert!(said.contains("ip daddr != 192.0.2.51"), "{said}");
    let unpacked =
        |device: &str, from: &Pod, to: &str| super::sources::unpacked(&cluster, device, from, to);
    assert_eq!(unpacked("theirs", &stranger, "192.0.2.51"), ALL, "another program's tunnel");
    assert_eq!(unpacked("more0", &stranger, SECOND), ALL);
    assert_eq!(unpacked("tunl0", &stranger, "192.0.2.1"), 0);
    cluster.assert_works();
}

#[test]
fn a_second_address_is_filtered_beside_a_foreign_tunl0() {
    let keys = json!({ "device": "pods0", "local": SECOND });
    let cluster = Cluster::new(Between::Switch, Use::Alone).with(keys);
    let stranger = cluster.stranger();
    // Another program uses tunl0 for its nodes.
    batch(
        &cluster.hosts[0],
        "addr add 192.0.2.50/24 dev eth0
         addr add 10.200.0.1/32 dev tunl0
         link set tunl0 up
         route add 10.200.1.0/24 via 192.0.2.66 dev tunl0 onlink",
    );
    cluster.join(0);
    assert_eq!(unpacked(&cluster, "tunl0", &stranger, "192.0.2.1"), ALL, "their packets");
    assert_eq!(unpacked(&cluster, "pods0", &stranger, SECOND), 0);
    assert_eq!(unpacked(&cluster, "pods0", &cluster.hosts[1], SECOND), ALL);
}

/// The plan gives the reason if the filter is impossible, and no ADD fails because of it.
#[test]
fn the_plan_has_the_reason_why_sources_are_not_limited() {
    let mut cluster = Cluster::new(Between::Switch, Use::Alone);
    // A kernel without netfilter sockets: one of the first sockets is a netfilter socket.
    let without = |cluster: &Cluster, verb: &str, is_so: &dyn Fn(&Outcome) -> bool| {
        let found = (1..8).any(|at| {
            let inject = format!("inject=connect:error=EPROTONOSUPPORT:when={at}");
            let strace = ["strace", "-qq", "-o", "/dev/null", "-e", "trace=connect", "-e", &inject];
            is_so(&cluster.at(0, cluster.ipip(0).under(&strace), verb))
        });
        assert!(found, "{verb} without nf_tables");
    };
    without(&cluster, "PLAN", &|plan| {
        plan.stdout.contains("takes packets from every host: this kernel has no nf_tables")
    });
    let gc = cluster.ipip(0).key("cni.dev/valid-attachments", json!([]));
    without(&cluster, "ADD", &|add| {
        let rules = cluster.hosts[0].sh("nft list ruleset");
        cluster.at(0, cluster.ipip(0), "DEL").ok();
        cluster.at(0, gc.clone(), "GC").ok();
        add.status.success() && !rules.contains("peers_pods")
    });
    let plan = |cluster: &Cluster| cluster.at(0, cluster.ipip(0), "PLAN").ok().to_string();
    let said = plan(&cluster);
    assert!(said.contains("saddr != @peers_pods counter drop"), "{said}");
    // A tunnel to a single remote host, from any address.
    batch(&cluster.hosts[0], "link add theirs type ipip remote 192.0.2.9");
    let said = plan(&cluster);
    assert!(said.contains("theirs is another IP-in-IP tunnel, at any address"), "{said}");
    batch(&cluster.hosts[0], "link del theirs");
    cluster.keys["routes"] = json!("external");
    let said = plan(&cluster);
    assert!(said.contains("nodeCIDRs does not name the networks of its nodes"), "{said}");
}
