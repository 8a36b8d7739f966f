//! What listens at 127.0.0.1 is for the host alone.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use serde_json::{Value, json};
use testbed::Pod;

use crate::bench::{Bench, broken, set};
use crate::profile::Reach;
use crate::requirement::{Judge, Level, Of, Requirement, Stop, Verdict, Versions, ensure, failed};

use super::servers::{BRIEFLY, NOBODY, PATIENCE, datagrams, serve_tcp, who_at};
use super::sites::{PUBLISH, answers, mapping, neighbour, publishes, publishing};

/// After ADD of a plugin that makes an interface.
pub(super) const INTERFACES: Requirement = Requirement {
    id: "CVE-2020-8558",
    source: "CVE-2020-8558; kubernetes/kubernetes, issues 92315 and 90259",
    says: "After ADD, neither the container nor a neighbour reaches what listens at the host's 127.0.0.1",
    level: Level::Must,
    of: Of::Interfaces,
    versions: Versions::Newest,
    test: after_add,
};

/// After ports were published, which needs the kernel to route 127.0.0.1 towards the container.
pub(super) const PUBLISHED: Requirement = Requirement {
    id: "plugins-729",
    source: "containernetworking/plugins, issue 729; CVE-2020-8558",
    says: "A published port works at the host's 127.0.0.1, and the container still reaches nothing that listens there",
    level: Level::Must,
    of: Of::That(publishes, PUBLISH),
    versions: Versions::Newest,
    test: after_publishing,
};

/// A port published on 127.0.0.1 only.
pub(super) const PUBLISHED_LOCALLY: Requirement = Requirement {
    id: "moby-45610",
    source: "moby/moby, issues 45610 and 41872",
    says: "A port published on 127.0.0.1 is reached from the host, and not by a neighbour",
    level: Level::Must,
    of: Of::That(publishes, PUBLISH),
    versions: Versions::Newest,
    test: locally,
};

/// A port that something of the host's listens at.
const TRAP: u16 = 7070;

fn after_add(bench: &Bench) -> Verdict {
    let near = neighbour(bench, 1);
    let trap = datagrams(&bench.host, "127.0.0.1", TRAP);
    let [host, _] = near.host;
    send_loopback_to(&near.pod, host, "eth0");
    bench.host.sh("sysctl -qw net.ipv4.conf.all.route_localnet=1");
    if !reaches(&near.pod, &trap, PATIENCE) {
        broken(
            "a neighbour could not reach 127.0.0.1 where it should: the test would find nothing",
        );
    }
    bench.host.sh("sysctl -qw net.ipv4.conf.all.route_localnet=0");
    if reaches(&near.pod, &trap, BRIEFLY) {
        broken("a neighbour reached 127.0.0.1 before anything was done");
    }
    let (container, result) = bench.added("a")?;
    is_out_of_reach(&near.pod, &trap)?;
    let gateways = result.get("ips").and_then(Value::as_array).into_iter().flatten();
    let mut gateways =
        gateways.filter_map(|ip| ip.get("gateway").and_then(Value::as_str)?.parse().ok());
    match gateways.find(IpAddr::is_ipv4) {
        Some(gateway) if bench.profile.reaches.contains(&Reach::Host) => {
            send_loopback_to(&container.pod, gateway, "eth0");
            is_out_of_reach(&container.pod, &trap)
        }
        _ => Ok(()),
    }
}

fn after_publishing(bench: &Bench) -> Verdict {
    let trap = datagrams(&bench.host, "127.0.0.1", TRAP);
    let container = bench.container("a");
    serve_tcp(&container.pod, 80, "container");
    publishing(bench, &container, &[mapping(8080, 80, "tcp")]).add().succeeds()?;
    answers(&bench.host, IpAddr::from([127, 0, 0, 1]), 8080, "container")?;
    let gateway = container.prev.as_ref().and_then(|prev| prev.pointer("/ips/0/gateway"));
    let gateway = gateway.and_then(Value::as_str).and_then(|gateway| gateway.parse().ok());
    let gateway = gateway.ok_or_else(|| {
        Stop::Untestable("it is not known over which gateway the container reaches the host".into())
    })?;
    send_loopback_to(&container.pod, gateway, "eth0");
    is_out_of_reach(&container.pod, &trap)
}

fn locally(bench: &Bench) -> Verdict {
    let near = neighbour(bench, 1);
    let loopback = IpAddr::from([127, 0, 0, 1]);
    let container = bench.container("a");
    serve_tcp(&container.pod, 80, "container");
    let mut port = mapping(8080, 80, "tcp");
    set(&mut port, "hostIP", json!(loopback));
    publishing(bench, &container, &[port]).add().succeeds()?;
    answers(&bench.host, loopback, 8080, "container")?;
    let [host, _] = near.host;
    let seen = who_at(&near.pod, host, 8080, BRIEFLY);
    let done =
        format!("a neighbour connected to {host}, port 8080, which is published on 127.0.0.1");
    ensure(seen == NOBODY, done, "no answer", format!("the {seen} answered"))?;
    send_loopback_to(&near.pod, host, "eth0");
    let mut seen = String::new();
    let count = container.pod.count("eth0", "tcp dport 80", || {
        seen = who_at(&near.pod, loopback, 8080, BRIEFLY);
    });
    ensure(
        seen == NOBODY && count == 0,
        "a neighbour sent packets for 127.0.0.1, port 8080, to the host, where that port is published on 127.0.0.1",
        "the host drops them",
        format!("{count} packets got to the container; {seen} answered"),
    )
}

/// Lets a machine send what is for 127.0.0.1 to `gateway`: what anybody can do who is root of a machine.
fn send_loopback_to(sender: &Pod, gateway: IpAddr, link: &str) {
    sender.sh(&format!(
        "ip route flush table local dev lo
         sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.{link}.route_localnet=1
         ip route replace 127.0.0.1/32 via {gateway} dev {link}"
    ));
}

/// Whether a datagram to 127.0.0.1 gets to the host's socket. It needs no answer to do harm.
fn reaches(sender: &Pod, trap: &UdpSocket, patience: Duration) -> bool {
    let socket = datagrams(sender, "0.0.0.0", 0);
    let _ = socket.send_to(b"in", ("127.0.0.1", TRAP));
    let _ = trap.set_read_timeout(Some(patience));
    trap.recv_from(&mut [0; 16]).is_ok()
}

fn is_out_of_reach(sender: &Pod, trap: &UdpSocket) -> Verdict {
    match reaches(sender, trap, BRIEFLY) {
        false => Ok(()),
        true => Err(failed(
            format!("{} sent a datagram for 127.0.0.1, port {TRAP}, to the host", sender.name()),
            "the host drops it",
            "what listens there on the host got it",
        )),
    }
}
