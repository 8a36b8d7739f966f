//! The other nodes of a network, as this node sees them.

use std::net::{IpAddr, Ipv4Addr};

use ipnetwork::{IpNetwork, Ipv4Network};
use kernel::{Over, RouteSet};
use libcni::{Addresses, Error, Result};

use super::claims::{Held, covers};
use super::peers::Peer;
use super::prefixes::merged;

/// The nodes of a network.
#[derive(Debug)]
pub struct Cluster {
    /// Whether another program makes the routes to the peers.
    pub external: bool,
    /// The entries of the list that are this host.
    pub ours: Vec<Peer>,
    /// The peers that are not this host, each with the link that reaches it directly.
    pub peers: Vec<(Peer, Option<String>)>,
    /// The host's own addresses, without those on the network's tunnels.
    pub(super) held: Held,
}

impl Cluster {
    /// Rejects peers whose routes would divert packets from this host's own containers.
    ///
    /// # Errors
    ///
    /// Returns an error that names the peer and the addresses it covers.
    pub fn check_pod(&self, addresses: &Addresses) -> Result<()> {
        for pod in addresses.ips() {
            let (IpNetwork::V4(own), gateway) = (pod.address, pod.gateway) else { continue };
            // If the whole subnet is on a link here, no part of it can be on another node.
            let is_on_link = self.held.iter().any(|(_, held)| {
                held.prefix() < 32 && held.overlaps(own) && held.prefix() <= own.prefix()
            });
            for (node, cidr) in self.cidrs() {
                let has = |address: IpAddr| IpNetwork::V4(cidr).contains(address);
                if has(own.ip().into())
                    || gateway.is_some_and(has)
                    || (is_on_link && cidr.overlaps(own))
                {
                    let subnet = pod.address.network();
                    let what = format!(
                        "{subnet}/{}, the subnet of this host's own containers",
                        own.prefix()
                    );
                    return Err(covers(cidr, node, &what));
                }
            }
        }
        Ok(())
    }

    /// Rejects an address of the host on the tunnel that belongs to another node or to one of its
    /// containers.
    ///
    /// # Errors
    ///
    /// Returns an error that names the owner.
    pub fn check_address(&self, address: Ipv4Addr) -> Result<()> {
        if self.peers.iter().any(|(peer, _)| peer.node == address) {
            return Err(Error::config(format!(
                "the address {address} for the tunnel is that of a peer"
            ))
            .details("Set \"address\" to one of this host's own addresses"));
        }
        match self.cidrs().find(|(_, cidr)| cidr.contains(address)) {
            Some((node, cidr)) => {
                Err(covers(cidr, node, &format!("the address {address} of this host's tunnel")))
            }
            None => Ok(()),
        }
    }

    /// Rejects peers that claim addresses from the range that this host assigns.
    ///
    /// # Errors
    ///
    /// Returns an error that names the peer.
    pub fn check_range(&self, first: Ipv4Addr, last: Ipv4Addr) -> Result<()> {
        let is_in = |cidr: &Ipv4Network| cidr.network() <= last && first <= cidr.broadcast();
        match self.cidrs().find(|(_, cidr)| is_in(cidr)) {
            Some((node, cidr)) => {
                let what = format!("{first}-{last}, which \"ipam\" assigns on this host");
                Err(covers(cidr, node, &what))
            }
            None => Ok(()),
        }
    }

    /// Whether the list has no entry at all. An intended list without routes names only this host,
    /// or peers without containers.
    pub fn is_empty(&self) -> bool {
        !self.external && self.peers.is_empty() && self.ours.is_empty()
    }

    /// The error of an [empty list](Node::is_empty) on a host with routes to peers.
    pub fn emptied() -> Error {
        Error::config("the list of peers is empty, and this host has routes to peers").details(
            "nothing was changed: to remove the routes, name this host in the list, and no other; \
             an entry is written as {\"node\": \"192.0.2.1\", \"podCIDRs\": [\"10.1.1.0/24\"]}",
        )
    }

    /// The peers' containers, each network with its node.
    pub fn cidrs(&self) -> impl Iterator<Item = (Ipv4Addr, Ipv4Network)> {
        self.peers.iter().flat_map(|(peer, _)| peer.cidrs.iter().map(|cidr| (peer.node, *cidr)))
    }

    /// The links of this host that have an address.
    pub fn holders(&self, address: Ipv4Addr) -> impl Iterator<Item = &str> {
        let held = self.held.iter().filter(move |(_, held)| held.ip() == address);
        held.map(|(link, _)| link.as_str())
    }

    /// The subnets of the network's containers on all nodes.
    pub fn all_cidrs(&self) -> Vec<Ipv4Network> {
        let ours = self.ours.iter().flat_map(|peer| peer.cidrs.iter().copied());
        self.cidrs().map(|(_, cidr)| cidr).chain(ours).collect()
    }

    /// The routes of this node to the peers' containers, over `device` to the peers that are not
    /// directly reachable.
    pub fn routes(&self, network: &str, device: &str) -> RouteSet {
        let mut over: Vec<Over> = Vec::new();
        let peers = if self.external { &[] } else { self.peers.as_slice() };
        for (peer, direct) in peers {
            let link = direct.as_deref().unwrap_or(device);
            let onlink = direct.is_none();
            let at = over.iter().position(|over| over.link == link).unwrap_or_else(|| {
                over.push(Over { link: link.to_owned(), onlink, routes: Vec::new() });
                over.len() - 1
            });
            if let Some(over) = over.get_mut(at) {
                over.routes.extend(peer.cidrs.iter().map(|cidr| (*cidr, peer.node)));
            }
        }
        RouteSet { network: network.to_owned(), over }
    }

    /// The addresses of the peers' containers that a container's own routes, with these
    /// destinations, do not cover: the minimal set of prefixes that contains exactly these
    /// addresses.
    pub fn uncovered(&self, covered: &[Ipv4Network]) -> Vec<Ipv4Network> {
        let is_covered = |cidr: &Ipv4Network| {
            let covers =
                |dst: &Ipv4Network| dst.prefix() <= cidr.prefix() && dst.contains(cidr.network());
            covered.iter().any(covers)
        };
        let left = self.cidrs().map(|(_, cidr)| cidr).filter(|cidr| !is_covered(cidr));
        merged(left.collect())
    }
}
