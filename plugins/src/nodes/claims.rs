//! Compares the addresses that a list of peers claims with this host's addresses, containers and
//! links.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnetwork::{IpNetwork, Ipv4Network};
use kernel::{KnownRoute, Link, Route};
use libcni::{Error, Result};

use super::peers::Peer;

/// The host's own IPv4 addresses, each with its link.
pub type Held = Vec<(String, Ipv4Network)>;

/// This host, without the network's own tunnels.
pub struct Host<'a> {
    /// Its links, without the network's tunnels.
    pub links: Vec<&'a Link>,
    /// Its addresses, without those on the network's tunnels.
    pub held: &'a Held,
    /// The routes of the main table.
    pub routes: &'a [KnownRoute],
    /// The indexes of the links to other nodes.
    pub uplinks: BTreeSet<u32>,
}

/// Descriptions of addresses that are in use on this host.
type Taken = BTreeMap<Ipv4Addr, String>;

/// The podCIDRs of the other nodes in order, without those inside a larger one:
/// [`peers::all`](crate::common::peers::all) accepts an overlap only within one node.
struct Claimed(Vec<Claim>);

struct Claim {
    first: u32,
    last: u32,
    cidr: Ipv4Network,
    node: Ipv4Addr,
}

impl Claimed {
    fn new(others: &[Peer]) -> Claimed {
        let claim = |peer: &Peer, cidr: Ipv4Network| Claim {
            first: cidr.network().into(),
            last: cidr.broadcast().into(),
            cidr,
            node: peer.node,
        };
        let all = others.iter().flat_map(|peer| peer.cidrs.iter().map(|cidr| claim(peer, *cidr)));
        let mut all: Vec<Claim> = all.collect();
        all.sort_by_key(|claim| (claim.first, u32::MAX - claim.last));
        all.dedup_by(|inner, outer| inner.last <= outer.last);
        Claimed(all)
    }

    /// Rejects a podCIDR that contains any of these addresses.
    fn refuse(&self, first: Ipv4Addr, last: Ipv4Addr, what: impl FnOnce() -> String) -> Result<()> {
        let (first, last) = (u32::from(first), u32::from(last));
        let behind = self.0.partition_point(|claim| claim.first <= last);
        let before = behind.checked_sub(1).and_then(|at| self.0.get(at));
        match before.filter(|claim| claim.last >= first) {
            Some(claim) => Err(covers(claim.cidr, claim.node, &what())),
            None => Ok(()),
        }
    }
}

impl Host<'_> {
    /// Rejects a list that would cut off this host, its containers or a node.
    ///
    /// # Errors
    ///
    /// Returns an error that names the peer and the addresses it claims.
    pub fn check(&self, others: &[Peer], ours: &[Peer]) -> Result<()> {
        self.check_nodes(others)?;
        let claimed = Claimed::new(others);
        for node in others.iter().chain(ours).map(|peer| peer.node) {
            claimed.refuse(node, node, || format!("the node {node}"))?;
        }
        for taken in [self.addresses(), self.gateways(), self.containers()] {
            for (address, what) in taken {
                claimed.refuse(address, address, || what)?;
            }
        }
        // A route to a part of the subnet leads away from the link.
        for (link, own) in self.subnets() {
            claimed.refuse(own.network(), own.broadcast(), || {
                let subnet = format!("{}/{}", own.network(), own.prefix());
                format!("{subnet}, the subnet of {link} on this host")
            })?;
        }
        Ok(())
    }

    /// Whether other nodes could know this host by one of its addresses. Addresses of bridges and
    /// addresses without a subnet do not count: they are gateways of containers.
    pub fn has_address(&self) -> bool {
        let is_inner = |name: &str| {
            let mut links = self.links.iter().filter(|link| link.name == name);
            name == "lo" || links.any(|link| link.kind == "bridge")
        };
        self.held.iter().any(|(link, own)| own.prefix() < 32 && !is_inner(link))
    }

    /// Rejects nodes that the kernel would reject as a next hop after it has applied a part of the
    /// routes.
    fn check_nodes(&self, others: &[Peer]) -> Result<()> {
        let on_link = self.held.iter().filter(|(_, own)| own.prefix() <= 30);
        let mut none: Taken = BTreeMap::new();
        for (link, own) in on_link {
            let of = |which: &str| format!("the {which} address of {own} of {link}");
            none.insert(own.network(), of("network"));
            none.insert(own.broadcast(), of("broadcast"));
        }
        let found = others.iter().find_map(|peer| Some((peer.node, none.get(&peer.node)?)));
        found.map_or(Ok(()), |(node, what)| {
            Err(Error::config(format!("the node {node} is {what}")).details(
                "No host can have this address. Nothing was changed; correct the list of peers",
            ))
        })
    }

    fn addresses(&self) -> Taken {
        let named = |(link, own): &(String, Ipv4Network)| {
            (own.ip(), format!("{own} of {link} on this host"))
        };
        self.held.iter().map(named).collect()
    }

    /// The next hops of other programs' routes.
    fn gateways(&self) -> Taken {
        let named = |route: &KnownRoute| match route.via {
            Some(std::net::IpAddr::V4(via)) if route.protocol != Route::PROTOCOL => {
                let link = self.link(route.link)?;
                Some((via, format!("the gateway {via} of {}", link.name)))
            }
            _ => None,
        };
        self.routes.iter().filter_map(named).collect()
    }

    /// The containers that have a route to their own address.
    fn containers(&self) -> Taken {
        let named = |route: &KnownRoute| match (route.to, route.via) {
            (IpNetwork::V4(to), None) if to.prefix() == 32 => {
                let link = self.link(route.link).filter(|link| link.kind == "veth")?;
                Some((to.ip(), format!("{} of {} on this host", to.ip(), link.name)))
            }
            _ => None,
        };
        self.routes.iter().filter_map(named).collect()
    }

    /// The subnets of links that do not lead to nodes, such as a bridge of containers. The subnet
    /// of a link to nodes may be so large that it includes the containers' subnets.
    fn subnets(&self) -> Vec<&(String, Ipv4Network)> {
        let is_inside = |name: &str| {
            let link = self.links.iter().find(|link| link.name == name);
            link.is_some_and(|link| {
                let is_known = link.kind == "bridge" || !self.uplinks.is_empty();
                is_known && link.ethernet && !self.uplinks.contains(&link.index)
            })
        };
        let held = self.held.iter().filter(|(_, own)| own.prefix() < 32);
        held.filter(|(link, _)| is_inside(link)).collect()
    }

    fn link(&self, index: Option<u32>) -> Option<&Link> {
        self.links.iter().find(|link| Some(link.index) == index).copied()
    }
}

/// The error of a peer's podCIDR that contains addresses in use.
pub fn covers(cidr: Ipv4Network, node: Ipv4Addr, what: &str) -> Error {
    Error::config(format!("podCIDR {cidr} of the peer {node} covers {what}"))
        .details("A route to it would cut that off. Nothing was changed; correct the list of peers")
}
