//! Mistakes in the list of peers: ADD, `sync` and STATUS report the same for each, and none of them
//! changes anything.

use serde_json::{Value, json};
use testbed::{Outcome, assert_same};

use super::{Between, Cluster, PODS, Use};

/// A wrong list in addition to the correct one, or instead of it, and the message.
fn mistakes(good: &Value) -> Vec<(Value, &'static str)> {
    let beside = |more: Value| json!([good[0], good[1], more]);
    let own_subnet = json!({ "node": "198.51.100.9", "podCIDRs": ["10.1.1.128/25"] });
    let peer = |node: &str, cidr: &str| beside(json!({ "node": node, "podCIDRs": [cidr] }));
    let long = "x".repeat(2 << 20);
    vec![
        (
            json!([good[1], own_subnet]),
            "podCIDR 10.1.1.128/25 of the peer 198.51.100.9 covers 10.1.1.0/24, the subnet of \
             cni0 on this host",
        ),
        (
            peer("198.51.100.9", "172.20.5.0/24"),
            "podCIDR 172.20.5.0/24 of the peer 198.51.100.9 covers 172.20.0.0/16, the subnet of \
             other0 on this host",
        ),
        (
            peer("198.51.100.9", "192.0.2.128/25"),
            "podCIDR 192.0.2.128/25 of the peer 198.51.100.9 covers the gateway 192.0.2.254 of \
             eth0",
        ),
        (
            peer("198.51.100.9", "10.77.0.0/16"),
            "podCIDR 10.77.0.0/16 of the peer 198.51.100.9 covers 10.77.0.7 of veth7 on this host",
        ),
        (
            peer("192.0.2.255", "10.1.9.0/24"),
            "the node 192.0.2.255 is the broadcast address of 192.0.2.1/24 of eth0",
        ),
        (
            peer("192.0.2.0", "10.1.9.0/24"),
            "the node 192.0.2.0 is the network address of 192.0.2.1/24 of eth0",
        ),
        (
            beside(json!({ "node": "198.51.100.9", "podCIDR": ["10.1.9.0/24"] })),
            "peers[2]: the peer 198.51.100.9 has no \"podCIDRs\"",
        ),
        (
            beside(json!({ "nodeIP": "198.51.100.9", "podCIDRs": ["10.1.9.0/24"] })),
            "peers[2]: no \"node\"",
        ),
        (beside(json!("198.51.100.9")), "peers[2]: invalid type"),
        (beside(json!({ "node": long, "podCIDRs": [] })), "peers[2]: invalid node \"xxx"),
        (peer("198.51.100.9", &long), "peers[2]: invalid podCIDR \"xxx"),
        (json!([]), "the list of peers is empty"),
        (json!({ "peers": [] }), "the list of peers is empty"),
    ]
}

/// The result of the pod `p1` as if it were about another namespace.
fn in_namespace(result: &Value, name: &str) -> Value {
    let text = result.to_string().replace("/run/netns/p1", &format!("/run/netns/{name}"));
    serde_json::from_str(&text).unwrap()
}

/// STATUS reports the error of ADD as the reason why ADD would fail.
#[track_caller]
fn assert_refused(cluster: &Cluster, result: &Value, said: &str) -> String {
    let short = |outcome: &Outcome| assert!(outcome.stdout.len() < 4 << 10, "{outcome}");
    let other = cluster.node.pod("other");
    let prev = in_namespace(result, "other");
    let add = cluster.at(0, cluster.call(&cluster.conf(0), &other).prev(&prev), "ADD");
    cluster.node.delete(&other);
    let (code, msg, details) = add.err();
    short(&add);
    assert!([6, 7].contains(&code) && msg.contains(said), "{said}: {add}");
    assert!(!details.is_empty(), "{said}: {add}");
    let status = cluster.at(0, cluster.ipip(0), "STATUS");
    let (code, same, _) = status.err();
    short(&status);
    assert_eq!((code, &same), (50, &msg), "{said}: {status}");
    let (is_done, synced) = cluster.try_sync(0);
    assert!(!is_done && synced.contains(said) && synced.len() < 4 << 10, "{said}: {synced}");
    details
}

#[test]
fn add_sync_and_status_refuse_the_same_lists_and_change_nothing() {
    let mut cluster = Cluster::new(Between::Router, Use::Chained);
    let [one, _] = &cluster.hosts;
    one.sh("ip link add other0 type bridge; ip addr add 172.20.0.1/16 dev other0
        ip link add veth7 type veth peer name far7; ip link set veth7 up; ip link set far7 up
        ip route add 10.77.0.7 dev veth7");
    let result = cluster.join(0);
    cluster.join(1);
    let before = cluster.look(0);
    let good = cluster.peers();
    for (list, said) in mistakes(&good) {
        cluster.write_peers(&list);
        let details = assert_refused(&cluster, &result, said);
        if said.contains("\"podCIDRs\"") {
            assert!(details.contains("write \"podCIDRs\" instead of \"podCIDR\""), "{details}");
        }
        if said.contains("\"node\"") {
            assert!(details.contains("\"nodeIP\""), "{details}");
        }
        assert_same!(before, cluster.look(0), "{said}");
    }
    cluster.write_peers(&good);
    for address in ["198.51.100.2", "10.1.2.9"] {
        cluster.keys["address"] = json!(address);
        let said = match address {
            "198.51.100.2" => "the address 198.51.100.2 for the tunnel is that of a peer",
            _ => "podCIDR 10.1.2.0/24 of the peer 198.51.100.2 covers the address 10.1.2.9",
        };
        assert_refused(&cluster, &result, said);
        assert_same!(before, cluster.look(0), "{said}");
    }
    cluster.keys["address"] = Value::Null;
    // The same in the configuration as in the file.
    cluster.keys["peersFile"] = Value::Null;
    cluster.keys["peers"] = json!([{ "node": "198.51.100.9", "podCIDR": ["10.1.9.0/24"] }]);
    assert_refused(&cluster, &result, "peers[0]: the peer 198.51.100.9 has no \"podCIDRs\"");
    assert_same!(before, cluster.look(0), "in the configuration");
    cluster.assert_works();
}

#[test]
fn lists_that_look_odd_and_are_right() {
    let cluster = Cluster::new(Between::Router, Use::Chained);
    // A list that was always empty is that of a node without peers so far.
    for list in
        [json!([]), json!({ "peers": [] }), json!([{ "node": "198.51.100.2", "podCIDRs": [] }])]
    {
        cluster.write_peers(&list);
        cluster.sync(0);
    }
    let result = cluster.join(0);
    // As a Node of Kubernetes is written, and as Go writes an empty list.
    cluster.write_peers(&json!([
        { "NODE": "192.0.2.1", "podCIDR": "10.1.1.0/24", "podCIDRs": ["10.1.1.0/24"], "name": "one" },
        { "node": "198.51.100.2", "podCIDR": "10.1.2.0/24", "podCIDRs": ["10.1.2.0/24"] },
        { "node": "198.51.100.3", "podCIDRs": null }
    ]));
    cluster.sync(0);
    cluster.join(1);
    cluster.assert_works();
    // The other node no longer has containers.
    let own = json!({ "node": "192.0.2.1", "podCIDRs": ["10.1.1.0/24"] });
    cluster.write_peers(&json!([own, { "node": "198.51.100.2", "podCIDRs": [] }]));
    cluster.at(0, cluster.ipip(0), "STATUS").ok();
    assert!(cluster.sync(0).contains("10.1.2.0/24 via 198.51.100.2 is left over"));
    cluster.write_peers(&cluster.peers());
    cluster.sync(0);
    cluster.assert_works();
    // Only this node: an explicit list. After that, an empty list removes nothing.
    cluster.write_peers(&json!([{ "node": "192.0.2.1", "podCIDRs": ["10.1.1.0/24"] }]));
    assert!(cluster.sync(0).contains("10.1.2.0/24 via 198.51.100.2 is left over"));
    assert!(!cluster.pods[0].ping(PODS[1]));
    cluster.write_peers(&json!([]));
    assert_eq!(cluster.sync(0), "nothing to change\n");
    cluster.at(0, cluster.ipip(0).prev(&result), "CHECK").ok();
}

/// If no bridge has the subnet of the node's own containers, it is known from their routes and from
/// the configuration.
#[test]
fn routed_containers_are_not_given_away() {
    let cluster = Cluster::new(Between::Switch, Use::Alone);
    let refused = |cidr: &str, said: &str| {
        let other = json!({ "node": "192.0.2.3", "podCIDRs": [cidr] });
        cluster.write_peers(&json!([cluster.peers()[1], other]));
        let (is_done, text) = cluster.try_sync(0);
        assert!(!is_done && text.contains(said), "{cidr}: {text}");
    };
    let subnet = "covers 10.1.1.2-10.1.1.254, which \"ipam\" assigns on this host";
    refused("10.1.1.128/25", subnet);
    cluster.write_peers(&cluster.peers());
    cluster.join(0);
    refused("10.1.1.2/32", "covers 10.1.1.2 of veth");
    cluster.write_peers(&cluster.peers());
    cluster.join(1);
    cluster.assert_works();
}

/// A node that has lost its address, or does not have it yet, is not told that its list is wrong.
#[test]
fn a_node_without_its_address_gets_an_error() {
    let cluster = Cluster::joined(Between::Switch, Use::Chained);
    let [one, _] = &cluster.hosts;
    let result = cluster.results.borrow()[0].clone();
    let add = |name: &str| {
        let pod = cluster.node.pod(name);
        let prev = in_namespace(&result, name);
        cluster.at(0, cluster.call(&cluster.conf(0), &pod).prev(&prev), "ADD")
    };
    let said = "no entry of the list of peers is this host";
    one.sh("ip addr del 192.0.2.1/24 dev eth0");
    let (code, msg, details) = add("early").err();
    assert!(code == 11 && format!("{msg} {details}").contains(said), "{msg} {details}");
    cluster.at(0, cluster.ipip(0), "STATUS").ok();
    // It has another address than in the list.
    one.sh("ip addr add 192.0.2.9/24 dev eth0");
    let (code, msg, details) = add("other").err();
    assert!(code == 7 && msg.contains("of the peer 192.0.2.1 covers"), "{msg}");
    assert!(details.contains(said), "{details}");
    one.sh("ip addr del 192.0.2.9/24 dev eth0; ip addr add 192.0.2.1/24 dev eth0");
    cluster.sync(0);
    cluster.assert_works();
}
