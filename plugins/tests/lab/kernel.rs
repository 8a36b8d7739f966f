//! The kinds of links and rules that the other tests here build on work on this kernel.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use testbed::{Node, Pod};

/// A wire between two pods, with `192.0.2.1` and `192.0.2.2` on it.
fn wired(node: &Node) -> (Pod, Pod) {
    let (a, b) = (node.pod("a"), node.pod("b"));
    a.sh("ip link add eth0 type veth peer name eth0 netns /run/netns/b");
    for (pod, address) in [(&a, "192.0.2.1/24"), (&b, "192.0.2.2/24")] {
        pod.sh(&format!("ip addr add {address} dev eth0; ip link set eth0 up; ip link set lo up"));
    }
    (a, b)
}

#[test]
fn tunnels_carry_packets() {
    let node = crate::node();
    let (a, b) = wired(&node);
    for (pod, local, remote, inner) in [
        (&a, "192.0.2.1", "192.0.2.2", "10.1.1.1/24"),
        (&b, "192.0.2.2", "192.0.2.1", "10.1.1.2/24"),
    ] {
        pod.sh(&format!(
            "ip link add tunnel type ipip local {local} remote {remote}
             ip addr add {inner} dev tunnel; ip link set tunnel up"
        ));
    }
    assert!(a.ping("10.1.1.2") && b.ping("10.1.1.1"));
    assert!(a.sh("ip link show tunl0").contains("ipip"), "the kernel's own tunnel is there");
}

#[test]
fn links_of_a_parent_carry_packets() {
    for (kind, add) in [
        ("vlan", "ip link add link eth0 name child type vlan id 5"),
        ("ipvlan", "ip link add link eth0 name child type ipvlan mode l2"),
        ("macvlan", "ip link add link eth0 name child type macvlan mode bridge"),
    ] {
        std::thread::spawn(move || {
            let node = crate::node();
            let (a, b) = wired(&node);
            for (pod, address) in [(&a, "10.1.1.1/24"), (&b, "10.1.1.2/24")] {
                pod.sh(&format!("{add}; ip addr add {address} dev child; ip link set child up"));
            }
            assert!(a.ping("10.1.1.2") && b.ping("10.1.1.1"), "{kind}");
        })
        .join()
        .unwrap();
    }
}

#[test]
fn a_vrf_has_routes_of_its_own() {
    let node = crate::node();
    let (a, _b) = wired(&node);
    a.sh("ip link add routes type vrf table 10; ip link set routes up; ip link set eth0 master routes");
    assert!(!a.ping("192.0.2.2"));
    assert!(a.try_run(&["ping", "-c1", "-W1", "-I", "routes", "192.0.2.2"]).status.success());
}

#[test]
fn dummy_links_hold_addresses() {
    let node = crate::node();
    let (a, b) = wired(&node);
    b.sh("ip link add service type dummy; ip addr add 203.0.113.1/32 dev service; ip link set service up");
    a.sh("ip route add 203.0.113.1 via 192.0.2.2");
    assert!(a.ping("203.0.113.1"));
}

#[test]
fn ipvs_leads_to_a_backend() {
    let node = crate::node();
    let (a, b) = wired(&node);
    a.sh("sysctl -qw net.ipv4.vs.conntrack=1
        ip addr add 203.0.113.1/32 dev lo
        ipvsadm --add-service --tcp-service 203.0.113.1:80 --scheduler rr
        ipvsadm --add-server --tcp-service 203.0.113.1:80 --real-server 192.0.2.2:80 --masquerading");
    b.sh("ip route add 203.0.113.1 via 192.0.2.1");
    let answer = b.enter(|| TcpListener::bind("192.0.2.2:80").unwrap());
    let served = std::thread::spawn(move || answer.accept().unwrap().1);
    let service = "203.0.113.1:80".parse().unwrap();
    let joined = a.enter(|| TcpStream::connect_timeout(&service, Duration::from_secs(5)));
    assert!(joined.is_ok(), "{joined:?}");
    assert_eq!(served.join().unwrap().ip().to_string(), "203.0.113.1");
}

#[test]
fn netem_loses_packets() {
    let node = crate::node();
    let (a, _b) = wired(&node);
    assert!(a.ping("192.0.2.2"));
    a.sh("tc qdisc add dev eth0 root netem loss 100%");
    assert!(!a.ping("192.0.2.2"));
}
