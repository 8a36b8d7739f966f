//! The effect of masquerade and spoof check on packets, in both families, including what must not
//! pass.
#![cfg(test)]

mod net;

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use kernel::Mac;
use kernel::nft::{Job, Nft};
use net::Net;

const TAG: &str = "ferrocni:dbnet/c1/eth0";

/// A node between two pods of one subnet, each with its own veth pair, and an outside host that
/// knows only the node.
struct World {
    node: Net,
    outside: Net,
    pod: Net,
    neighbour: Net,
}

fn world() -> World {
    let (node, outside, pod, neighbour) = (Net::new(), Net::new(), Net::new(), Net::new());
    for (net, wire, v4, v6) in
        [(&pod, "pod", "10.1.2.5", "fd00::5"), (&neighbour, "near", "10.1.2.6", "fd00::6")]
    {
        node.run(&format!(
            "ip link add {wire} type veth peer name eth0 netns {}
             ip addr add 10.1.2.1/32 dev {wire}
             ip addr add fd00::1/128 dev {wire} nodad
             ip link set {wire} up
             ip route add {v4} dev {wire}
             ip route add {v6} dev {wire}",
            net.tid
        ));
        net.run(&format!(
            "ip link set eth0 up
             ip addr add {v4}/32 dev eth0
             ip addr add {v6}/128 dev eth0 nodad
             ip route add 10.1.2.1 dev eth0
             ip route add fd00::1 dev eth0
             ip route add default via 10.1.2.1
             ip route add default via fd00::1"
        ));
    }
    node.run(&format!(
        "ip link add uplink type veth peer name eth0 netns {}
         ip addr add 192.0.2.2/24 dev uplink
         ip addr add 2001:db8::2/64 dev uplink nodad
         ip link set uplink up
         sysctl -qw net.ipv4.ip_forward=1
         sysctl -qw net.ipv6.conf.all.forwarding=1",
        outside.tid
    ));
    outside.run(
        "ip addr add 192.0.2.1/24 dev eth0
         ip addr add 2001:db8::1/64 dev eth0 nodad
         ip link set eth0 up",
    );
    World { node, outside, pod, neighbour }
}

fn masquerade(net: &Net, address: &'static str, prefix: u8) {
    net.enter(move || {
        let address: IpAddr = address.parse().unwrap();
        let subnet = IpNetwork::new(address, prefix).unwrap();
        let job = Job::masquerade(TAG, address, subnet).unwrap();
        Nft::open().unwrap().declare(&job).unwrap()
    });
}

/// Makes `net` send to `address`, whether or not it answers.
fn send(net: &Net, from: &str, address: &str) {
    let _answered = net.feed(&format!("ping -c 1 -W 1 -I {from} {address}"), "");
}

#[test]
fn only_masqueraded_pods_reach_beyond_the_node() {
    let World { node, outside, pod, neighbour } = world();
    // No outside host has a route back to a pod.
    assert!(pod.misses("192.0.2.1"));
    assert!(pod.misses("2001:db8::1"));
    masquerade(&node, "10.1.2.5", 24);
    masquerade(&node, "fd00::5", 64);
    assert!(pod.reaches("192.0.2.1"));
    assert!(pod.reaches("2001:db8::1"));
    assert!(neighbour.misses("192.0.2.1"), "the neighbour was not masqueraded");
    assert!(neighbour.misses("2001:db8::1"), "the neighbour was not masqueraded");
    outside.count("ip saddr 192.0.2.2");
    assert!(pod.reaches("192.0.2.1"));
    assert_eq!(outside.counted(), 1);
    outside.count("ip6 saddr 2001:db8::2 icmpv6 type echo-request");
    assert!(pod.reaches("2001:db8::1"));
    assert_eq!(outside.counted(), 1);
    node.enter(|| Nft::open().unwrap().unmasquerade(TAG, None).unwrap());
    assert!(pod.misses("192.0.2.1"));
    assert!(pod.misses("2001:db8::1"));
}

#[test]
fn inside_the_subnet_a_pod_keeps_its_address() {
    let World { node, pod, neighbour, .. } = world();
    assert!(pod.reaches("10.1.2.6") && pod.reaches("fd00::6"));
    masquerade(&node, "10.1.2.5", 24);
    masquerade(&node, "fd00::5", 64);
    neighbour.count("ip saddr 10.1.2.5");
    assert!(pod.reaches("10.1.2.6"));
    assert_eq!(neighbour.counted(), 1);
    neighbour.count("ip6 saddr fd00::5 icmpv6 type echo-request");
    assert!(pod.reaches("fd00::6"));
    assert_eq!(neighbour.counted(), 1);
    // With a smaller subnet, the neighbour is outside: now it must not see the pod's address.
    masquerade(&node, "10.1.2.5", 32);
    masquerade(&node, "fd00::5", 128);
    neighbour.count("ip saddr 10.1.2.5");
    assert!(pod.reaches("10.1.2.6"));
    assert_eq!(neighbour.counted(), 0);
    neighbour.count("ip6 saddr fd00::5 icmpv6 type echo-request");
    assert!(pod.reaches("fd00::6"));
    assert_eq!(neighbour.counted(), 0);
}

#[test]
fn multicast_keeps_its_source() {
    let World { node, outside, .. } = world();
    assert!(node.reaches("192.0.2.1") && node.reaches("2001:db8::1"));
    node.run(
        "ip route add 224.0.0.0/4 dev uplink
         ip addr add 10.1.2.9/32 dev uplink
         ip addr add fd00::9/128 dev uplink nodad",
    );
    masquerade(&node, "10.1.2.9", 32);
    masquerade(&node, "fd00::9", 128);
    outside.count("ip saddr 10.1.2.9 ip daddr 224.0.0.1");
    send(&node, "10.1.2.9", "224.0.0.1");
    assert_eq!(outside.counted(), 1);
    outside.count("ip6 saddr fd00::9 ip6 daddr ff02::1");
    send(&node, "fd00::9", "ff02::1%uplink");
    assert_eq!(outside.counted(), 1);
    // Packets of the same sender to one receiver are masqueraded.
    outside.count("ip saddr 192.0.2.2");
    send(&node, "10.1.2.9", "192.0.2.1");
    assert_eq!(outside.counted(), 1);
    outside.count("ip6 saddr 2001:db8::2 icmpv6 type echo-request");
    send(&node, "fd00::9", "2001:db8::1");
    assert_eq!(outside.counted(), 1);
}

/// Two pods on a bridge.
fn bridged() -> (Net, Net, Net) {
    let (node, pod, neighbour) = (Net::new(), Net::new(), Net::new());
    node.run("ip link add br0 type bridge\nip link set br0 up");
    for (net, wire, last) in [(&pod, "veth1", 5), (&neighbour, "veth2", 6)] {
        node.run(&format!(
            "ip link add {wire} type veth peer name eth0 netns {}
             ip link set {wire} master br0
             ip link set {wire} up",
            net.tid
        ));
        net.run(&format!(
            "ip link set eth0 address 02:00:00:00:00:0{last}
             ip link set eth0 up
             ip addr add 10.1.2.{last}/24 dev eth0
             ip addr add fd00::{last}/64 dev eth0 nodad"
        ));
    }
    (node, pod, neighbour)
}

/// Changes the pod's MAC address, and makes its neighbour forget the former one.
fn change_mac(pod: &Net, neighbour: &Net, mac: &str) {
    pod.run(&format!("ip link set eth0 address {mac}"));
    neighbour.run("ip neigh flush dev eth0");
}

#[test]
fn a_guarded_port_sends_only_as_itself() {
    let (node, pod, neighbour) = bridged();
    assert!(pod.reaches("10.1.2.6") && pod.reaches("fd00::6"));
    change_mac(&pod, &neighbour, "02:00:00:00:00:99");
    assert!(pod.reaches("10.1.2.6"), "nothing is guarded yet");
    node.enter(|| {
        let job = Job::guard(TAG, "veth1", Mac([2, 0, 0, 0, 0, 5])).unwrap();
        Nft::open().unwrap().declare(&job).unwrap()
    });
    neighbour.count("ether saddr 02:00:00:00:00:99");
    neighbour.run("ip neigh flush dev eth0");
    assert!(pod.misses("10.1.2.6"));
    assert!(pod.misses("fd00::6"));
    assert_eq!(neighbour.counted(), 0, "no spoofed frame passes");
    change_mac(&pod, &neighbour, "02:00:00:00:00:05");
    assert!(pod.reaches("10.1.2.6"));
    assert!(pod.reaches("fd00::6"));
    // The other port is not guarded: it may send with any address.
    neighbour.run("ip link set eth0 address 02:00:00:00:00:77");
    pod.run("ip neigh flush dev eth0");
    assert!(pod.reaches("10.1.2.6"));
    change_mac(&pod, &neighbour, "02:00:00:00:00:98");
    assert!(pod.misses("10.1.2.6"));
    node.enter(|| Nft::open().unwrap().unguard(TAG, "veth1").unwrap());
    neighbour.run("ip neigh flush dev eth0");
    assert!(pod.reaches("10.1.2.6"));
    assert!(pod.reaches("fd00::6"));
}
