//! This node: its configuration and its state.

use std::net::Ipv4Addr;

use crate::common::into_cni;
use crate::nodes::{Cluster, Local, Look, Peer, View};
use ipnetwork::Ipv4Network;
use kernel::{Egress, FormerTunnel, Link, Owner, Tunnel};
use libcni::{Error, Result};

/// The checked configuration.
#[derive(Debug)]
pub struct Wanted {
    pub network: String,
    pub device: String,
    pub local: Option<Local>,
    /// 0 derives it from the routes.
    pub mtu: u32,
    pub cross_subnet: bool,
    pub external: bool,
    pub accepts_all: bool,
    /// The nodes that may send to the tunnel besides the peers.
    pub node_cidrs: Vec<Ipv4Network>,
    pub peers: Vec<Peer>,
}

impl Wanted {
    /// The first peer that gets packets from a source address unknown to the peers, and that
    /// address.
    fn stray<'a>(
        &self,
        ours: &[Peer],
        ways: impl Iterator<Item = (&'a Ipv4Addr, &'a Option<Egress>)>,
        is_direct: impl Fn(&Egress) -> bool,
    ) -> Option<(Ipv4Addr, Ipv4Addr)> {
        let is_known = |source: Ipv4Addr| {
            ours.iter().any(|own| own.node == source)
                || self.node_cidrs.iter().any(|cidr| cidr.contains(source))
        };
        // The other nodes have the same configuration: with "acceptFrom": "all" they accept packets
        // from any address. `local` has no effect on the fallback device.
        let is_chosen_by_route = self.device == Tunnel::FALLBACK;
        match is_chosen_by_route && !self.accepts_all && !ours.is_empty() {
            true => stray(ways, is_direct, is_known),
            false => None,
        }
    }

    /// The network's tunnel to rename, and its other tunnels whose name differs from the configured
    /// one.
    fn former(&self, view: &View) -> (Option<String>, Vec<FormerTunnel>) {
        let mut former = FormerTunnel::among(&view.links, &self.network, &self.device);
        let is_there = view.links.iter().any(|link| link.name == self.device);
        if is_there || self.device == Tunnel::FALLBACK {
            return (None, former);
        }
        // A tunnel that another program made keeps its name, because it outlives the network.
        let is_made = |link: &Link| link.group == Owner::group(&self.network);
        let made = |name: &str| view.links.iter().any(|link| link.name == name && is_made(link));
        let renamed = former.iter().position(|former| !former.is_fallback() && made(&former.name));
        (renamed.map(|index| former.swap_remove(index).name), former)
    }
}

/// The state of this node in one call.
#[derive(Debug)]
pub struct Node {
    /// The other nodes.
    pub cluster: Cluster,
    pub device: String,
    /// The source of the tunnel's packets; `None` if it makes no difference.
    pub local: Option<Ipv4Addr>,
    /// The largest packet inside the tunnel.
    pub mtu: u32,
    /// Whether the tunnel's source validation (`rp_filter`) is stricter than the routes allow.
    pub needs_loose_filter: bool,
    /// The network's tunnel that must be renamed to [`Node::device`], if it has another name.
    pub renamed: Option<String>,
    /// Other tunnels that the network had.
    pub former: Vec<FormerTunnel>,
    /// The host's address on one of them, which moves to the tunnel if no other is known.
    pub inherited: Option<Ipv4Addr>,
    pub accepts_all: bool,
    pub node_cidrs: Vec<Ipv4Network>,
    /// The other IP-in-IP tunnels of this host, of any network.
    pub tunnels: Vec<Link>,
    /// The first peer that gets packets from a source address that no entry of the list has, and
    /// that address.
    stray: Option<(Ipv4Addr, Ipv4Addr)>,
}

impl Node {
    /// Surveys the host and determines what the configuration leaves open.
    ///
    /// # Errors
    ///
    /// Returns an error if values conflict, or cannot be determined.
    pub fn survey(mut wanted: Wanted) -> Result<Node> {
        let listed = std::mem::take(&mut wanted.peers);
        let view = View::new().map_err(into_cni)?;
        let (renamed, former) = wanted.former(&view);
        let is_tunnel = |name: &str| {
            name == wanted.device
                || Some(name) == renamed.as_deref()
                || former.iter().any(|former| former.name == name)
        };
        let look = Look::new(view, listed, is_tunnel)?;
        let is_direct = |way: &Egress| wanted.cross_subnet && way.via.is_none();

        let local = wanted.local.as_ref().map(|local| look.view.local(local)).transpose()?;
        if let Some(local) = local.filter(|_| wanted.device == Tunnel::FALLBACK) {
            check_fallback(local, look.reached().iter().filter(|way| !is_direct(way)))?;
        }
        let mut tunnels = look.view.links.iter().filter(|link| is_tunnel(&link.name));
        let now = tunnels.find_map(|tunnel| tunnel.tunnel_source());
        let local = local.or_else(|| look.listed_address()).or_else(|| look.source(now));
        let stray = wanted.stray(&look.ours, look.ways(), is_direct);
        let mtu = match wanted.mtu {
            0 => look.tunnel_mtu(Tunnel::HEADER, local)?,
            mtu => mtu,
        };
        if local.is_none() && wanted.device != Tunnel::FALLBACK {
            return Err(look.unknown("local"));
        }

        let device = renamed.as_ref().unwrap_or(&wanted.device);
        let needs_loose_filter = wanted.cross_subnet && look.is_strict(device)?;
        Ok(Node {
            local,
            mtu,
            needs_loose_filter,
            renamed,
            inherited: former.iter().find_map(|former| look.view.address_of(&former.name)),
            former,
            stray,
            accepts_all: wanted.accepts_all,
            tunnels: other_tunnels(&look.view.links, &wanted.device),
            cluster: look.into_cluster(wanted.external, is_direct),
            device: wanted.device,
            node_cidrs: wanted.node_cidrs,
        })
    }

    /// Checks that the other nodes know the address that the fallback device sends from.
    ///
    /// # Errors
    ///
    /// Returns an error if they do not, because they may drop its packets.
    pub fn check_source(&self) -> Result<()> {
        let (Some((peer, source)), Some(own)) = (self.stray, self.cluster.ours.first()) else {
            return Ok(());
        };
        let (own, tunnel) = (own.node, Tunnel::FALLBACK);
        Err(Error::config(format!(
            "{tunnel} sends from {source} to the peer {peer}, and the list of peers has this node \
             as {own}"
        ))
        .details(format!(
            "add {{\"node\": \"{source}\", \"podCIDRs\": []}} to the list, or a network of nodes \
             to \"nodeCIDRs\", or give \"device\" another name than {tunnel}"
        )))
    }
}

/// The IP-in-IP tunnels, without the one with this name.
fn other_tunnels(links: &[Link], device: &str) -> Vec<Link> {
    let is_other = |link: &&Link| link.kind == "ipip" && link.name != device;
    links.iter().filter(is_other).cloned().collect()
}

/// The first peer that the fallback device reaches from an address that the other nodes do not
/// know, and that address.
fn stray<'a>(
    mut ways: impl Iterator<Item = (&'a Ipv4Addr, &'a Option<Egress>)>,
    is_direct: impl Fn(&Egress) -> bool,
    is_known: impl Fn(Ipv4Addr) -> bool,
) -> Option<(Ipv4Addr, Ipv4Addr)> {
    ways.find_map(|(peer, way)| {
        let source = way.as_ref().filter(|way| !is_direct(way))?.source?;
        (!is_known(source)).then_some((*peer, source))
    })
}

/// The kernel's fallback device sends from the address that the route selects.
fn check_fallback<'a>(
    local: Ipv4Addr,
    mut tunnelled: impl Iterator<Item = &'a &'a Egress>,
) -> Result<()> {
    let other = tunnelled.find_map(|way| way.source.filter(|source| *source != local));
    other.map_or(Ok(()), |other| {
        Err(Error::config(format!(
            "local is {local}, but {} sends from {other} to the peers",
            Tunnel::FALLBACK
        ))
        .details(format!(
            "{} cannot have an address to send from: give \"device\" another name, for a tunnel \
             of its own",
            Tunnel::FALLBACK
        )))
    })
}
