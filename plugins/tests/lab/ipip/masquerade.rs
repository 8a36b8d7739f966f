//! `ipMasq` for pods of `ipip` with `ipam`: outside hosts see the node's address, the other nodes'
//! pods see the pod's.

use std::net::IpAddr;

use serde_json::{Value, json};
use testbed::{Outcome, Pod};

use super::{Between, Cluster, PODS, Use, batch, each, machine};

/// The address of a host that is not a node; it has no route to pods.
const WORLD: &str = "203.0.113.9";

/// A host outside the nodes' network.
fn world(cluster: &Cluster) -> Pod {
    let world = machine(&cluster.node, "world");
    batch(
        &cluster.middle,
        "link add world type veth peer name eth0 netns world
         addr add 203.0.113.254/24 dev world
         link set world up",
    );
    batch(
        &world,
        &format!(
            "addr add {WORLD}/24 dev eth0
             link set eth0 up
             route add default via 203.0.113.254"
        ),
    );
    world
}

/// The client address that `server` sees when a pod connects to one of its addresses.
#[track_caller]
fn seen_by(server: &Pod, at: &str, pod: &Pod) -> String {
    let seen = pod.tcp(server, at.parse::<IpAddr>().unwrap(), 1);
    seen.unwrap_or_else(|error| panic!("{at}: {error}")).from.ip().to_string()
}

fn check(cluster: &Cluster, result: &Value) -> Outcome {
    cluster.at(0, cluster.ipip(0).prev(result), "CHECK")
}

#[test]
fn the_world_sees_the_node_and_pods_see_pods() {
    each(&["always", "crossSubnet"], |mode| {
        let keys = json!({ "ipMasq": true, "mode": mode });
        let cluster = Cluster::new(Between::Router, Use::Alone).with(keys);
        let world = world(&cluster);
        // The second node is not a peer yet.
        cluster.write_peers(&json!([cluster.peers()[0]]));
        let result = cluster.join(0);
        assert_eq!(seen_by(&world, WORLD, &cluster.pods[0]), "192.0.2.1");
        cluster.write_peers(&cluster.peers());
        let said = cluster.sync(0);
        assert!(said.contains("podcidrs_pods lacks 10.1.1.0-10.1.2.255"), "{said}");
        cluster.join(1);
        // Pods see each other's addresses; outside hosts and the other node itself see the node's.
        assert_eq!(seen_by(&cluster.pods[1], PODS[1], &cluster.pods[0]), PODS[0]);
        assert_eq!(seen_by(&cluster.pods[0], PODS[0], &cluster.pods[1]), PODS[1]);
        assert_eq!(seen_by(&world, WORLD, &cluster.pods[0]), "192.0.2.1");
        assert_eq!(seen_by(&cluster.hosts[1], "198.51.100.2", &cluster.pods[0]), "192.0.2.1");
        check(&cluster, &result).ok();
        // Removed objects are restored, and unused ones are removed.
        cluster.hosts[0].sh("nft flush ruleset");
        let (_, _, details) = check(&cluster, &result).err();
        assert!(
            details.contains("nf_tables set inet ferrocni podcidrs_pods is missing"),
            "{details}"
        );
        cluster.at(0, cluster.ipip(0).prev(&result), "REPAIR").ok();
        assert_eq!(seen_by(&cluster.pods[1], PODS[1], &cluster.pods[0]), PODS[0]);
        assert_eq!(seen_by(&world, WORLD, &cluster.pods[0]), "192.0.2.1");
        cluster.at(0, cluster.ipip(0), "DEL").ok();
        let gc = cluster.ipip(0).key("cni.dev/valid-attachments", json!([]));
        cluster.at(0, gc, "GC").ok();
        let left = cluster.hosts[0].sh("nft list ruleset");
        assert!(!left.contains("pods") && !left.contains("10.1."), "{left}");
    });
}

#[test]
fn direct_routes_to_peers_are_not_masqueraded() {
    let keys = json!({ "ipMasq": true, "mode": "crossSubnet" });
    let cluster = Cluster::joined(Between::Switch, Use::Alone).with(keys);
    cluster.at(0, cluster.ipip(0), "DEL").ok();
    cluster.join(0);
    cluster.sync(1);
    assert!(cluster.hosts[0].sh("ip route show 10.1.2.0/24").contains("dev eth0"));
    assert_eq!(seen_by(&cluster.pods[1], PODS[1], &cluster.pods[0]), "10.1.1.3");
    assert_eq!(seen_by(&cluster.hosts[1], "192.0.2.2", &cluster.pods[0]), "192.0.2.1");
}

#[test]
fn ip_masq_is_refused_if_it_would_have_no_effect() {
    for (used, keys, said) in [
        (Use::Chained, json!({ "ipMasq": true }), "ipMasq has no effect in ipip without \"ipam\""),
        (
            Use::Alone,
            json!({ "ipMasq": true, "ipMasqBackend": "iptables" }),
            "ipMasq would hide the containers from those of other nodes",
        ),
    ] {
        let cluster = Cluster::new(Between::Switch, used).with(keys);
        let mut call = cluster.ipip(0);
        if used == Use::Chained {
            let bridge = cluster.plugins(0).swap_remove(0);
            let result = cluster.at(0, cluster.call(&bridge, &cluster.pods[0]), "ADD").ok();
            call = call.prev(&result);
        }
        let (code, msg, details) = cluster.at(0, call, "ADD").err();
        assert!(code == 7 && msg.contains(said) && !details.is_empty(), "{msg} {details}");
    }
}
