//! Servers that listen on 127.0.0.1 must be reachable from the host only.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use serde_json::{Value, json};
use testbed::Pod;

use crate::fixture::Fixture;
use crate::isolation::broken;
use crate::json::set;
use crate::profile::Reach;
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::{NotPassed, TestResult, ensure, failed};

use super::servers::{BRIEFLY, NO_ANSWER, PATIENCE, datagrams, serve_tcp, who_at};
use super::sites::{PUBLISH, answers, mapping, neighbour, publishes, publishing};

/// After ADD of a plugin that creates an interface.
pub(super) const INTERFACES: Requirement = Requirement {
    id: "CVE-2020-8558",
    source: "CVE-2020-8558; kubernetes/kubernetes, issues 92315 and 90259",
    statement: "After ADD, the container and its neighbours must not reach a server on the host's \
        127.0.0.1",
    level: Level::Expected,
    applies_to: AppliesTo::Interfaces,
    versions: Versions::Newest,
    test: after_add,
};

/// After ports were published, which requires the kernel to route 127.0.0.1 to the container.
pub(super) const PUBLISHED: Requirement = Requirement {
    id: "plugins-729",
    source: "containernetworking/plugins, issue 729; CVE-2020-8558",
    statement: "A published port must work on the host's 127.0.0.1, and the container must still \
        not reach other servers there",
    level: Level::Expected,
    applies_to: AppliesTo::Where(publishes, PUBLISH),
    versions: Versions::Newest,
    test: after_publishing,
};

/// A port that is published on 127.0.0.1 only.
pub(super) const PUBLISHED_LOCALLY: Requirement = Requirement {
    id: "moby-45610",
    source: "moby/moby, issues 45610 and 41872",
    statement: "A port published on 127.0.0.1 must be reachable from the host, and not from a neighbour",
    level: Level::Expected,
    applies_to: AppliesTo::Where(publishes, PUBLISH),
    versions: Versions::Newest,
    test: locally,
};

/// A port on which a server of the host listens.
const TRAP: u16 = 7070;

fn after_add(fixture: &Fixture) -> TestResult {
    let near = neighbour(fixture, 1);
    let trap = datagrams(&fixture.host, "127.0.0.1", TRAP);
    let [host, _] = near.host;
    send_loopback_to(&near.pod, host, "eth0");
    fixture.host.sh("sysctl -qw net.ipv4.conf.all.route_localnet=1");
    if !reaches(&near.pod, &trap, PATIENCE) {
        broken(
            "the control experiment failed: a neighbour cannot reach 127.0.0.1 although the \
             settings allow it",
        );
    }
    fixture.host.sh("sysctl -qw net.ipv4.conf.all.route_localnet=0");
    if reaches(&near.pod, &trap, BRIEFLY) {
        broken("a neighbour reached 127.0.0.1 before the test changed anything");
    }
    let (container, result) = fixture.added("a")?;
    is_out_of_reach(&near.pod, &trap)?;
    let gateways = result.get("ips").and_then(Value::as_array).into_iter().flatten();
    let mut gateways =
        gateways.filter_map(|ip| ip.get("gateway").and_then(Value::as_str)?.parse().ok());
    match gateways.find(IpAddr::is_ipv4) {
        Some(gateway) if fixture.profile.reaches.contains(&Reach::Host) => {
            send_loopback_to(&container.pod, gateway, "eth0");
            is_out_of_reach(&container.pod, &trap)
        }
        _ => Ok(()),
    }
}

fn after_publishing(fixture: &Fixture) -> TestResult {
    let trap = datagrams(&fixture.host, "127.0.0.1", TRAP);
    let container = fixture.container("a");
    serve_tcp(&container.pod, 80, "container");
    publishing(fixture, &container, &[mapping(8080, 80, "tcp")]).attach()?;
    answers(&fixture.host, IpAddr::from([127, 0, 0, 1]), 8080, "container")?;
    let gateway = container.prev.as_ref().and_then(|prev| prev.pointer("/ips/0/gateway"));
    let gateway = gateway.and_then(Value::as_str).and_then(|gateway| gateway.parse().ok());
    let gateway = gateway.ok_or_else(|| {
        NotPassed::Untestable("the container's gateway on the host is unknown".into())
    })?;
    send_loopback_to(&container.pod, gateway, "eth0");
    is_out_of_reach(&container.pod, &trap)
}

fn locally(fixture: &Fixture) -> TestResult {
    let near = neighbour(fixture, 1);
    let loopback = IpAddr::from([127, 0, 0, 1]);
    let container = fixture.container("a");
    serve_tcp(&container.pod, 80, "container");
    let mut port = mapping(8080, 80, "tcp");
    set(&mut port, "hostIP", json!(loopback));
    publishing(fixture, &container, &[port]).attach()?;
    answers(&fixture.host, loopback, 8080, "container")?;
    let [host, _] = near.host;
    let seen = who_at(&near.pod, host, 8080, BRIEFLY);
    let done =
        format!("a neighbour connected to {host}, port 8080, which is published on 127.0.0.1");
    ensure(seen == NO_ANSWER, done, "no answer", format!("the {seen} answered"))?;
    send_loopback_to(&near.pod, host, "eth0");
    let mut seen = String::new();
    let count = container.pod.count("eth0", "tcp dport 80", || {
        seen = who_at(&near.pod, loopback, 8080, BRIEFLY);
    });
    ensure(
        seen == NO_ANSWER && count == 0,
        "a neighbour sent packets for 127.0.0.1, port 8080, to the host, where that port is \
         published on 127.0.0.1",
        "the host drops them",
        format!("{count} packets got to the container; {seen} answered"),
    )
}

/// Routes 127.0.0.1 on a machine to `gateway`, as anyone with root privileges on that machine can
/// do.
fn send_loopback_to(sender: &Pod, gateway: IpAddr, link: &str) {
    sender.sh(&format!(
        "ip route flush table local dev lo
         sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.{link}.route_localnet=1
         ip route replace 127.0.0.1/32 via {gateway} dev {link}"
    ));
}

/// Whether a datagram to 127.0.0.1 reaches the host's socket. An attack needs no answer.
fn reaches(sender: &Pod, trap: &UdpSocket, patience: Duration) -> bool {
    let socket = datagrams(sender, "0.0.0.0", 0);
    let _ = socket.send_to(b"in", ("127.0.0.1", TRAP));
    let _ = trap.set_read_timeout(Some(patience));
    trap.recv_from(&mut [0; 16]).is_ok()
}

fn is_out_of_reach(sender: &Pod, trap: &UdpSocket) -> TestResult {
    match reaches(sender, trap, BRIEFLY) {
        false => Ok(()),
        true => Err(failed(
            format!("{} sent a datagram for 127.0.0.1, port {TRAP}, to the host", sender.name()),
            "the host drops it",
            "the server on the host received it",
        )),
    }
}
