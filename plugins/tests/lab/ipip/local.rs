//! The source of the tunnel's packets is the address by which the other nodes know this one.

use serde_json::{Value, json};
use testbed::Pod;

use super::{ADDRESSES, Between, Cluster, PODS, Use, batch, each, machine};

/// The third node: behind a second uplink of the first, with the numerically lowest address of all
/// nodes.
const THIRD: &str = "10.9.0.3";
const SECOND_UPLINK: &str = "10.9.0.1";

/// Adds the third node with a pod to a cluster, and returns both; the first node is its router to
/// the second.
fn third(cluster: &Cluster) -> [Pod; 2] {
    let host = machine(&cluster.node, "n3");
    batch(
        &cluster.hosts[0],
        "link add eth1 type veth peer name eth0 netns n3
         addr add 10.9.0.1/24 dev eth1
         link set eth1 up",
    );
    batch(
        &host,
        "addr add 10.9.0.3/24 dev eth0
         link set eth0 up
         route add default via 10.9.0.1",
    );
    let pod = cluster.node.pod("p3");
    let call = cluster.call(&cluster.conf(2), &pod);
    host.enter(|| call.add()).ok();
    [host, pod]
}

fn with_third(cluster: &Cluster) -> Value {
    let [one, two] = &[0, 1].map(|index| cluster.peers()[index].clone());
    json!([one, two, { "node": THIRD, "podCIDRs": ["10.1.3.0/24"] }])
}

#[test]
fn a_peer_behind_another_uplink_does_not_change_the_source() {
    let cluster = Cluster::new(Between::Switch, Use::Alone).with(json!({ "device": "pods0" }));
    let [one, _] = &cluster.hosts;
    cluster.join(0);
    cluster.join(1);
    cluster.assert_works();
    cluster.write_peers(&with_third(&cluster));
    let [_, third] = third(&cluster);
    let said = cluster.sync(0);
    assert!(said.contains("route 10.1.3.0/24 via 10.9.0.3 dev pods0 is gone"), "{said}");
    assert!(!said.contains("source"), "{said}");
    assert!(one.sh("ip -d link show pods0").contains("local 192.0.2.1 "));
    assert_eq!(cluster.sync(0), "nothing to change\n");
    cluster.assert_works();
    for (from, to) in [(&cluster.pods[0], "10.1.3.2"), (&third, PODS[0])] {
        assert!(from.ping(to), "from {} to {to}", from.name());
    }
    // Without an entry of this node the source stays unchanged as long as it reaches a peer.
    let without_own = json!([with_third(&cluster)[1], with_third(&cluster)[2]]);
    cluster.write_peers(&without_own);
    assert_eq!(cluster.sync(0), "nothing to change\n");
}

/// tunl0 sends from the address that the route selects. Nodes that work so today continue to work;
/// CHECK reports it if the other nodes do not know the address.
#[test]
fn tunl0_sends_from_the_address_of_each_uplink() {
    let cluster = Cluster::new(Between::Switch, Use::Alone);
    let mut peers = with_third(&cluster);
    cluster.write_peers(&peers);
    let result = cluster.join(0);
    cluster.join(1);
    let check = |result: &Value| cluster.at(0, cluster.ipip(0).prev(result), "CHECK");
    check(&result).ok();
    let [host, third] = third(&cluster);
    cluster.sync(0);
    cluster.assert_works();
    let (_, msg, details) = check(&result).err();
    let said = "tunl0 sends from 10.9.0.1 to the peer 10.9.0.3, and the list of peers has this \
        node as 192.0.2.1";
    assert!(msg.contains(said) && details.contains("\"podCIDRs\": []"), "{msg} {details}");
    // What CHECK reports does not fail an ADD, because these packets may still be accepted.
    let another = cluster.node.pod("another");
    cluster.join_pod(0, &another);
    cluster.at(0, cluster.ipip(0), "STATUS").ok();
    // An entry without containers for the other address.
    peers.as_array_mut().unwrap().push(json!({ "node": SECOND_UPLINK, "podCIDRs": [] }));
    cluster.write_peers(&peers);
    check(&result).ok();
    assert!(!cluster.pods[0].ping("10.1.3.2"), "the third node does not know the address yet");
    std::fs::write("/run/n3.conf", cluster.conf(2).to_string()).unwrap();
    host.run(&[&testbed::binary("ipip").display().to_string(), "sync", "/run/n3.conf"]);
    for (from, to) in [(&cluster.pods[0], "10.1.3.2"), (&third, PODS[0])] {
        assert!(from.ping(to), "from {} to {to}", from.name());
    }
}

/// The key, then the node's own entry, then the routes.
#[test]
fn the_source_is_chosen_in_this_order() {
    each(&[Some("10.9.0.1"), None], |local| {
        let cluster = Cluster::new(Between::Switch, Use::Alone)
            .with(json!({ "device": "pods0", "local": local, "mtu": 1400 }));
        let [one, _] = &cluster.hosts;
        batch(one, "addr add 10.9.0.1/24 dev eth0");
        let source = |peers: Value| {
            cluster.write_peers(&peers);
            cluster.sync(0);
            one.sh("ip -d link show pods0 | grep -o 'local [0-9.]*'").trim()["local ".len()..]
                .to_owned()
        };
        let two = json!({ "node": ADDRESSES[1], "podCIDRs": ["10.1.2.0/24"] });
        let own = json!({ "node": ADDRESSES[0], "podCIDRs": ["10.1.1.0/24"] });
        let bare = json!({ "node": SECOND_UPLINK, "podCIDRs": [] });
        let far = json!({ "node": "10.9.0.9", "podCIDRs": ["10.1.9.0/24"] });
        let chosen = |otherwise: &str| local.unwrap_or(otherwise).to_owned();
        assert_eq!(source(json!([far])), chosen("10.9.0.1"), "the route to the peer");
        assert_eq!(source(json!([far, own])), chosen("192.0.2.1"), "its own entry");
        assert_eq!(source(json!([far, two])), chosen("192.0.2.1"), "what it is and may stay");
        assert_eq!(
            source(json!([bare, far, own])),
            chosen("192.0.2.1"),
            "where its containers are"
        );
        assert_eq!(source(json!([bare, two])), chosen("10.9.0.1"), "the only entry of its own");
    });
}
