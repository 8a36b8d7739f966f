//! Checks the keys of `ipip` and its list of peers, which the plugin's own code reads.

use ferrocni::nodes::peers::{self, Overlap, Peer};
use ipnetwork::IpNetwork;
use libcni::{Code, Error, ip};
use serde_json::json;

use super::Found;
use crate::lint::document::Node;
use crate::lint::network::{Network, beginning};
use crate::lint::problem::{At, Problem, Severity};

/// The sizes of IPv4 packets (RFC 791); the maximum is without the tunnel's header.
const MTUS: std::ops::RangeInclusive<i128> = 68..=65_515;

pub(super) fn check(found: &mut Found<'_, '_>, is_first: bool) {
    let node = found.node();
    if is_first && !found.has_ipam() {
        found.problems.push(
            Problem::error(
                "needs-ipam",
                &beginning(node),
                "ipip is the first plugin and has no \"ipam\"",
            )
            .why("it needs a plugin before it or addresses of its own, so every ADD fails")
            .help("put it after bridge or ptp, or add \"ipam\""),
        );
    }
    if let Some(member) = found.member("mtu")
        && let Some(mtu) = member.node.integer().filter(|mtu| *mtu != 0 && !MTUS.contains(mtu))
    {
        found.problems.push(
            Problem::error("out-of-range", &member.node.at, format!("{mtu} is out of range"))
                .why("ipip refuses it, so every ADD fails")
                .help("write 68 to 65515, or 0 to derive it from the routes to the peers"),
        );
    }
    let is_external = node.text_of("routes") == Some("external");
    let peers = node.get("peers").map(Node::items).unwrap_or_default();
    let file = node.text_of("peersFile").unwrap_or_default();
    if peers.is_empty() && file.is_empty() && !is_external {
        found.problems.push(
            Problem::warning(
                "no-effect",
                &beginning(node),
                "ipip has no peers, so no node is reached through the tunnel",
            )
            .why("it adds routes only to the nodes in \"peers\" or \"peersFile\"")
            .help("add peers, or let a routing daemon add the routes: \"routes\": \"external\""),
        );
    }
    families(found);
    entries(found, peers, !is_external);
    let read: Vec<(Peer, &Node)> =
        peers.iter().filter_map(|entry| Some((readable(entry)?, entry))).collect();
    overlaps(found, &read);
}

/// The readable peers of a plugin's list and file.
pub fn all_peers(plugin: &Node) -> Vec<Peer> {
    let listed = plugin.get("peers").map(Node::items).unwrap_or_default();
    let mut all: Vec<Peer> = listed.iter().filter_map(readable).collect();
    all.extend(peers::of_file(plugin.text_of("peersFile"), false).unwrap_or_default());
    all
}

/// Checks a network's files of peers. The plugin itself reports a file that cannot be opened.
pub fn files(network: &Network<'_>, problems: &mut Vec<Problem>) {
    for plugin in network.plugins.iter().filter(|plugin| plugin.is("ipip")) {
        let node = plugin.node;
        let for_routes = node.text_of("routes") != Some("external");
        let Some(member) = node.member("peersFile") else { continue };
        if let Err(error) = peers::of_file(member.node.text(), for_routes) {
            problems.extend(of_list(&member.node.at, error));
        }
    }
}

/// The finding for a mistake in a list; `None` if the list could only not be read.
fn of_list(at: &At, error: Error) -> Option<Problem> {
    let is_mistake = [Code::DECODE_FAILURE, Code::INVALID_CONFIG].contains(&error.code);
    is_mistake.then(|| {
        Problem::error("peers", at, error.msg)
            .why("ipip refuses the whole list, so every ADD fails")
            .help(error.details.replace('\n', "; "))
    })
}

/// Reports IPv6 ranges: the tunnel carries IPv4 only.
fn families(found: &mut Found<'_, '_>) {
    let Some(pool) = &found.pool else { return };
    if let Some(range) = pool.ranges().find(|range| range.subnet.is_ipv6()) {
        let problem = Problem::error("contradiction", range.at, "ipip carries IPv4 only");
        found.problems.push(
            problem
                .why("it refuses IPv6 addresses for links of its own, so every ADD fails")
                .help("remove the IPv6 ranges, or put ipip after a bridge that has them"),
        );
    }
}

/// Checks the entries of a list. Entries with a finding of the schema are skipped.
fn entries(found: &mut Found<'_, '_>, peers: &[Node], for_routes: bool) {
    for node in peers {
        let spot = node.at.spot;
        let is_inside = |problem: &Problem| {
            let at = problem.at.spot;
            problem.severity == Severity::Error
                && at.file == spot.file
                && (spot.start..spot.end).contains(&at.start)
        };
        if found.problems.iter().any(is_inside) {
            continue;
        }
        if let Err(error) = peers::read(&node.to_json(), for_routes) {
            found.problems.extend(of_list(&beginning(node), error));
        }
    }
}

/// The readable parts of an entry.
fn readable(entry: &Node) -> Option<Peer> {
    let node = entry.text_of("node")?;
    let with = |cidrs: &[&str]| peers::read(&json!({ "node": node, "podCIDRs": cidrs }), true);
    let mut peer = with(&[]).ok()?;
    let cidrs = entry.get("podCIDRs").map(Node::items).unwrap_or_default();
    let cidrs = cidrs.iter().filter_map(|item| with(&[item.text()?]).ok());
    peer.cidrs = cidrs.flat_map(|of_one| of_one.cidrs).collect();
    Some(peer)
}

/// Reports two nodes with the same podCIDR.
fn overlaps(found: &mut Found<'_, '_>, read: &[(Peer, &Node)]) {
    let peers: Vec<Peer> = read.iter().map(|(peer, _)| peer.clone()).collect();
    let Some(Overlap { outer, inner }) = peers::overlap(&peers) else { return };
    let place = |(cidr, node): (ipnetwork::Ipv4Network, _)| {
        let of_node = read.iter().filter(move |(peer, _)| peer.node == node);
        let cidrs = of_node.flat_map(|(_, entry)| entry.get("podCIDRs").map(Node::items));
        let is_it = move |item: &&Node| {
            let Some(Ok(IpNetwork::V4(found))) = item.text().map(ip::cidr) else { return false };
            (found.network(), found.prefix()) == (cidr.network(), cidr.prefix())
        };
        cidrs.flatten().find(is_it)
    };
    let (Some(one), Some(other)) = (place(inner), place(outer)) else { return };
    // Reports the later one in the file.
    let (first, second) = if one.at.spot < other.at.spot { (one, other) } else { (other, one) };
    let cidr = second.text().unwrap_or_default();
    found.problems.push(
        Problem::error("contradiction", &second.at, format!("{cidr} is on two nodes"))
            .also(&first.at, "the other node's")
            .why("a packet can go to one of them only, and ipip refuses it, so every ADD fails")
            .help("correct the list of peers"),
    );
}
