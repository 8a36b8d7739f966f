//! Services with rules as a cluster's components write them: nf_tables and IPVS in front of pods on
//! both nodes, and an address for outside clients.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use testbed::Pod;

use super::{Cluster, Member, bird, pod_address};

/// Services inside the cluster, one by nf_tables, the other by IPVS; and a public address for each.
const CLUSTER_IPS: [&str; 2] = ["10.96.0.10:80", "10.96.0.20:80"];
const LOAD_BALANCED: [&str; 2] = ["203.0.113.10:80", "203.0.113.10:81"];
/// The timeout of an answer, and the time to wait for an answer that must not come.
const PATIENCE: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_millis(1500);

/// The rules on each node. As kube-proxy does, they hide the client if the answer would not return
/// this way otherwise: a client that is not a pod, and a pod that reaches itself.
const RULES: &str = "
    table ip services {
        chain services {
            ip daddr { 10.96.0.10, 10.96.0.20, 203.0.113.10 } ip saddr != 10.244.0.0/16 meta mark set meta mark | 0x4000
            ip daddr . tcp dport { 10.96.0.10 . 80, 203.0.113.10 . 80 } dnat ip to numgen inc mod 2 map { 0 : 10.244.1.2 . 8080, 1 : 10.244.2.2 . 8080 }
        }
        chain prerouting { type nat hook prerouting priority dstnat; jump services; }
        chain output { type nat hook output priority -100; jump services; }
        chain postrouting {
            type nat hook postrouting priority srcnat
            meta mark & 0x4000 != 0 masquerade
            ip saddr . ip daddr { 10.244.1.2 . 10.244.1.2, 10.244.2.2 . 10.244.2.2 } masquerade
        }
    }
";
/// The same by IPVS, which handles only packets to an address of the node.
const SERVERS: &str = "
    -A -t 10.96.0.20:80 -s rr
    -a -t 10.96.0.20:80 -r 10.244.1.2:8080 -m
    -a -t 10.96.0.20:80 -r 10.244.2.2:8080 -m
    -A -t 203.0.113.10:81 -s rr
    -a -t 203.0.113.10:81 -r 10.244.1.2:8080 -m
    -a -t 203.0.113.10:81 -r 10.244.2.2:8080 -m
";

fn set_up(member: &Member) {
    let servers: Vec<&str> =
        SERVERS.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    member.host.sh(&format!(
        "ip link add ipvs0 type dummy; ip link set ipvs0 up
         ip addr add 10.96.0.20/32 dev ipvs0
         ip addr add 203.0.113.10/32 dev lb0
         nft -f - <<'END'\n{RULES}\nEND
         ipvsadm -R <<'END'\n{}\nEND
         echo 1 >/proc/sys/net/ipv4/vs/conntrack",
        servers.join("\n")
    ));
}

/// A pod that sends each client the pod's name and the client's address.
fn serve(pod: &Pod) {
    let name = pod.name().to_owned();
    let listener = pod.enter(|| TcpListener::bind("0.0.0.0:8080").unwrap());
    thread::spawn(move || {
        while let Ok((mut client, from)) = listener.accept() {
            let _gone = write!(client, "{name} {}", from.ip());
        }
    });
}

/// The pod that answers a client at an address, and the client address that it sees.
fn ask(client: &Pod, target: &str, patience: Duration) -> io::Result<(String, Ipv4Addr)> {
    let target: SocketAddr = target.parse().unwrap();
    let mut server = client.enter(|| TcpStream::connect_timeout(&target, patience))?;
    server.set_read_timeout(Some(patience))?;
    let mut answer = String::new();
    server.read_to_string(&mut answer)?;
    let (name, from) = answer.split_once(' ').ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok((name.to_owned(), from.parse().unwrap()))
}

/// Two consecutive requests go to different pods: both must answer. Returns the client addresses
/// that they see.
#[track_caller]
fn both_answer(client: &Pod, target: &str) -> Vec<(String, Ipv4Addr)> {
    let mut answers: Vec<(String, Ipv4Addr)> = (0..2)
        .map(|_| {
            ask(client, target, PATIENCE)
                .unwrap_or_else(|why| panic!("{} to {target}: {why}", client.name()))
        })
        .collect();
    answers.sort();
    let names: BTreeSet<&str> = answers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["a1", "a2"]), "{} to {target}", client.name());
    answers
}

/// Every kind of client reaches every kind of service, and sees both pods behind it.
pub(super) fn are_reached(cluster: &Cluster) {
    for member in &cluster.members {
        set_up(member);
        serve(&member.pods[0]);
    }
    bird::wait_for_route(&cluster.router, Ipv4Addr::new(203, 0, 113, 10), true);
    for on in ["1", "0"] {
        for member in &cluster.members {
            member
                .host
                .enter(|| fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", on))
                .unwrap();
        }
        from_outside(cluster);
        are_reached_by(cluster.host(1));
        from_the_pod_itself(cluster);
        from_another_pod(cluster, on == "1");
    }
    nothing_else_passes(cluster);
}

/// A pod reaches every service, and both pods behind it.
pub(super) fn are_reached_by(client: &Pod) {
    for target in CLUSTER_IPS.iter().chain(&LOAD_BALANCED) {
        both_answer(client, target);
    }
}

/// Outside clients reach the load balancer's address, through any node, and nothing else.
fn from_outside(cluster: &Cluster) {
    for target in LOAD_BALANCED {
        both_answer(&cluster.router, target);
    }
}

/// A pod behind the service reaches the service, and sometimes itself.
fn from_the_pod_itself(cluster: &Cluster) {
    for target in CLUSTER_IPS.iter().chain(&LOAD_BALANCED) {
        let answers = both_answer(cluster.pod(1, 0), target);
        let expected = [("a1", Ipv4Addr::new(10, 244, 1, 1)), ("a2", pod_address(1, 0))];
        for ((name, from), (expected, address)) in answers.iter().zip(expected) {
            assert_eq!((name.as_str(), *from), (expected, address), "{target}");
        }
    }
}

/// Pods are known by their own addresses. An answer from the same bridge passes the node only with
/// br_netfilter, so without it the client gets an answer from an unexpected address.
fn from_another_pod(cluster: &Cluster, bridged_packets_pass_the_node: bool) {
    let client = cluster.pod(1, 1);
    for target in CLUSTER_IPS {
        if bridged_packets_pass_the_node {
            for (_, from) in both_answer(client, target) {
                assert_eq!(from, pod_address(1, 1), "{target}");
            }
        } else {
            let mut answers: Vec<Option<String>> =
                (0..2).map(|_| ask(client, target, SILENCE).ok().map(|(name, _)| name)).collect();
            answers.sort();
            assert_eq!(answers, [None, Some("a2".to_owned())], "{target}");
        }
    }
}

/// Access without a rule: pods and services from outside, and other ports.
fn nothing_else_passes(cluster: &Cluster) {
    let pod = format!("{}:8080", pod_address(1, 0));
    for (client, target) in [
        (&cluster.router, pod.as_str()),
        (&cluster.router, CLUSTER_IPS[0]),
        (&cluster.router, "203.0.113.10:82"),
        (cluster.pod(1, 1), "10.96.0.20:81"),
    ] {
        assert!(ask(client, target, SILENCE).is_err(), "{} to {target}", client.name());
    }
}
