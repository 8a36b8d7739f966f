//! Other IP-in-IP tunnels of this host. The kernel delivers a packet to one tunnel only: one with
//! the packet's addresses if it exists, otherwise the fallback device.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use kernel::{Egress, Link, Survey, Tunnel};
use libcni::{Error, Result};

use super::node::Node;

impl Node {
    /// The tunnels that do not belong to the network.
    pub fn others<'a>(&'a self, network: &'a str) -> impl Iterator<Item = &'a Link> {
        self.tunnels.iter().filter(move |link| !Tunnel::owns(network, link))
    }

    /// The addresses where this node's tunnel receives packets: those of this node in the list of
    /// peers, and the address it sends from.
    pub fn own_addresses(&self) -> Vec<Ipv4Addr> {
        self.cluster.ours.iter().map(|peer| peer.node).chain(self.local).collect()
    }

    /// Rejects a tunnel that would get another tunnel's packets, or lose its packets to another.
    ///
    /// # Errors
    ///
    /// Returns an error that names the tunnel and the remedy.
    pub fn check_others(&self, network: &str) -> Result<()> {
        let own = self.own_addresses();
        let is_peer =
            |remote: Ipv4Addr| self.cluster.peers.iter().any(|(peer, _)| peer.node == remote);
        for other in self.others(network).filter(|other| other.up) {
            if other.may_take(&own) && other.tunnel.remote.is_none_or(is_peer) {
                return Err(taken_by(&self.device, other, &own));
            }
            let local = self.local.filter(|_| other.name == Tunnel::FALLBACK);
            if let Some(local) = local
                && self.is_source_of(other, local).map_err(crate::common::into_cni)?
            {
                return Err(takes_from(&self.device, other, local));
            }
        }
        Ok(())
    }

    /// Whether the fallback device sends from an address, and so receives packets there. It does if
    /// the kernel selects that source for the next hop of one of its routes; without such a route,
    /// for the default gateway or else for this network's peers.
    fn is_source_of(&self, fallback: &Link, address: Ipv4Addr) -> kernel::Result<bool> {
        let mut survey = Survey::host()?;
        let hops: BTreeSet<Ipv4Addr> = survey
            .ipv4_routes()?
            .into_iter()
            .filter(|route| route.link == Some(fallback.index))
            .filter_map(|route| match route.via {
                Some(IpAddr::V4(via)) => Some(via),
                _ => None,
            })
            .collect();
        let mut ways: Vec<Option<Egress>> = survey.egress(&hops.into_iter().collect::<Vec<_>>())?;
        if ways.iter().all(Option::is_none) {
            ways = vec![survey.default_egress()?];
        }
        if ways.iter().all(Option::is_none) {
            let nodes: Vec<Ipv4Addr> =
                self.cluster.peers.iter().map(|(peer, _)| peer.node).collect();
            ways = survey.egress(&nodes)?;
        }
        Ok(ways.iter().flatten().any(|way| way.source == Some(address)))
    }
}

/// Describes a link and its owner.
fn named(link: &Link) -> String {
    match link.alias.as_str() {
        "" => format!("the tunnel {}", link.name),
        alias => format!("the tunnel {} (\"{alias}\")", link.name),
    }
}

fn taken_by(device: &str, other: &Link, own: &[Ipv4Addr]) -> Error {
    let (local, from) = (other.tunnel.local.or(own.first().copied()), other.tunnel.remote);
    let to = local.map_or_else(String::new, |local| format!(" to {local}"));
    let from = from.map_or_else(String::new, |remote| format!(" from {remote}"));
    let (named, name) = (named(other), &other.name);
    Error::internal(format!("{device} gets no packets{from}{to}: {named} takes them")).details(
        format!("Give that tunnel another local address; if nothing uses it: ip link del {name}"),
    )
}

fn takes_from(device: &str, other: &Link, local: Ipv4Addr) -> Error {
    let (named, name) = (named(other), &other.name);
    Error::internal(format!("{device} would take the packets of {named}: both are at {local}"))
        .details(format!(
            "Set \"local\" to another address of this host, to which the peers then send; if \
             nothing uses {name}: ip link set {name} down"
        ))
}
