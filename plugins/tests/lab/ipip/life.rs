//! The life of a node: peers are added and removed, objects break and are repaired, pods are
//! deleted.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};
use testbed::{Cni, Pod, assert_same};

use super::{ADDRESSES, Between, Cluster, PODS, Use, machine};

#[test]
fn peers_come_change_and_go_while_pods_live() {
    let cluster = Cluster::new(Between::Switch, Use::Chained);
    let [one, two] = &cluster.hosts;
    cluster.write_peers(&json!([{ "node": ADDRESSES[0], "podCIDRs": ["10.1.1.0/24"] }]));
    cluster.join(0);
    cluster.join(1);
    assert!(!cluster.pods[1].ping(PODS[0]), "there is no route back");
    // A peer is added.
    cluster.write_peers(&json!({ "peers": cluster.peers() }));
    let said = cluster.sync(0);
    assert_eq!(
        said,
        "repaired: nf_tables set inet ferrocni peers_pods lacks 192.0.2.2\n\
         repaired: route 10.1.2.0/24 via 192.0.2.2 dev tunl0 is gone\n"
    );
    cluster.assert_works();
    assert_eq!(cluster.sync(0), "nothing to change\n");
    // The peer gets another address.
    two.sh("ip addr del 192.0.2.2/24 dev eth0; ip addr add 192.0.2.7/24 dev eth0");
    let moved = json!([cluster.peers()[0], { "node": "192.0.2.7", "podCIDRs": ["10.1.2.0/24"] }]);
    cluster.write_peers(&moved);
    assert!(!cluster.pods[0].ping(PODS[1]), "the old address is unused");
    cluster.sync(1);
    let said = cluster.sync(0);
    assert_eq!(
        said,
        "repaired: nf_tables set inet ferrocni peers_pods lacks 192.0.2.7\n\
         repaired: nf_tables set inet ferrocni peers_pods has 192.0.2.2, which is left over\n\
         repaired: route 10.1.2.0/24 via 192.0.2.7 dev tunl0 leads elsewhere\n"
    );
    cluster.assert_works();
    // The peer is removed.
    cluster.write_peers(&json!([cluster.peers()[0]]));
    let said = cluster.sync(0);
    assert_eq!(
        said,
        "repaired: nf_tables set inet ferrocni peers_pods has 192.0.2.7, which is left over\n\
         repaired: route 10.1.2.0/24 via 192.0.2.7 is left over\n"
    );
    assert_eq!(one.sh("ip route show proto 226"), "");
    assert!(!cluster.pods[0].ping(PODS[1]));
}

#[test]
fn a_node_that_was_rebooted_is_brought_back_by_the_next_add() {
    let mut cluster = Cluster::joined(Between::Router, Use::Alone);
    let state = testbed::normalise(&cluster.look(0));
    cluster.node.delete(&cluster.hosts[0]);
    cluster.node.delete(&cluster.pods[0]);
    fs::remove_dir_all("/run/n1").unwrap();
    // The veth pair is deleted with the namespace, a moment later.
    while cluster.middle.try_run(&["ip", "link", "show", "n1"]).status.success() {
        std::thread::yield_now();
    }
    cluster.hosts[0] = machine(&cluster.node, "n1");
    cluster.wire(0);
    cluster.middle.sh("ip addr add 192.0.2.254/24 dev n1");
    cluster.pods[0] = cluster.node.pod("p1");
    cluster.join(0);
    cluster.assert_works();
    assert_same!(state, testbed::normalise(&cluster.look(0)), "after the reboot");
}

#[test]
fn a_stripped_tunnel_is_seen_and_repaired_under_a_running_ping() {
    let cluster = Cluster::joined(Between::Switch, Use::Chained);
    let [one, _] = &cluster.hosts;
    let result = cluster.results.borrow()[0].clone();
    let check = || cluster.at(0, cluster.ipip(0).prev(&result), "CHECK");
    check().ok();
    let before = cluster.look(0);
    one.sh("ip addr flush dev tunl0; ip link set tunl0 mtu 1400");
    assert!(!one.ping(PODS[1]), "the node has no address that the answer finds");
    let (_, _, details) = check().err();
    assert_eq!(
        details,
        "tunnel tunl0 has the MTU 1400 instead of 1480\naddress 10.1.1.1 is not on tunl0\n\
         route 10.1.2.0/24 via 192.0.2.2 dev tunl0 is gone"
    );
    cluster.at(0, cluster.ipip(0).prev(&result), "REPAIR").ok();
    // Without its address the kernel drops the routes too. All of that happens and is repaired
    // between two packets.
    let mut ping = cluster.pods[0].command("ping");
    ping.args(["-n", "-i", "2", "-c", "3", "-W", "1", PODS[1]]).stdout(Stdio::piped());
    let mut ping = ping.spawn().unwrap();
    let mut lines = BufReader::new(ping.stdout.take().unwrap()).lines();
    while !lines.next().unwrap().unwrap().contains("icmp_seq=1") {}
    one.sh("ip addr flush dev tunl0; ip link set tunl0 mtu 1400");
    cluster.at(0, cluster.ipip(0).prev(&result), "REPAIR").ok();
    let rest: String = lines.map(Result::unwrap).collect();
    ping.wait().unwrap();
    assert!(rest.contains(" 3 received") || rest.contains(" 2 received"), "{rest}");
    assert_same!(before, cluster.look(0), "after the repair");
}

#[test]
fn each_change_by_hand_is_named_and_repaired() {
    let cluster = Cluster::joined(Between::Switch, Use::Chained);
    let [one, _] = &cluster.hosts;
    let result = cluster.results.borrow()[0].clone();
    let check = || cluster.at(0, cluster.ipip(0).prev(&result), "CHECK");
    let before = cluster.look(0);
    let metric = "metric $(ip route show 10.1.2.0/24 | grep -o 'metric [0-9]*' | cut -d' ' -f2)";
    let more =
        format!("ip route add 10.9.0.0/16 via 192.0.2.2 dev tunl0 onlink proto 226 {metric}");
    let turned =
        format!("ip route replace 10.1.2.0/24 via 192.0.2.9 dev tunl0 onlink proto 226 {metric}");
    for (damage, named) in [
        ("ip link set tunl0 down", "tunnel tunl0 is down"),
        ("ip link set tunl0 alias ''", "tunnel tunl0 does not have the alias ferrocni:pods"),
        ("ip route del 10.1.2.0/24", "route 10.1.2.0/24 via 192.0.2.2 dev tunl0 is gone"),
        (turned.as_str(), "route 10.1.2.0/24 via 192.0.2.2 dev tunl0 leads elsewhere"),
        (more.as_str(), "route 10.9.0.0/16 via 192.0.2.2 is left over"),
        ("sysctl -qw net.ipv4.ip_forward=0", "sysctl net/ipv4/ip_forward is 0 instead of 1"),
    ] {
        one.sh(damage);
        let (_, _, details) = check().err();
        assert!(details.contains(named), "{damage}: {details}");
        cluster.at(0, cluster.ipip(0).prev(&result), "REPAIR").ok();
        assert_same!(before, cluster.look(0), "after {damage} and the repair");
    }
    for (damage, named) in [
        (
            "ip link set eth0 mtu 1500",
            "interface eth0 has the MTU 1500, and 1480 is the most that fits",
        ),
        (
            "ip route replace default via 10.1.1.1 mtu 1490",
            "a route over eth0 has the MTU 1490, and 1480 is the most that fits",
        ),
    ] {
        cluster.pods[0].sh(damage);
        let (_, _, details) = check().err();
        assert!(details.contains(named), "{damage}: {details}");
        cluster.at(0, cluster.ipip(0).prev(&result), "REPAIR").ok();
        check().ok();
    }
    // Another program's route has priority: that is the operator's decision.
    one.sh("ip route add 10.1.2.0/24 via 192.0.2.9 metric 5");
    let (_, _, details) = check().err();
    assert!(
        details.contains("has no effect: another one to 10.1.2.0/24 has the lower metric 5"),
        "{details}"
    );
}

#[test]
fn del_leaves_the_node_alone_and_gc_removes_unused_objects() {
    let cluster = Cluster::new(Between::Switch, Use::Alone);
    let [one, _] = &cluster.hosts;
    let ours = || {
        one.sh("ip route show proto 226; ip addr show tunl0; ip -o link show type veth | grep -c \
            'veth[0-9a-f]' || true")
    };
    one.sh("sysctl -qw net.ipv4.ip_forward=1; ip link set tunl0 mtu 1480");
    let before = cluster.look(0);
    let result = cluster.join(0);
    assert!(ours().contains("10.1.2.0/24"));
    let gc = |valid: Value| {
        let call = cluster.ipip(0).key("cni.dev/valid-attachments", valid);
        cluster.at(0, call, "GC").ok();
    };
    gc(json!([{ "containerID": "p1", "ifname": "eth0" }]));
    cluster.at(0, cluster.ipip(0).prev(&result), "CHECK").ok();
    // Without the namespace and the result.
    let del = cluster.ipip(0).unset("CNI_NETNS");
    for _ in 0..2 {
        cluster.at(0, del.clone(), "DEL").ok();
        let left = ours();
        assert!(
            left.ends_with("\n0\n") && left.contains("10.1.2.0/24") && left.contains("10.1.1.1/32"),
            "{left}"
        );
    }
    // Routes of other programs stay.
    one.sh("ip route add 10.7.0.0/16 via 192.0.2.2 proto 226 metric 7");
    gc(json!([]));
    assert_eq!(
        one.sh("ip route show proto 226").trim(),
        "10.7.0.0/16 via 192.0.2.2 dev eth0 metric 7"
    );
    one.sh("ip route del 10.7.0.0/16");
    assert_same!(before, cluster.look(0));
}

#[test]
fn thirty_two_at_once() {
    let cluster = Cluster::new(Between::Switch, Use::Alone);
    let [one, _] = &cluster.hosts;
    let calls: Vec<(Pod, Cni)> = (0..32)
        .map(|index| {
            let pod = cluster.node.pod(&format!("many{index}"));
            let call = cluster.call(&cluster.conf(0), &pod);
            (pod, call)
        })
        .collect();
    let results: Vec<Value> = one.enter(|| {
        std::thread::scope(|scope| {
            let adds: Vec<_> =
                calls.iter().map(|(_, call)| scope.spawn(|| call.add().ok())).collect();
            adds.into_iter().map(|add| add.join().unwrap()).collect()
        })
    });
    for ((_, call), result) in calls.iter().zip(&results).step_by(8) {
        cluster.at(0, call.clone().prev(result), "CHECK").ok();
    }
    let count = one
        .sh("ip route show proto 226 | wc -l; ip -4 addr show tunl0 | grep -c inet; ip \
        -o link | grep -c 'veth[0-9a-f]'");
    assert_eq!(count.split_whitespace().collect::<Vec<_>>(), ["1", "1", "32"]);
    one.enter(|| {
        std::thread::scope(|scope| {
            let dels: Vec<_> =
                calls.iter().map(|(_, call)| scope.spawn(|| call.del().ok())).collect();
            dels.into_iter().for_each(|del| drop(del.join().unwrap()));
        });
    });
    assert_eq!(one.sh("ip -o link | grep -c 'veth[0-9a-f]' || true").trim(), "0");
}

/// If the first ADD of a node is killed at any point, DEL removes everything except the network's
/// objects on the node, and the next ADD completes those.
#[test]
fn a_first_add_that_is_killed_is_completed_by_the_next() {
    let cluster = Cluster::new(Between::Switch, Use::Alone);
    let gc = cluster.ipip(0).key("cni.dev/valid-attachments", json!([]));
    cluster.join(0);
    let complete = cluster.look(0).replace("10.1.1.2", "POD");
    cluster.at(0, cluster.ipip(0), "DEL").ok();
    let mut killed = 0;
    for when in (1..).step_by(3) {
        cluster.at(0, gc.clone(), "GC").ok();
        let inject = format!("inject=sendto:signal=KILL:when={when}");
        let strace = ["strace", "-qq", "-o", "/dev/null", "-e", "trace=sendto", "-e", &inject];
        let is_done = cluster.at(0, cluster.ipip(0).under(&strace), "ADD").status.success();
        cluster.at(0, cluster.ipip(0), "DEL").ok();
        let left = cluster.look(0);
        assert!(!left.contains("veth") && !left.contains("10.1.1.2 "), "at {when}: {left}");
        let result = cluster.join(0);
        let address = result["ips"][0]["address"].as_str().unwrap().replace("/24", "");
        let now = cluster.look(0).replace(&address, "POD");
        assert_same!(complete, now, "killed at request {when}");
        cluster.at(0, cluster.ipip(0), "DEL").ok();
        if is_done {
            break;
        }
        killed += 1;
    }
    assert!(killed > 3, "{killed} points");
}
