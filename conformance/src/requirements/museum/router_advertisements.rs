//! Router advertisements of a container. A host that accepts them sends the traffic of all its
//! containers to it.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, sendto, setsockopt,
    socket, sockopt,
};
use serde_json::Value;
use testbed::Pod;

use crate::fixture::{Container, Fixture};
use crate::isolation::broken;
use crate::json::set;
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::{TestResult, ensure};

use super::sites::ipv4_only;

/// The effect of a container's router advertisements on the host.
pub(super) const ADVERTISED: Requirement = Requirement {
    id: "CVE-2020-10749",
    source: "CVE-2020-10749 (GHSA-fx6x-h9g4-56f8); CVE-2020-13401 (Docker) and CVE-2020-13597 \
        (Calico) are the same",
    statement: "In an IPv4 network, a container's router advertisements must not set an address, \
        route, hop limit or MTU on the host",
    level: Level::Expected,
    applies_to: AppliesTo::Delegating,
    versions: Versions::Newest,
    test: advertised,
};

/// The link of the control on the host, which accepts router advertisements.
const CONTROL: &str = "control";
/// The time in which the control must accept them.
const PATIENCE: Duration = Duration::from_secs(3);

fn advertised(fixture: &Fixture) -> TestResult {
    // The settings of a host that is not an IPv6 router.
    fixture.host.sh("sysctl -qw net.ipv6.conf.default.accept_ra=1 net.ipv6.conf.all.forwarding=0");
    let control = fixture.host.pod("control");
    fixture.host.sh(&format!(
        "ip link add {CONTROL} index 2001 type veth peer name eth0 netns {}
         sysctl -qw net.ipv6.conf.{CONTROL}.accept_ra=2
         ip link set {CONTROL} up",
        control.path().display()
    ));
    control.sh("ip link set eth0 up");
    let mut not_the_plugins = links(fixture);
    let config = fixture.config();
    if let Some(master) = config.get("master").and_then(Value::as_str) {
        not_the_plugins.remove(master);
    }
    let container = added(fixture, config)?;
    let before = believed(fixture);
    prepare(&container.pod);
    prepare(&control);
    let deadline = Instant::now() + PATIENCE;
    // A new link may lose the first ones.
    let mut sent = 0;
    while sent < 2 || !believed(fixture).iter().any(|line| line.starts_with("control: route")) {
        sent += 1;
        advertise(&container.pod);
        advertise(&control);
        if Instant::now() > deadline {
            broken(
                "the control experiment failed: a link that accepts router advertisements ignored \
                 this one",
            );
        }
        thread::sleep(Duration::from_millis(20));
    }
    let news = believed(fixture).difference(&before).cloned().collect::<Vec<_>>();
    let news: Vec<_> = news
        .into_iter()
        .filter(|line| !not_the_plugins.iter().any(|link| line.starts_with(&format!("{link}:"))))
        .collect();
    ensure(
        news.is_empty(),
        "ADD in a network of IPv4 only, then a router advertisement from the container's eth0",
        "the host ignores it",
        news.join(", "),
    )
}

/// A container with only an IPv4 address.
fn added(fixture: &Fixture, mut config: Value) -> Result<Container, crate::verdict::NotPassed> {
    set(&mut config, "ipam", ipv4_only(fixture));
    let container = fixture.container("a");
    fixture.call(&container).with(|cni| cni.conf(&config)).attach()?;
    Ok(container)
}

fn links(fixture: &Fixture) -> BTreeSet<String> {
    fixture.host.enter(|| {
        let entries = fs::read_dir("/proc/sys/net/ipv6/conf").into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    })
}

/// The properties of the host's links that can come from router advertisements, one per line.
fn believed(fixture: &Fixture) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for line in fixture.host.run(&["ip", "-6", "-o", "addr", "show", "scope", "global"]).lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        if let [_, link, _, address, ..] = words.as_slice() {
            lines.insert(format!("{link}: address {address}"));
        }
    }
    for line in fixture.host.run(&["ip", "-6", "route", "show", "proto", "ra"]).lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let link = words.iter().skip_while(|word| **word != "dev").nth(1).unwrap_or(&"");
        lines.insert(format!("{link}: route {}", words.first().unwrap_or(&"")));
    }
    for link in links(fixture) {
        for key in ["hop_limit", "mtu"] {
            let path = format!("/proc/sys/net/ipv6/conf/{link}/{key}");
            let value = fixture.host.enter(|| fs::read_to_string(&path)).unwrap_or_default();
            lines.insert(format!("{link}: {key} {}", value.trim()));
        }
    }
    lines
}

/// A source address, without waiting for the kernel's own.
fn prepare(pod: &Pod) {
    pod.sh(
        "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0; ip addr add fe80::bad:1/64 dev eth0 nodad",
    );
}

/// Sends a router advertisement to all nodes on the link.
fn advertise(pod: &Pod) {
    let sent = pod.enter(|| {
        let raw = SockProtocol::IcmpV6;
        let socket = socket(AddressFamily::Inet6, SockType::Raw, SockFlag::empty(), raw)?;
        // The kernel accepts only packets that no router has forwarded.
        setsockopt(&socket, sockopt::Ipv6MulticastHops, &255)?;
        let link = if_nametoindex("eth0")?;
        let all = SocketAddrV6::new(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 0, 0, link);
        sendto(socket.as_raw_fd(), &message(), &SockaddrIn6::from(all), MsgFlags::empty())
    });
    sent.unwrap_or_else(|error| broken(&format!("send a router advertisement: {error}")));
}

/// RFC 4861, 4.2: a default router for half an hour, and a prefix for addresses. The kernel
/// computes the checksum.
fn message() -> Vec<u8> {
    let mut bytes = vec![134, 0, 0, 0, 13, 0];
    bytes.extend(1800_u16.to_be_bytes());
    // Reachable time and retransmission timer: unspecified.
    bytes.extend([0; 8]);
    // Prefix information: on-link, for address configuration, for an hour.
    bytes.extend([3, 4, 64, 0xc0]);
    bytes.extend(3600_u32.to_be_bytes());
    bytes.extend(3600_u32.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 0).octets());
    // The MTU.
    bytes.extend([5, 1, 0, 0]);
    bytes.extend(1280_u32.to_be_bytes());
    bytes
}
