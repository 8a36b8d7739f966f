//! Routes that nodes learn from each other by BGP, with the settings that the documentation shows.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use testbed::Pod;

use super::{Cluster, node_address, pod_address};
use crate::ipip::sources::send;

/// The template for nodes.
const TEMPLATE: &str = include_str!("../../../../docs/examples/bird-ipip.conf");
/// The router does not route to pods: it announces the nodes to each other, and learns the
/// load-balancer addresses.
const REFLECTOR: &str = "
    router id 172.18.0.1;
    log stderr all;
    protocol device { }
    template bgp node {
        local as 64512;
        direct;
        passive;
        rr client;
        ipv4 { gateway direct; import all; export all; };
    }
    protocol bgp node1 from node { neighbor 172.18.1.10 as 64512; }
    protocol bgp node2 from node { neighbor 172.18.2.10 as 64512; }
    protocol kernel { merge paths on; ipv4 { import none; export where net ~ 203.0.113.0/24; }; }
";
/// Longer than BGP convergence takes here.
const PATIENCE: Duration = Duration::from_secs(20);

/// A BIRD that runs until it is dropped.
pub(super) struct Bird {
    child: Child,
    log: String,
}

impl Bird {
    /// The router's and each node's.
    pub(super) fn start(cluster: &Cluster) -> Vec<Bird> {
        let mut birds = vec![Bird::of(&cluster.router, REFLECTOR)];
        for member in &cluster.members {
            let number = member.number;
            let mut settings = TEMPLATE.to_owned();
            for (name, value) in [
                ("NODE", node_address(number).to_string()),
                ("PODS", format!("10.244.{number}.0/24")),
                ("REFLECTOR", format!("172.18.{number}.1")),
            ] {
                settings = define(&settings, name, &value);
            }
            birds.push(Bird::of(&member.host, &settings));
        }
        birds
    }

    fn of(host: &Pod, settings: &str) -> Bird {
        let at = format!("/run/bird-{}", host.name());
        let (file, log) = (format!("{at}.conf"), format!("{at}.log"));
        fs::write(&file, settings).unwrap();
        let mut command = host.command("bird");
        command.args(["-f", "-c", &file, "-s", &format!("{at}.socket")]);
        command.stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        Bird { child: command.spawn().expect("bird: apt-get install bird2"), log }
    }
}

impl Drop for Bird {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        if std::thread::panicking() {
            println!("{}:\n{}", self.log, fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// The settings with another value in a line `define NAME = VALUE;`.
fn define(settings: &str, name: &str, value: &str) -> String {
    let start = format!("define {name} = ");
    assert_eq!(settings.matches(&start).count(), 1, "{start} in the template");
    let lines = settings.lines().map(|line| match line.starts_with(&start) {
        true => format!("{start}{value};\n"),
        false => format!("{line}\n"),
    });
    lines.collect()
}

/// Waits until the host has, or no longer has, a route to the network `to`.
pub(super) fn wait_for_route(host: &Pod, to: Ipv4Addr, there: bool) {
    // In that file addresses are numbers in the host's byte order.
    let to = format!("{:08X}", u32::from_ne_bytes(to.octets()));
    let started = Instant::now();
    let found = || {
        let routes = host.enter(|| fs::read_to_string("/proc/thread-self/net/route")).unwrap();
        routes.lines().any(|line| line.split_whitespace().nth(1) == Some(&to))
    };
    while found() != there {
        assert!(started.elapsed() < PATIENCE, "{}:\n{}", host.name(), host.sh("ip route"));
        sleep(Duration::from_millis(20));
    }
}

/// The packets that cross the router. Every packet between pods of different nodes is encapsulated.
const CROSSING: &str = "
    table netdev crossing {
        counter tunnel { }
        counter full { }
        counter pieces { }
        counter bare { }
        chain c {
            type filter hook ingress devices = { node1, node2 } priority -500
            ip saddr { 172.18.1.10, 172.18.2.10 } ip daddr { 172.18.1.10, 172.18.2.10 } ip protocol 4 counter name tunnel
            ip protocol 4 ip length 1500 counter name full
            ip frag-off & 0x3fff != 0 ip frag-off & 0x4000 == 0 counter name pieces
            ip saddr 10.244.0.0/16 counter name bare
            ip daddr 10.244.0.0/16 counter name bare
        }
    }
";

/// Pods of different nodes reach each other through the tunnel, with the addresses they have, and
/// only through it.
pub(super) fn pods_meet_in_the_tunnel(cluster: &Cluster) {
    for (number, other) in [(1, 2), (2, 1)] {
        let host = cluster.host(number);
        wait_for_route(host, Ipv4Addr::new(10, 244, other, 0), true);
        let route = host.run(&["ip", "route", "show", &format!("10.244.{other}.0/24")]);
        let expected = format!("via {} dev tunl0 proto bird", node_address(other));
        assert!(route.contains(&expected) && route.contains("onlink"), "{route}");
    }
    cluster.router.sh(&format!("nft -f - <<'END'\n{CROSSING}\nEND"));
    for (number, other) in [(1, 2), (2, 1)] {
        let (client, server) = (cluster.pod(number, 0), cluster.pod(other, 1));
        let (from, to) = (pod_address(number, 0), pod_address(other, 1));
        assert!(client.ping(to), "{} to {to}", client.name());
        let exchange = client.tcp(server, IpAddr::V4(to), 1 << 20).unwrap();
        assert_eq!(exchange.received, 1 << 20);
        assert_eq!(exchange.from.ip(), IpAddr::V4(from), "pods see each other's own address");
    }
    // The network between the nodes has no routes to pods.
    assert!(!cluster.router.ping(pod_address(1, 0)));
    let counted = cluster.router.run(&["nft", "list", "counters", "table", "netdev", "crossing"]);
    let packets = |name: &str| -> u64 {
        let after = counted.split(&format!("counter {name} {{")).nth(1).unwrap();
        after.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    // Each way 1 MB, in segments that fill a packet of 1500 bytes with both headers.
    assert!(packets("tunnel") > 1400 && packets("full") > 1400, "{counted}");
    assert_eq!((packets("pieces"), packets("bare")), (0, 0), "{counted}");
}

/// A host outside the nodes' networks cannot send packets to pods, whatever their source address.
pub(super) fn only_nodes_may_send(cluster: &Cluster) {
    let (stranger, node) = (&cluster.router, cluster.host(1));
    stranger.run(&["ip", "addr", "add", "198.51.100.66/32", "dev", "lo"]);
    let (to, target) = (node_address(1).to_string(), pod_address(1, 0).to_string());
    let other = pod_address(2, 0).to_string();
    let arrived = |from: &Pod, at: &str| {
        cluster
            .pod(1, 0)
            .count("eth0", "udp dport 9999", || send(from, at, &to, &[&other], &[&target]))
    };
    assert_eq!(arrived(stranger, "198.51.100.66"), 0, "from outside the nodes' networks");
    assert_eq!(arrived(cluster.host(2), ""), 1, "from a node that only BIRD knows");
    let counted = node.run(&["nft", "list", "chain", "inet", "ferrocni", "input"]);
    assert!(counted.contains("packets 1 "), "{counted}");
    stranger.run(&["ip", "addr", "del", "198.51.100.66/32", "dev", "lo"]);
}

/// When a node's BIRD ends, the other nodes withdraw the routes to its pods and its load-balancer
/// address.
pub(super) fn a_node_without_bird_is_gone(cluster: &Cluster, mut birds: Vec<Bird>) {
    drop(birds.pop());
    wait_for_route(cluster.host(1), Ipv4Addr::new(10, 244, 2, 0), false);
    assert!(!cluster.pod(1, 0).ping(pod_address(2, 0)));
    assert!(cluster.pod(1, 0).ping("10.244.1.1"), "its own node is still there");
}
