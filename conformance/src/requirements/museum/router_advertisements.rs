//! A container that says it is the router: the host believes it, and sends it the traffic of all its containers.

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

use crate::bench::{Bench, Container, broken, set};
use crate::requirement::{Judge, Level, Of, Requirement, Verdict, Versions, ensure};

use super::sites::ipv4_only;

/// What the host makes of a container's advertisements.
pub(super) const ADVERTISED: Requirement = Requirement {
    id: "CVE-2020-10749",
    source: "CVE-2020-10749 (GHSA-fx6x-h9g4-56f8); CVE-2020-13401 (Docker) and CVE-2020-13597 (Calico) are the same",
    says: "In an IPv4 network, a container's router advertisements give the host no address, route, hop limit or MTU",
    level: Level::Must,
    of: Of::Delegating,
    versions: Versions::Newest,
    test: advertised,
};

/// The link of the control, on the host: it believes what it is told.
const CONTROL: &str = "control";
/// How long the control may take to believe.
const PATIENCE: Duration = Duration::from_secs(3);

fn advertised(bench: &Bench) -> Verdict {
    // As a host is that somebody made no router for IPv6.
    bench.host.sh("sysctl -qw net.ipv6.conf.default.accept_ra=1 net.ipv6.conf.all.forwarding=0");
    let control = bench.host.pod("control");
    bench.host.sh(&format!(
        "ip link add {CONTROL} index 2001 type veth peer name eth0 netns {}
         sysctl -qw net.ipv6.conf.{CONTROL}.accept_ra=2
         ip link set {CONTROL} up",
        control.path().display()
    ));
    control.sh("ip link set eth0 up");
    let mut not_the_plugins = links(bench);
    let config = bench.config();
    if let Some(master) = config.get("master").and_then(Value::as_str) {
        not_the_plugins.remove(master);
    }
    let container = added(bench, config)?;
    let before = believed(bench);
    prepare(&container.pod);
    prepare(&control);
    let deadline = Instant::now() + PATIENCE;
    // A link that is new may lose the first ones.
    let mut sent = 0;
    while sent < 2 || !believed(bench).iter().any(|line| line.starts_with("control: route")) {
        sent += 1;
        advertise(&container.pod);
        advertise(&control);
        if Instant::now() > deadline {
            broken(
                "not even a link that shall believe a router advertisement did: it was not sent well",
            );
        }
        thread::sleep(Duration::from_millis(20));
    }
    let news = believed(bench).difference(&before).cloned().collect::<Vec<_>>();
    let news: Vec<_> = news
        .into_iter()
        .filter(|line| !not_the_plugins.iter().any(|link| line.starts_with(&format!("{link}:"))))
        .collect();
    ensure(
        news.is_empty(),
        "ADD in a network of IPv4 only, then a router advertisement from the container's eth0",
        "the host does not heed it",
        news.join(", "),
    )
}

/// A container with an IPv4 address only.
fn added(bench: &Bench, mut config: Value) -> Result<Container, crate::requirement::Stop> {
    set(&mut config, "ipam", ipv4_only(bench));
    let container = bench.container("a");
    let call = bench
        .call_with(&config)
        .with(|cni| cni.container(&container.id).netns(&container.pod).ifname("eth0"));
    call.add().succeeds()?;
    Ok(container)
}

fn links(bench: &Bench) -> BTreeSet<String> {
    bench.host.enter(|| {
        let entries = fs::read_dir("/proc/sys/net/ipv6/conf").into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    })
}

/// What the host's links have that comes from advertisements, or may: a line for each.
fn believed(bench: &Bench) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for line in bench.host.run(&["ip", "-6", "-o", "addr", "show", "scope", "global"]).lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        if let [_, link, _, address, ..] = words.as_slice() {
            lines.insert(format!("{link}: address {address}"));
        }
    }
    for line in bench.host.run(&["ip", "-6", "route", "show", "proto", "ra"]).lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let link = words.iter().skip_while(|word| **word != "dev").nth(1).unwrap_or(&"");
        lines.insert(format!("{link}: route {}", words.first().unwrap_or(&"")));
    }
    for link in links(bench) {
        for key in ["hop_limit", "mtu"] {
            let path = format!("/proc/sys/net/ipv6/conf/{link}/{key}");
            let value = bench.host.enter(|| fs::read_to_string(&path)).unwrap_or_default();
            lines.insert(format!("{link}: {key} {}", value.trim()));
        }
    }
    lines
}

/// An address to send from, without waiting for the kernel's own.
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
        // Only what cannot have come through a router is believed.
        setsockopt(&socket, sockopt::Ipv6MulticastHops, &255)?;
        let link = if_nametoindex("eth0")?;
        let all = SocketAddrV6::new(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), 0, 0, link);
        sendto(socket.as_raw_fd(), &message(), &SockaddrIn6::from(all), MsgFlags::empty())
    });
    sent.unwrap_or_else(|error| broken(&format!("send a router advertisement: {error}")));
}

/// RFC 4861, 4.2: a default router for half an hour, and a prefix for addresses. The kernel puts in the checksum.
fn message() -> Vec<u8> {
    let mut bytes = vec![134, 0, 0, 0, 13, 0];
    bytes.extend(1800_u16.to_be_bytes());
    // Reachable time and retransmission timer: as they are.
    bytes.extend([0; 8]);
    // Prefix information: on the link, and for addresses, for an hour.
    bytes.extend([3, 4, 64, 0xc0]);
    bytes.extend(3600_u32.to_be_bytes());
    bytes.extend(3600_u32.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0, 0, 0, 0, 0).octets());
    // MTU.
    bytes.extend([5, 1, 0, 0]);
    bytes.extend(1280_u32.to_be_bytes());
    bytes
}
