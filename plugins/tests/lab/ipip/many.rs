//! Thousands of peers: the routes are exactly those of the list, whatever the node's own routes and
//! rules for each peer, and two concurrent calls leave those of the newer list.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::assert_same;

use super::{Between, Cluster, PODS, Use};

/// Enough that the kernel's answers need several datagrams.
const MANY: usize = 2000;
/// The time limit of a call whose requests are slowed down.
const LONG: Duration = Duration::from_secs(180);

/// A peer far away, with its containers.
fn far(index: usize) -> (String, String) {
    let (high, low) = (index / 250, index % 250);
    (format!("172.16.{high}.{}", low + 1), format!("10.{}.{low}.0/24", 16 + high))
}

/// A peer on the node's own link, with its containers.
fn near(index: usize) -> (String, String) {
    (format!("192.0.2.{}", 10 + index), format!("10.99.{index}.0/24"))
}

fn list(cluster: &Cluster, peers: &[(String, String)]) -> Value {
    let mut list = cluster.peers();
    let all = list.as_array_mut().unwrap();
    all.extend(peers.iter().map(|(node, cidr)| json!({ "node": node, "podCIDRs": [cidr] })));
    list
}

/// The node's routes to the peers' containers: destination, next hop and link.
fn routes(cluster: &Cluster) -> BTreeSet<(String, String, String)> {
    let shown = cluster.hosts[0].sh("ip route show proto 226");
    let read = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((words[1], words[3], words[5]), ("via", "dev", "metric"), "{line}");
        assert_eq!(words.get(7), (words[4] == "tunl0").then_some(&"onlink"), "{line}");
        (words[0].to_owned(), words[2].to_owned(), words[4].to_owned())
    };
    shown.lines().map(read).collect()
}

/// As [`routes`], from the list: `direct` tells which nodes are reached without the tunnel.
fn expected(
    cluster: &Cluster,
    peers: &[(String, String)],
    direct: impl Fn(&str) -> bool,
) -> BTreeSet<(String, String, String)> {
    let second = (cluster.addresses()[1].to_owned(), "10.1.2.0/24".to_owned());
    let all = peers.iter().chain([&second]);
    all.map(|(node, cidr)| {
        let link = if direct(node) { "eth0" } else { "tunl0" };
        (cidr.clone(), node.clone(), link.to_owned())
    })
    .collect()
}

#[track_caller]
fn assert_routes(wanted: &BTreeSet<(String, String, String)>, cluster: &Cluster) {
    let found = routes(cluster);
    let missing: Vec<_> = wanted.difference(&found).take(5).collect();
    let surplus: Vec<_> = found.difference(wanted).take(5).collect();
    assert!(missing.is_empty() && surplus.is_empty(), "missing {missing:?}, surplus {surplus:?}");
}

#[test]
fn thousands_of_peers_have_exactly_their_routes() {
    let cluster = Cluster::new(Between::Router, Use::Alone).with(json!({ "mode": "crossSubnet" }));
    let [one, _] = &cluster.hosts;
    // The node's own routes and rules for single peers, at every position of the list.
    one.sh("ip route add 192.0.2.20/32 via 192.0.2.254
        ip route add 172.16.3.7/32 dev eth0
        ip route add blackhole 172.16.4.9/32
        ip route add 172.16.5.0/24 dev eth0 table 100
        ip rule add to 172.16.5.0/25 lookup 100");
    let is_direct = |node: &str| {
        let last: u8 = node.rsplit('.').next().unwrap().parse().unwrap();
        node.starts_with("192.0.2.") && node != "192.0.2.20"
            || node == "172.16.3.7"
            || node.starts_with("172.16.5.") && last < 128
    };
    let mut peers: Vec<_> = (0..MANY).map(far).chain((0..100).map(near)).collect();
    cluster.write_peers(&list(&cluster, &peers));
    cluster.join(1);
    let result = cluster.join(0);
    assert_routes(&expected(&cluster, &peers, is_direct), &cluster);
    cluster.at(0, cluster.ipip(0).prev(&result), "CHECK").ok();
    cluster.at(0, cluster.ipip(0), "STATUS").ok();
    assert_eq!(cluster.sync(0), "nothing to change\n");
    cluster.assert_works();

    // One peer moves, one is removed, one is added; the next ADD updates the routes.
    peers[7].0 = "172.31.0.1".to_owned();
    peers.swap_remove(1500);
    peers.push(far(MANY));
    cluster.write_peers(&list(&cluster, &peers));
    let (_, _, details) = cluster.at(0, cluster.ipip(0).prev(&result), "CHECK").err();
    let routes = details.lines().filter(|line| line.starts_with("route "));
    assert_eq!(routes.count(), 3, "{details}");
    let pod = cluster.node.pod("another");
    cluster.join_pod(0, &pod);
    assert_routes(&expected(&cluster, &peers, is_direct), &cluster);
    // The same with sync, and after changes by hand.
    peers[9].0 = "172.31.0.2".to_owned();
    cluster.write_peers(&list(&cluster, &peers));
    one.sh("metric=$(ip route show 10.16.4.0/24 | grep -o 'metric [0-9]*')
        ip route del 10.16.3.0/24
        ip route add 10.200.0.0/16 via 192.0.2.254 proto 226 $metric");
    let said = cluster.sync(0);
    let routes = said.lines().filter(|line| line.starts_with("repaired: route "));
    assert_eq!(routes.count(), 3, "{said}");
    assert_routes(&expected(&cluster, &peers, is_direct), &cluster);
    assert!(pod.ping(PODS[1]) && cluster.pods[0].ping(PODS[1]));
}

/// A slow ADD uses a list that is replaced while it writes the routes, and `sync` applies the new
/// one. The ADD must not overwrite it with the old list.
#[test]
fn a_sync_while_an_add_writes_routes() {
    let cluster = Cluster::new(Between::Router, Use::Alone);
    let old: Vec<_> = (0..MANY).map(far).collect();
    let new: Vec<_> = (MANY - 3..MANY + 3).map(far).collect();
    cluster.write_peers(&list(&cluster, &old));
    let count = || cluster.hosts[0].sh("ip route show proto 226 | wc -l").trim().parse::<usize>();
    let slowly = "inject=sendto:delay_enter=50000";
    let strace = ["strace", "-qq", "-o", "/dev/null", "-e", "trace=sendto", "-e", slowly];
    let add = cluster.ipip(0).under(&strace);
    let add = cluster.hosts[0].enter(move || thread::spawn(move || add.within("ADD", LONG).ok()));
    while count().unwrap() < 300 {
        assert!(!add.is_finished(), "it ended before its routes were there");
        thread::sleep(Duration::from_millis(50));
    }
    cluster.write_peers(&list(&cluster, &new));
    cluster.sync(0);
    let result = add.join().unwrap();
    assert_routes(&expected(&cluster, &new, |_| false), &cluster);
    cluster.at(0, cluster.ipip(0).prev(&result), "CHECK").ok();
    cluster.join(1);
    cluster.results.borrow_mut()[0] = result;
    assert!(cluster.pods[0].ping(PODS[1]) && cluster.pods[1].ping(PODS[0]));
    assert_same!(cluster.sync(0), "nothing to change\n");
}
