//! Rejected configurations, the reason, and the state afterwards.

use std::fs;

use serde_json::{Value, json};
use testbed::assert_same;

use super::{Between, Cluster, PEERS_FILE, PODS, Use, batch, merge};

/// A change of a node by `ip`, its reversal, the keys of the configuration, and the reason why the
/// tunnel is impossible.
fn unusable() -> [(&'static str, &'static str, Value, &'static str); 9] {
    [
        (
            "link add t0 type dummy",
            "link del t0",
            json!({ "device": "t0" }),
            "t0 is not an ipip tunnel but dummy",
        ),
        (
            "link add t0 type ipip local 192.0.2.1 remote 192.0.2.9",
            "link del t0",
            json!({ "device": "t0" }),
            "t0 is a tunnel to 192.0.2.9 alone",
        ),
        (
            "link set tunl0 alias ferrocni:other",
            "link set tunl0 alias ''",
            json!({}),
            "tunl0 belongs to \"ferrocni:other\", as its alias says",
        ),
        (
            "addr add 10.200.0.1/32 dev tunl0",
            "addr del 10.200.0.1/32 dev tunl0",
            json!({}),
            "tunl0 has the address 10.200.0.1/32 of another program",
        ),
        (
            "addr add 192.0.2.100/32 dev lo",
            "addr del 192.0.2.100/32 dev lo",
            json!({ "local": "192.0.2.100" }),
            "tunl0 sends from 192.0.2.1 to the peers",
        ),
        (
            "link show",
            "link show",
            json!({ "local": "192.0.2.77" }),
            "192.0.2.77 is no address of this host",
        ),
        (
            "link show",
            "link show",
            json!({ "local": "nolink" }),
            "nolink is no interface with an IPv4 address",
        ),
        (
            "link show",
            "link show",
            json!({ "peersFile": "/run/nothing" }),
            "peersFile /run/nothing: No such file",
        ),
        (
            "addr del 192.0.2.1/24 dev eth0",
            "addr add 192.0.2.1/24 dev eth0",
            json!({}),
            "no peer can be reached",
        ),
    ]
}

#[test]
fn unsuitable_tunnels_are_refused_with_the_reason() {
    let mut cluster = Cluster::new(Between::Switch, Use::Alone);
    let before = cluster.look(0);
    for (damage, undo, keys, said) in unusable() {
        batch(&cluster.hosts[0], damage);
        cluster.keys = json!({ "peersFile": PEERS_FILE });
        merge(&mut cluster.keys, keys);
        let outcome = cluster.at(0, cluster.ipip(0), "ADD");
        let (_, msg, details) = outcome.err();
        assert!(msg.contains(said) && !details.is_empty(), "{damage}: {outcome}");
        let outcome = cluster.at(0, cluster.ipip(0), "STATUS");
        if said == "no peer can be reached" {
            // The uplink may return in a moment, and the node has pods that reach each other.
            outcome.ok();
        } else {
            let (code, msg, _) = outcome.err();
            assert!(code == 50 && msg.contains(said), "{damage}: {outcome}");
        }
        batch(&cluster.hosts[0], undo);
    }
    assert_same!(before, cluster.look(0));
}

#[test]
fn two_tunnels_cannot_have_the_same_ends() {
    let cluster = Cluster::new(Between::Switch, Use::Alone).with(json!({ "device": "pods0" }));
    batch(&cluster.hosts[0], "link add theirs type ipip local 192.0.2.1");
    let (_, msg, details) = cluster.at(0, cluster.ipip(0), "ADD").err();
    assert!(msg.contains("another tunnel has the same ends"), "{msg} {details}");
}

/// A tunnel at an address gets the packets to it before tunl0 does.
#[test]
fn two_users_of_ip_in_ip_need_two_addresses() {
    let foreign = "addr add 10.200.0.1/32 dev tunl0
         link set tunl0 up
         route add 10.200.1.0/24 via 192.0.2.2 dev tunl0 onlink";
    let ours = "link set tunl0 up alias ferrocni:other";
    let other = "link add other0 type ipip local 192.0.2.1
         link set other0 up alias ferrocni:other";
    let takes = "pods0 would take the packets of the tunnel tunl0";
    let taken =
        "tunl0 gets no packets to 192.0.2.1: the tunnel other0 (\"ferrocni:other\") takes them";
    for (device, others, undo, said) in [
        ("pods0", foreign, "link set tunl0 down", takes),
        ("pods0", ours, "link set tunl0 down", takes),
        ("tunl0", other, "link set other0 down", taken),
    ] {
        let mut cluster =
            Cluster::new(Between::Switch, Use::Alone).with(json!({ "device": device }));
        let [one, _] = &cluster.hosts;
        let refuses = |cluster: &Cluster, verb: &str, call: testbed::Cni| {
            let outcome = cluster.at(0, call, verb);
            let (_, msg, details) = outcome.err();
            assert!(msg.contains(said) && details.contains("address"), "{verb}: {outcome}");
        };
        batch(one, others);
        refuses(&cluster, "ADD", cluster.ipip(0));
        refuses(&cluster, "STATUS", cluster.ipip(0));
        // The other tunnel is made afterwards.
        batch(one, undo);
        cluster.at(0, cluster.ipip(0), "STATUS").ok();
        let result = cluster.join(0);
        batch(one, &undo.replace("down", "up"));
        refuses(&cluster, "CHECK", cluster.ipip(0).prev(&result));
        if device == "pods0" {
            // A local address of its own solves it.
            batch(one, "addr add 192.0.2.50/24 dev eth0");
            cluster.keys["local"] = "192.0.2.50".into();
            cluster.at(0, cluster.ipip(0), "STATUS").ok();
        }
    }
}

#[test]
fn a_tunnel_of_ours_that_is_down_is_no_reason_for_status_because_the_next_add_brings_it_up() {
    let cluster = Cluster::new(Between::Switch, Use::Alone);
    let [one, _] = &cluster.hosts;
    let status = || cluster.at(0, cluster.ipip(0), "STATUS");
    status().ok();
    cluster.join(0);
    status().ok();
    one.sh("ip link set tunl0 down");
    status().ok();
    let other = cluster.node.pod("other");
    cluster.join_pod(0, &other);
    status().ok();
    cluster.join(1);
    cluster.assert_works();
}

#[test]
fn routes_that_would_cut_off_the_node_are_refused_before_anything_changes() {
    let cluster = Cluster::new(Between::Switch, Use::Chained);
    let [one, _] = &cluster.hosts;
    one.sh("ip addr add 172.16.5.1/24 dev lo");
    let result = {
        let bridge = cluster.plugins(0).swap_remove(0);
        cluster.at(0, cluster.call(&bridge, &cluster.pods[0]), "ADD").ok()
    };
    let before = cluster.look(0);
    let peer = |node: &str, cidr: &str| json!([{ "node": node, "podCIDRs": [cidr] }]);
    for (peers, said) in [
        (
            peer("192.0.2.2", "192.0.2.0/24"),
            "192.0.2.0/24 of the peer 192.0.2.2 covers the node 192.0.2.2",
        ),
        (
            peer("198.51.100.9", "192.0.0.0/16"),
            "192.0.0.0/16 of the peer 198.51.100.9 covers 192.0.2.1/24 of eth0",
        ),
        (
            peer("192.0.2.2", "172.16.0.0/12"),
            "172.16.0.0/12 of the peer 192.0.2.2 covers 172.16.5.1/24 of lo",
        ),
        (
            peer("192.0.2.2", "10.1.1.0/24"),
            "10.1.1.0/24 of the peer 192.0.2.2 covers 10.1.1.1/24 of cni0",
        ),
        (
            peer("192.0.2.2", "10.1.1.128/25"),
            "10.1.1.128/25 of the peer 192.0.2.2 covers 10.1.1.0/24, the subnet",
        ),
        (
            peer("192.0.2.2", "10.0.0.0/8"),
            "10.0.0.0/8 of the peer 192.0.2.2 covers 10.1.1.1/24 of cni0",
        ),
        (
            json!([{ "node": "192.0.2.2", "podCIDRs": ["10.1.2.0/24"] }, { "node": "192.0.2.3", "podCIDRs": ["10.1.0.0/16"] }]),
            "podCIDR 10.1.2.0/24 of 192.0.2.2 overlaps with 10.1.0.0/16 of 192.0.2.3",
        ),
    ] {
        cluster.write_peers(&peers);
        let outcome = cluster.at(0, cluster.ipip(0).prev(&result), "ADD");
        let (code, msg, details) = outcome.err();
        assert!(code == 7 && msg.contains(said) && !details.is_empty(), "{peers}: {outcome}");
        fs::write(PEERS_FILE, cluster.peers().to_string()).unwrap();
        assert_same!(before, cluster.look(0), "{peers}");
    }
}

#[test]
fn a_failed_add_leaves_the_tunnel_and_nothing_of_the_pod() {
    let cluster = Cluster::new(Between::Switch, Use::Alone);
    let [one, _] = &cluster.hosts;
    let mut conf = cluster.conf(0);
    // A next hop without a route to it.
    conf["ipam"]["routes"] = json!([{ "dst": "10.8.0.0/16", "gw": "203.0.113.1" }]);
    cluster.at(0, cluster.call(&conf, &cluster.pods[0]), "ADD").err();
    assert_eq!(one.sh("ip -o link | grep -c 'veth[0-9a-f]' || true").trim(), "0");
    assert!(!one.sh("ls /run/n1/pods").contains("10.1.1."), "the address is released");
    assert!(
        one.sh("ip route show proto 226").contains("10.1.2.0/24 via 192.0.2.2 dev tunl0"),
        "other pods' packets go this way"
    );
    cluster.join(0);
    cluster.join(1);
    assert!(cluster.pods[0].ping(PODS[1]));
}
