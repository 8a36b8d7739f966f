//! Reads the other nodes of a network and the addresses of their containers, and checks all that
//! needs no look at the host. `cnitool lint` uses the same code.

mod entry;
mod file;

use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;
use libcni::text::excerpt;
use libcni::{Context, Error, Result};
use serde_json::Value;

pub use entry::{is_of_a_host, no_ipv6, read};
pub use file::PeersFile;

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its own address.
    pub node: Ipv4Addr,
    /// The addresses of its containers.
    pub cidrs: Vec<Ipv4Network>,
}

/// Every peer once, with the containers' addresses from the configuration and the file together.
///
/// # Errors
///
/// Returns an error if the list is wrong on any host.
pub fn all(entries: &[Value], file: Option<&PeersFile>, for_routes: bool) -> Result<Vec<Peer>> {
    let mut all = Vec::new();
    entry::add(&mut all, entries, for_routes)?;
    if let Some(file) = file {
        file.add_to(&mut all, for_routes)
            .context(|| format!("peersFile {}", excerpt(file.path())))?;
    }
    // Most lists are sorted already, and have each node once.
    all.sort_by_key(|peer| u32::from(peer.node));
    all.dedup_by(|again, peer| {
        let is_same = again.node == peer.node;
        if is_same {
            again.cidrs.retain(|cidr| !peer.cidrs.contains(cidr));
            peer.cidrs.append(&mut again.cidrs);
        }
        is_same
    });
    check_overlaps(&all)?;
    Ok(all)
}

/// The peers of a file alone, as [`all`]; empty without a path.
///
/// # Errors
///
/// The errors of [`all`], or that the file cannot be read.
pub fn of_file(path: Option<&str>, for_routes: bool) -> Result<Vec<Peer>> {
    let file = path.filter(|path| !path.is_empty()).map(PeersFile::open).transpose()?;
    all(&[], file.as_ref(), for_routes)
}

/// Two subnets that overlap, each with its node. One contains the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap {
    /// The larger one.
    pub outer: (Ipv4Network, Ipv4Addr),
    /// The one inside it.
    pub inner: (Ipv4Network, Ipv4Addr),
}

/// Finds two nodes that claim the same containers.
pub fn overlap(peers: &[Peer]) -> Option<Overlap> {
    let mut all: Vec<(Ipv4Network, Ipv4Addr)> =
        peers.iter().flat_map(|peer| peer.cidrs.iter().map(|cidr| (*cidr, peer.node))).collect();
    // Most lists are sorted already, and integers compare faster than octets.
    all.sort_by_key(|(cidr, _)| (u32::from(cidr.network()), cidr.prefix()));
    // The subnets that contain the current one: of two that overlap, one contains the other.
    let mut around: Vec<(Ipv4Network, Ipv4Addr)> = Vec::new();
    for inner in all {
        around.retain(|(outer, _)| outer.contains(inner.0.network()));
        if let Some(outer) = around.iter().find(|(_, other)| *other != inner.1) {
            return Some(Overlap { outer: *outer, inner });
        }
        around.push(inner);
    }
    None
}

fn check_overlaps(peers: &[Peer]) -> Result<()> {
    let Some(Overlap { outer: (outer, other), inner: (cidr, node) }) = overlap(peers) else {
        return Ok(());
    };
    Err(Error::config(format!("podCIDR {cidr} of {node} overlaps with {outer} of {other}"))
        .details("a packet can go to one of them only: correct the list of peers"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entries(list: &[(&str, &[&str])]) -> Vec<Value> {
        list.iter().map(|(node, cidrs)| json!({ "node": node, "podCIDRs": cidrs })).collect()
    }

    fn refused(list: &[(&str, &[&str])]) -> String {
        all(&entries(list), None, true).unwrap_err().to_string()
    }

    #[test]
    fn a_node_that_is_named_twice_is_one_peer() {
        let twice = entries(&[
            ("192.0.2.1", &["10.1.1.0/24"]),
            ("192.0.2.1", &["10.1.1.0/24", "10.1.2.7/24"]),
        ]);
        let cidrs = ["10.1.1.0/24", "10.1.2.0/24"].map(|cidr| cidr.parse().unwrap()).to_vec();
        let node = Ipv4Addr::new(192, 0, 2, 1);
        assert_eq!(all(&twice, None, true).unwrap(), [Peer { node, cidrs }]);
    }

    #[test]
    fn overlaps_are_found_wherever_they_are_in_the_list() {
        let said = refused(&[
            ("192.0.2.1", &["10.1.0.0/16", "10.1.7.0/24"]),
            ("192.0.2.2", &["10.2.0.0/24", "10.0.0.0/24"]),
            ("192.0.2.3", &["10.1.200.0/24"]),
        ]);
        assert!(said.contains("10.1.200.0/24 of 192.0.2.3 overlaps with 10.1.0.0/16 of 192.0.2.1"));
        assert!(
            refused(&[("192.0.2.1", &["10.1.0.0/24"]), ("192.0.2.2", &["10.1.0.0/24"])])
                .contains("overlaps")
        );
    }

    #[test]
    fn what_no_node_or_container_can_have_is_refused() {
        for (node, cidr, why) in [
            ("", "10.1.1.0/24", "invalid node"),
            ("nonsense", "10.1.1.0/24", "invalid node"),
            ("127.0.0.1", "10.1.1.0/24", "invalid node"),
            ("224.0.0.1", "10.1.1.0/24", "invalid node"),
            ("0.0.0.0", "10.1.1.0/24", "invalid node"),
            ("fd00::1", "10.1.1.0/24", "IPv4 only"),
            ("192.0.2.1", "fd00::/64", "IPv4 only"),
            ("192.0.2.1", "0.0.0.0/0", "every address"),
            ("192.0.2.1", "10.1.1.0", "invalid podCIDR"),
            ("192.0.2.1", "10.1.1.0/33", "invalid podCIDR"),
            ("192.0.2.1", "224.0.0.0/4", "reserved"),
            ("192.0.2.1", "239.1.0.0/16", "reserved"),
            ("192.0.2.1", "127.0.0.0/8", "reserved"),
            ("192.0.2.1", "0.1.0.0/16", "reserved"),
        ] {
            let said = refused(&[(node, &[cidr])]);
            assert!(said.contains(why), "{node} {cidr}: {said}");
        }
    }
}
