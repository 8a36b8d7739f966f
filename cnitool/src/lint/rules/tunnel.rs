//! The keys of `ipip`.

use ipnetwork::IpNetwork;
use libcni::ip;

use super::Found;
use crate::lint::document::Node;
use crate::lint::network::beginning;
use crate::lint::problem::Problem;

/// Smaller and larger packets are none (RFC 791; the most is without the tunnel's header).
const MTUS: std::ops::RangeInclusive<i128> = 68..=65_515;

pub(super) fn check(found: &mut Found<'_, '_>, is_first: bool) {
    let node = found.node();
    if is_first && !found.has_ipam() {
        found.problems.push(
            Problem::error("needs-ipam", &beginning(node), "ipip is the first plugin and has no \"ipam\"")
                .why("it refuses to work without a plugin before it or addresses of its own, so every ADD fails")
                .help("put it behind bridge or ptp, or give it \"ipam\""),
        );
    }
    if let Some(member) = found.member("mtu")
        && let Some(mtu) = member.node.integer().filter(|mtu| *mtu != 0 && !MTUS.contains(mtu))
    {
        found.problems.push(
            Problem::error("out-of-range", &member.node.at, format!("{mtu} is out of range"))
                .why("ipip refuses it, so every ADD fails")
                .help("0 derives it from the routes to the peers; otherwise it is 68 to 65515"),
        );
    }
    let is_external = node.text_of("routes") == Some("external");
    let peers = node.get("peers").map(Node::items).unwrap_or_default();
    let file = node.text_of("peersFile").unwrap_or_default();
    if peers.is_empty() && file.is_empty() && !is_external {
        found.problems.push(
            Problem::warning("no-effect", &beginning(node), "ipip has no peers, so no node is reached through the tunnel")
                .why("it makes routes to the nodes that \"peers\" or \"peersFile\" names, and to no others")
                .help("name them, or let a routing daemon make the routes: \"routes\": \"external\""),
        );
    }
    families(found);
    overlaps(found, peers);
}

/// The tunnel carries IPv4 only.
fn families(found: &mut Found<'_, '_>) {
    let Some(pool) = &found.pool else { return };
    if let Some(range) = pool.ranges().find(|range| range.subnet.is_ipv6()) {
        let problem = Problem::error("contradiction", range.at, "ipip carries IPv4 only");
        found.problems.push(
            problem
                .why("it refuses IPv6 addresses for links of its own, so every ADD fails")
                .help("take the IPv6 ranges out, or put ipip behind a bridge that has them"),
        );
    }
}

/// Two nodes cannot have the same containers.
fn overlaps(found: &mut Found<'_, '_>, peers: &[Node]) {
    let mut seen: Vec<(&Node, &Node, IpNetwork)> = Vec::new();
    for peer in peers {
        for node in peer.get("podCIDRs").map(Node::items).unwrap_or_default() {
            let Some(cidr) = node.text().and_then(|text| ip::cidr(text).ok()) else { continue };
            let of_others =
                seen.iter().filter(|(other, ..)| other.text_of("node") != peer.text_of("node"));
            if let Some((_, other, _)) =
                of_others.into_iter().find(|(_, _, it)| crate::lint::ranges::overlap(*it, cidr))
            {
                found.problems.push(
                    Problem::error("contradiction", &node.at, format!("{cidr} is on two nodes"))
                        .also(&other.at, "the other node's")
                        .why("a packet can go to one of them only, and ipip refuses it, so every ADD fails")
                        .help("correct the list of peers"),
                );
            }
            seen.push((peer, node, cidr));
        }
    }
}
