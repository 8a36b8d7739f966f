//! Pods without a default route: their routes to the peers' pods follow the list, as the node's do.

use serde_json::{Value, json};

use super::{ADDRESSES, Between, Cluster, PODS, Use, each};

/// The plugins of the first node's network, whose IPAM plugin gives pods no default route.
fn plugins(cluster: &Cluster) -> Vec<Value> {
    let mut plugins = cluster.plugins(0);
    plugins[0]["ipam"]["routes"] = json!([{ "dst": "10.66.0.0/16" }]);
    plugins
}

fn join(cluster: &Cluster) -> Value {
    let add = |prev: Option<Value>, conf: Value| {
        let call = cluster.call(&conf, &cluster.pods[0]);
        let call = match prev {
            Some(prev) => call.prev(&prev),
            None => call,
        };
        Some(cluster.at(0, call, "ADD").ok())
    };
    plugins(cluster).into_iter().fold(None, add).unwrap()
}

/// CHECK by every plugin of the chain.
fn check(cluster: &Cluster, result: &Value) {
    for conf in plugins(cluster) {
        let call = cluster.call(&conf, &cluster.pods[0]).prev(result);
        cluster.at(0, call, "CHECK").ok();
    }
}

#[test]
fn sync_brings_the_routes_in_live_pods_in_line_with_the_list() {
    each(&[Use::Chained, Use::Alone], |used| {
        let cluster = Cluster::new(Between::Switch, used);
        let [first, second] = [cluster.peers()[0].clone(), cluster.peers()[1].clone()];
        cluster.write_peers(&json!([first]));
        let result = join(&cluster);
        cluster.join(1);
        let pod = &cluster.pods[0];
        let routes = || pod.sh("ip -o route show proto 226 | sed 's/ metric.*//; s/ *$//'");
        assert_eq!(routes(), "");
        // A peer is added.
        cluster.write_peers(&json!([first, second]));
        let said = cluster.sync(0);
        let gone = "container p1: route 10.1.2.0/24 via 10.1.1.1 dev eth0 is gone";
        assert!(said.contains(gone), "{said}");
        cluster.sync(1);
        cluster.assert_works();
        check(&cluster, &result);
        assert_eq!(cluster.sync(0), "nothing to change\n");
        // A peer with the adjacent prefix is added, and the two become one route; a pod with a
        // default route needs none.
        let third = json!({ "node": "192.0.2.3", "podCIDRs": ["10.1.3.0/24"] });
        cluster.write_peers(&json!([first, second, third]));
        let said = cluster.sync(0);
        assert!(said.contains("container p1: route 10.1.2.0/23 via 10.1.1.1"), "{said}");
        assert_eq!(routes(), "10.1.2.0/23 via 10.1.1.1 dev eth0\n");
        cluster.assert_works();
        assert!(!cluster.sync(1).contains("container"));
        // CHECK reports it, and a manual REPAIR repairs it.
        pod.sh("ip route flush proto 226");
        let ipip = cluster.call(&plugins(&cluster).pop().unwrap(), pod).prev(&result);
        let (_, _, details) = cluster.at(0, ipip.clone(), "CHECK").err();
        assert!(details.contains("route 10.1.2.0/23 via 10.1.1.1 dev eth0 is gone"), "{details}");
        cluster.at(0, ipip, "REPAIR").ok();
        cluster.assert_works();
        // Peers are removed.
        cluster.write_peers(&json!([first]));
        let said = cluster.sync(0);
        assert!(
            said.contains("container p1: route 10.1.2.0/23 via 10.1.1.1 is left over"),
            "{said}"
        );
        assert_eq!(routes(), "");
        assert!(!pod.ping(PODS[1]) && pod.ping("10.1.1.1"));
        check(&cluster, &result);
        // A new pod has the currently needed routes; a deleted pod is not an error.
        cluster.write_peers(&json!([first, second]));
        cluster.at(0, cluster.ipip(0), "DEL").ok();
        cluster.sync(0);
        assert_eq!(cluster.addresses()[1], ADDRESSES[1]);
    });
}
