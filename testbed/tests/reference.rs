//! Tests of the testbed itself, with the reference suite as the plugins under test.

use serde_json::{Value, json};
use testbed::{Cni, Node, Pod, View, assert_same, diff, normalise, reference};

/// IPv4 and IPv6, masquerade, a default route for each.
fn conf() -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "net",
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": true,
        "ipMasq": true,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": "10.9.0.0/24"}], [{"subnet": "fd00:9::/64"}]],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]
        }
    })
}

fn join(node: &Node, container: &str, pod: &Pod) -> Cni {
    node.plugin("bridge").suite(reference()).conf(conf()).container(container).netns(pod)
}

#[test]
fn two_pods_reach_each_other_and_beyond_the_node() {
    let node = Node::new();
    let outside = node.outside();
    let (a, b) = (node.pod("a"), node.pod("b"));
    join(&node, "c1", &a).add().ok();
    let result = join(&node, "c2", &b).add().ok();
    assert_eq!(result["ips"][0]["address"], "10.9.0.3/24");

    assert!(a.ping("10.9.0.3"), "{}", node.state());
    assert!(a.ping("fd00:9::3/64"), "{}", node.state());
    assert!(a.ping(outside.v4), "masqueraded: {}", node.state());
    assert!(!outside.ping("10.9.0.2"), "the outside has no route to the pods");
    assert!(!a.ping("10.9.0.77"), "nobody has that address");
}

#[test]
fn tcp_reports_the_source_and_the_amount() {
    let node = Node::new();
    let outside = node.outside();
    let (a, b) = (node.pod("a"), node.pod("b"));
    join(&node, "c1", &a).add().ok();
    join(&node, "c2", &b).add().ok();

    let inside = a.tcp(&b, [10, 9, 0, 3].into(), 3_000_000).unwrap();
    assert_eq!((inside.from.ip().to_string().as_str(), inside.received), ("10.9.0.2", 3_000_000));
    let beyond = a.tcp(&outside, [192, 0, 2, 2].into(), 1).unwrap();
    assert_eq!(beyond.from.ip().to_string(), "192.0.2.1", "masqueraded as the node");
    node.sh("ip link set uplink down");
    assert!(a.tcp(&outside, [192, 0, 2, 2].into(), 1).is_err());
}

#[test]
fn packets_are_counted_where_they_arrive() {
    let node = Node::new();
    let (a, b) = (node.pod("a"), node.pod("b"));
    join(&node, "c1", &a).add().ok();
    join(&node, "c2", &b).add().ok();

    let ping = || assert!(a.ping("10.9.0.3"));
    assert_eq!(b.count("eth0", "ip saddr 10.9.0.2 icmp type echo-request", ping), 1);
    assert_eq!(b.count("eth0", "ip saddr 10.9.0.2", || ()), 0);
}

#[test]
fn del_leaves_only_shared_objects() {
    let node = Node::new();
    let pod = node.pod("a");
    let before = node.state();
    let call = join(&node, "c1", &pod);
    let result = call.add().ok();
    let during = node.state();
    assert!(during.contains("addr 10.9.0.2/24 dev eth0 brd 10.9.0.255 scope global\n"), "{during}");
    call.prev(&result).del().ok();

    // The bridge and its addresses belong to the network, and host-local stores the last address.
    node.sh("ip link del cni0; rm -r /var/lib/cni/networks");
    node.sh("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0");
    // The reference leaves empty base chains of iptables behind.
    node.sh("nft delete table ip nat; nft delete table ip6 nat");
    assert_same!(before, node.state(), "after DEL");
}

#[test]
fn the_state_shows_each_thing_changed_by_hand() {
    let node = Node::new();
    let pod = node.pod("a");
    join(&node, "c1", &pod).add().ok();
    let before = node.state();
    pod.sh("ip addr add 10.9.0.99/24 dev eth0
        ip route add 10.77.0.0/16 via 10.9.0.1 mtu 1400
        ip route add blackhole 10.78.0.0/16 table 100
        ip -6 rule add from fd00:9::/64 table 100
        ip link set eth0 mtu 1400
        ip neigh add 10.9.0.5 lladdr 02:00:00:00:00:05 dev eth0 nud permanent
        nft add table inet mine
        nft add set inet mine s '{ type ipv4_addr; }'
        nft add element inet mine s '{ 10.0.0.2, 10.0.0.1 }'");
    node.sh("ip link set cni0 promisc on
        veth=$(ip -j link show master cni0 | grep -o 'veth[0-9a-f]*' | head -1)
        bridge link set dev $veth hairpin on
        bridge link set dev $veth isolated on
        ip link set $veth alias 'somebody'
        sysctl -qw net.ipv4.conf.$veth.route_localnet=1
        echo hello > /run/left-behind");
    let changes = normalise(&diff(&before, &node.state()));
    let added: Vec<&str> = changes.lines().filter(|line| !line.starts_with('-')).collect();
    let mac = |line: &str| line.contains("<mac1>") || line.contains("<mac2>");
    assert!(added.iter().any(|line| mac(line)), "{changes}");
    for expected in [
        "+ addr 10.9.0.99/24 dev eth0 scope global secondary",
        "+ route 10.77.0.0/16 dev eth0 gateway 10.9.0.1 metrics {mtu 1400}",
        "+ route blackhole 10.78.0.0/16 table 100",
        "+ -6 rule 32765 src fd00:9:: srclen 64 table 100",
        "+ neigh 10.9.0.5 dev eth0 lladdr <mac",
        "+ table inet mine {",
        "+ \t\telement 10.0.0.1",
        "+ \t\telement 10.0.0.2",
        "+ link cni0 bridge up mtu 1500 mac <mac1> promisc",
        "alias \"somebody\" hairpin isolated",
        "+ sysctl net/ipv4/conf/<veth1>/route_localnet = 1",
        "+ file 0644 /run/left-behind \"hello\\n\"",
        "+ link eth0 veth up mtu 1400 mac <mac",
    ] {
        assert!(added.iter().any(|line| line.contains(expected)), "no {expected}\n{changes}");
    }
}

#[test]
fn link_local_addresses_and_learnt_neighbours_are_an_option() {
    let node = Node::new();
    let (a, b) = (node.pod("a"), node.pod("b"));
    join(&node, "c1", &a).add().ok();
    join(&node, "c2", &b).add().ok();
    assert!(a.ping("10.9.0.3"));
    assert!(!node.state().contains("fe80:"));
    let view = View { link_local: true, learnt: true, ..View::default() };
    let all = normalise(&node.state_as(view));
    assert!(all.contains("addr <linklocal"), "{all}");
    assert!(all.contains("neigh 10.9.0.3 dev eth0 lladdr <mac"), "{all}");
}

#[test]
fn errors_have_a_code_a_message_and_details() {
    let node = Node::new();
    let pod = node.pod("a");
    let (code, msg, details) = join(&node, "c1", &pod).unset("CNI_IFNAME").add().err();
    assert_eq!((code, details.as_str()), (4, ""), "{msg}");
    assert!(msg.contains("CNI_IFNAME"), "{msg}");
    let (code, ..) = join(&node, "c1", &pod).stdin("{").add().err();
    assert_eq!(code, 6);
}

#[test]
fn a_namespace_deleted_is_gone_with_its_links() {
    let node = Node::new();
    let pod = node.pod("a");
    node.sh("ip link add wire type veth peer name eth0 netns /run/netns/a");
    node.delete(&pod);
    assert!(!pod.path().exists());
    assert!(!node.state().contains("== a"), "{}", node.state());
}

#[test]
#[should_panic(expected = "in a: false: exit status: 1")]
fn a_failed_command_is_a_panic_with_its_output() {
    let node = Node::new();
    node.pod("a").run(&["false"]);
}

#[test]
#[should_panic(expected = "expected exit status 1")]
fn success_where_an_error_was_expected_is_a_panic() {
    let node = Node::new();
    node.plugin("bridge").suite(reference()).conf(r#"{"cniVersion": "1.0.0"}"#).version().err();
}
