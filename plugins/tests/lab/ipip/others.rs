//! Routes of other programs that keep packets from the tunnel are reported with the remedy, and
//! left in place.

use serde_json::json;

use super::{Between, Cluster, PODS, Use};

/// The output of `ipip sync` when it cannot repair everything.
fn failing_sync(cluster: &Cluster) -> String {
    std::fs::write("/run/n1.conf", cluster.conf(0).to_string()).unwrap();
    let program = testbed::binary("ipip").display().to_string();
    let done = cluster.hosts[0].try_run(&[&program, "sync", "/run/n1.conf"]);
    assert_eq!(done.status.code(), Some(1), "{}", done.stdout);
    done.stderr
}

#[test]
fn routes_of_others_over_a_peers_containers_are_named() {
    let cluster = Cluster::joined(Between::Switch, Use::Chained);
    let [one, _] = &cluster.hosts;
    let result = cluster.results.borrow()[0].clone();
    let check = || cluster.at(0, cluster.ipip(0).prev(&result), "CHECK");
    let ours = "10.1.2.0/24 via 192.0.2.2 dev tunl0";
    for (route, said) in [
        (
            "blackhole 10.1.2.0/24 metric 5",
            "has no effect: a blackhole route to 10.1.2.0/24 has the lower metric 5",
        ),
        ("throw 10.1.2.0/24", "has no effect: a throw route to 10.1.2.0/24 has the lower metric 0"),
        ("unreachable 10.1.2.0/25", "packets to 10.1.2.0/25 do not take the route"),
        ("prohibit 10.1.2.2/32", "a prohibit route leads there"),
        ("10.1.2.0/28 via 192.0.2.9", "packets to 10.1.2.0/28 do not take the route"),
        (
            "blackhole 10.0.0.0/8 table 77",
            "packets to 10.1.2.0/24 do not take the route 10.1.2.0/24 via 192.0.2.2 dev tunl0: \
             table 77 comes before the main one and has a blackhole route to 10.0.0.0/8",
        ),
        ("prohibit 10.1.2.2 table 77", "table 77 comes before the main one"),
    ] {
        let rule = if route.contains("table") { "ip rule add pref 100 lookup 77" } else { "true" };
        one.sh(&format!("ip route add {route}; {rule}"));
        assert!(!cluster.pods[0].ping(PODS[1]), "{route}");
        let (_, _, details) = check().err();
        assert!(details.contains(said) && details.contains(ours), "{route}: {details}");
        let remedy = details.rsplit("if no program needs it: ").next().unwrap().to_owned();
        assert!(failing_sync(&cluster).contains(&remedy), "{route}: {remedy}");
        // It stays in place until the operator follows the advice.
        assert!(check().err().2.contains(said), "{route}");
        one.sh(&remedy);
        one.sh("ip rule del pref 100 2>/dev/null || true");
        check().ok();
        assert!(cluster.pods[0].ping(PODS[1]), "without {route}");
    }
}

/// Valid routes of other programs beside the tunnel.
#[test]
fn routes_of_others_that_keep_nothing_away_are_not_named() {
    let cluster = Cluster::joined(Between::Switch, Use::Chained);
    cluster.hosts[0].sh("ip route add blackhole 10.1.1.64/26 proto bird
        ip route add blackhole 10.0.0.0/8 proto bird
        ip route add unreachable default metric 4000
        ip route add 10.1.2.0/26 via 192.0.2.2 dev tunl0 onlink proto bird
        ip route add blackhole 10.1.2.0/24 metric 4000000000
        ip route add throw 10.1.2.0/24 table 77
        ip route add 192.0.2.0/24 dev eth0 table 77
        ip rule add pref 100 lookup 77
        ip route add blackhole default table 78
        ip rule add pref 101 fwmark 7 lookup 78
        ip rule add pref 102 from 198.18.0.0/15 lookup 78
        ip route add default via 192.0.2.9 table 79
        ip rule add pref 104 lookup 79 suppress_prefixlength 0");
    let result = cluster.results.borrow()[0].clone();
    cluster.at(0, cluster.ipip(0).prev(&result), "CHECK").ok();
    assert_eq!(cluster.sync(0), "nothing to change\n");
    cluster.assert_works();
    // Neither if another program makes all routes.
    let cluster = cluster.with(json!({ "routes": "external" }));
    cluster.sync(0);
    cluster.hosts[0].sh("ip route add blackhole 10.1.2.0/24 metric 5");
    cluster.at(0, cluster.ipip(0).prev(&result), "CHECK").ok();
}
