//! A tunnel that accepts packets from anyone: every container would be reachable from outside, with
//! any source address.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket,
};
use testbed::Pod;

use crate::fixture::{Fixture, addresses};
use crate::isolation::broken;
use crate::profile::Profile;
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::timeout::scaled;
use crate::verdict::{TestResult, ensure};

/// Packets through a tunnel must come from its nodes.
pub(super) const ONLY_PEERS: Requirement = Requirement {
    id: "CVE-2020-10136",
    source: "CVE-2020-10136 (VU#636397)",
    statement: "A tunnel must deliver packets to containers from the nodes in its configuration, \
        and from no other machine",
    level: Level::Expected,
    applies_to: AppliesTo::Where(has_peers, "list the nodes of their tunnel"),
    versions: Versions::Newest,
    test: only_peers,
};

fn has_peers(profile: &Profile) -> bool {
    profile.config_with("peers").is_some()
}

/// The node itself, its only peer, and a machine that is not a peer; the profile's network of
/// nodes.
const NODE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const STRANGER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 66);
/// A container of the peer.
const INNER: Ipv4Addr = Ipv4Addr::new(10, 1, 3, 5);
const PORT: u16 = 9999;

fn only_peers(fixture: &Fixture) -> TestResult {
    let outside = fixture.host.pod("outside");
    fixture.host.run(&["ip", "link", "set", "uplink-peer", "netns", outside.name()]);
    outside.sh(&format!(
        "ip addr add {PEER}/24 dev uplink-peer; ip addr add {STRANGER}/24 dev uplink-peer
         ip link set uplink-peer up"
    ));
    let (container, result) = fixture.added("a")?;
    let own = addresses(&result).into_iter().find_map(|text| {
        let (address, _) = text.split_once('/')?;
        address.parse().ok()
    });
    let Some(own) = own else { broken("the container has no IPv4 address") };
    let taken = container.pod.enter(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)));
    let taken = taken.unwrap_or_else(|error| broken(&format!("listen: {error}")));
    let second = Some(scaled(Duration::from_secs(1)));
    taken.set_read_timeout(second).unwrap_or_else(|error| broken(&format!("wait: {error}")));
    let mut seen = Vec::new();
    // The neighbours are not resolved yet, so the first packet may be lost.
    for _ in 0..3 {
        send(&outside, STRANGER, own, b"stranger");
        send(&outside, PEER, own, b"the peer");
        let mut bytes = [0; 8];
        while seen.last() != Some(b"the peer") && taken.recv(&mut bytes).is_ok() {
            seen.push(bytes);
        }
        if seen.last() == Some(b"the peer") {
            break;
        }
    }
    if !seen.contains(b"the peer") {
        broken(
            "the control experiment failed: packets from the peer do not arrive through the tunnel",
        );
    }
    ensure(
        !seen.contains(b"stranger"),
        format!(
            "ADD, then a packet for the container, inside an IP-in-IP packet from {STRANGER}, which is no peer"
        ),
        "the container does not get it",
        "it gets it",
    )
}

/// Sends a UDP packet to a container, inside a packet from `from` to the node.
fn send(outside: &Pod, from: Ipv4Addr, to: Ipv4Addr, data: &[u8]) {
    const UDP: u8 = 17;
    const IP_IN_IP: u8 = 4;
    let mut udp = Vec::new();
    let length = u16::try_from(8 + data.len()).unwrap_or_default();
    for half in [PORT, PORT, length, 0] {
        udp.extend(half.to_be_bytes());
    }
    udp.extend(data);
    let inner = packet(UDP, INNER, to, &udp);
    let outer = packet(IP_IN_IP, from, NODE, &inner);
    let sent = outside.enter(|| {
        let raw = SockProtocol::Raw;
        let socket = socket(AddressFamily::Inet, SockType::Raw, SockFlag::empty(), raw)?;
        let node = SockaddrIn::from(SocketAddrV4::new(NODE, 0));
        sendto(socket.as_raw_fd(), &outer, &node, MsgFlags::empty())
    });
    sent.unwrap_or_else(|error| broken(&format!("send an IP-in-IP packet: {error}")));
}

/// An IPv4 packet (RFC 791).
fn packet(protocol: u8, from: Ipv4Addr, to: Ipv4Addr, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + data.len()).unwrap_or_default();
    let [a, b, c, d] = from.octets();
    let [e, f, g, h] = to.octets();
    let half = |high: u8, low: u8| u16::from_be_bytes([high, low]);
    let ends = [half(a, b), half(c, d), half(e, f), half(g, h)];
    let start = [0x4500, length, 0, 0, half(64, protocol)];
    let sum: u32 = start.iter().chain(&ends).map(|half| u32::from(*half)).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let check = !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or_default();
    let head = start.into_iter().chain([check]).chain(ends);
    head.flat_map(u16::to_be_bytes).chain(data.iter().copied()).collect()
}
