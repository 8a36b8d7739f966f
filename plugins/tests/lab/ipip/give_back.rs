//! The state after GC of a tunnel that existed before the network, or that another program uses by
//! now.

use serde_json::json;

use super::{Between, Cluster, PODS, Use, batch};

fn gc(cluster: &Cluster, index: usize) {
    let call = cluster.ipip(index).key("cni.dev/valid-attachments", json!([]));
    cluster.at(index, call, "GC").ok();
}

/// All properties of a tunnel that can change.
fn tunnel(cluster: &Cluster, name: &str) -> String {
    cluster.hosts[0].sh(&format!(
        "ip -o link show {name} | sed 's/ qdisc [a-z]*//'; ip -4 -o addr show {name}
         ip -4 route show table all dev {name}; cat /proc/sys/net/ipv4/conf/{name}/rp_filter"
    ))
}

#[test]
fn gc_gives_tunl0_back_as_it_was() {
    let cluster = Cluster::new(Between::Switch, Use::Alone).with(json!({ "mode": "crossSubnet" }));
    let one = &cluster.hosts[0];
    one.sh("ip link set eth0 mtu 1400");
    // `rp_filter` for all links, for new ones, and of tunl0; and the value that the network sets
    // for tunl0.
    for (all, new, own, during) in [
        (0, 0, 1, "2"),
        (1, 1, 1, "2"),
        (1, 0, 0, "2"),
        (0, 0, 0, "0"),
        (2, 0, 2, "2"),
        (0, 2, 2, "2"),
    ] {
        one.sh(&format!(
            "cd /proc/sys/net/ipv4/conf; echo {all} >all/rp_filter; echo {new} >default/rp_filter
             echo {own} >tunl0/rp_filter"
        ));
        let before = tunnel(&cluster, "tunl0");
        assert!(before.contains(" mtu 1480 ") && before.contains("state DOWN"), "{before}");
        cluster.join(0);
        let at_work = tunnel(&cluster, "tunl0");
        assert!(at_work.contains(" mtu 1380 ") && at_work.contains("state UNKNOWN"), "{at_work}");
        assert_eq!(at_work.lines().last(), Some(during), "{all} {new} {own}");
        gc(&cluster, 0);
        assert_eq!(before, tunnel(&cluster, "tunl0"), "{all} {new} {own}");
    }
}

#[test]
fn gc_keeps_tunl0_if_other_programs_use_it() {
    let cluster = Cluster::joined(Between::Switch, Use::Alone);
    let [one, two] = &cluster.hosts;
    // The objects of another program on tunl0; those that are listed afterwards; whether the
    // address must stay, because the kernel would delete the program's route with the last address.
    for (theirs, shown, stays) in [
        ("addr add 10.200.0.1/32 dev tunl0", "10.200.0.1/32", false),
        ("route add 10.200.0.2 via 192.0.2.2 dev tunl0 onlink", "10.200.0.2 via 192.0.2.2", true),
        (
            "route add 10.200.0.3 nexthop via 192.0.2.2 dev tunl0 onlink nexthop via 192.0.2.9 \
             dev eth0",
            "10.200.0.3",
            true,
        ),
        ("link set tunl0 alias theirs", "alias theirs", false),
    ] {
        if !one.sh("ip route show 10.1.2.0/24").contains("tunl0") {
            cluster.at(0, cluster.ipip(0), "DEL").ok();
            cluster.join(0);
        }
        batch(one, theirs);
        gc(&cluster, 0);
        let left = tunnel(&cluster, "tunl0") + &one.sh("ip link show tunl0; ip route");
        let has = |text: &str| left.contains(text);
        assert!(has("state UNKNOWN") && has(shown), "{theirs}: {left}");
        assert!(!has("10.1.2.0/24") && !has("ferrocni"), "{theirs}: {left}");
        assert_eq!(has("inet 10.1.1.1"), stays, "{theirs}: {left}");
        assert!(has("group default"), "{theirs}: {left}");
        let undo = theirs.replace(" add ", " del ").replace("alias theirs", "alias ''");
        one.sh(&format!("ip {undo}"));
    }
    // The other program's packets pass before and after.
    cluster.at(0, cluster.ipip(0), "DEL").ok();
    cluster.join(0);
    for (host, own, other, via) in [(one, 1, 2, "192.0.2.2"), (two, 2, 1, "192.0.2.1")] {
        batch(
            host,
            &format!(
                "addr add 10.200.0.{own}/32 dev tunl0
                 route add 10.200.0.{other} via {via} dev tunl0 onlink src 10.200.0.{own}"
            ),
        );
    }
    assert!(one.ping("10.200.0.2") && cluster.pods[0].ping(PODS[1]), "before");
    gc(&cluster, 0);
    assert!(one.ping("10.200.0.2") && !one.ping(PODS[1]), "after");
}

#[test]
fn gc_deletes_no_tunnel_that_was_there_before() {
    let cluster = Cluster::new(Between::Switch, Use::Chained).with(json!({ "device": "theirs0" }));
    batch(&cluster.hosts[0], "link add theirs0 type ipip local 192.0.2.1");
    let before = tunnel(&cluster, "theirs0");
    cluster.join(0);
    cluster.join(1);
    assert!(cluster.pods[0].ping(PODS[1]));
    gc(&cluster, 0);
    assert_eq!(before, tunnel(&cluster, "theirs0"));
    // An ADD made the other node's tunnel.
    gc(&cluster, 1);
    cluster.hosts[1].sh("! ip link show theirs0 2>/dev/null");
}
