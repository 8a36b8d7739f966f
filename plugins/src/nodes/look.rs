//! Finds the ways from this host to the peers of a list.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::common::into_cni;
use kernel::{Egress, KnownRoute, Link, Survey};
use libcni::{Code, Error, Result};

use super::claims;
use super::cluster::Cluster;
use super::peers::Peer;
use super::view::View;

/// A look at the host with a list of peers that does not harm the host.
pub struct Look {
    /// The host.
    pub view: View,
    /// The entries of the list that are this host.
    pub ours: Vec<Peer>,
    others: Vec<Peer>,
    /// The nodes of `others`.
    nodes: Vec<Ipv4Addr>,
    /// The ways to the nodes outside of the network's tunnels, in the same order.
    ways: Vec<Option<Egress>>,
    /// The way of the default route, if no peer is reachable.
    default: Option<Egress>,
    /// The host's addresses, without those on the network's tunnels.
    held: claims::Held,
}

impl Look {
    /// Finds the ways to the peers. `is_tunnel` tells by a link's name whether it is a tunnel of
    /// the network.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel cannot be queried, or if the list would cut off this host,
    /// its containers or a node.
    pub fn new(
        mut view: View,
        listed: Vec<Peer>,
        is_tunnel: impl Fn(&str) -> bool,
    ) -> Result<Look> {
        let held: claims::Held =
            view.held.iter().filter(|(link, _)| !is_tunnel(link)).cloned().collect();
        let own: BTreeSet<u32> = held.iter().map(|(_, held)| held.ip().into()).collect();
        let (ours, others): (Vec<Peer>, Vec<Peer>) =
            listed.into_iter().partition(|peer| own.contains(&peer.node.into()));
        let nodes: Vec<Ipv4Addr> = others.iter().map(|peer| peer.node).collect();
        let ways = view.survey.egress(&nodes).map_err(into_cni)?;
        let (tunnels, links): (Vec<&Link>, Vec<&Link>) =
            view.links.iter().partition(|link| is_tunnel(&link.name));
        let ways = outside_of(&tunnels, ways);
        let default = default_of(&mut view.survey, &ways)?;
        let reached: Vec<&Egress> = ways.iter().flatten().chain(&default).collect();
        let routes = view.survey.ipv4_routes().map_err(into_cni)?;
        let uplinks = uplinks(&reached, &routes);
        let host = claims::Host { links, held: &held, routes: &routes, uplinks };
        let is_lost = reached.is_empty() && !host.has_address();
        host.check(&others, &ours).map_err(|error| not_here(error, &ours, is_lost))?;
        Ok(Look { view, ours, others, nodes, ways, default, held })
    }

    /// The peers, each with its way.
    pub fn ways(&self) -> impl Iterator<Item = (&Ipv4Addr, &Option<Egress>)> {
        self.nodes.iter().zip(&self.ways)
    }

    /// The ways to the reachable peers, or else the way of the default route.
    pub fn reached(&self) -> Vec<&Egress> {
        self.ways.iter().flatten().chain(&self.default).collect()
    }

    /// The address by which the other nodes know this host. If the list has several entries of this
    /// host, it is that of the entry with containers.
    pub fn listed_address(&self) -> Option<Ipv4Addr> {
        let own = self.ours.iter().find(|peer| !peer.cidrs.is_empty()).or(self.ours.first());
        own.map(|peer| peer.node)
    }

    /// The source of the routes to the peers. If there are several, the tunnel's current one stays,
    /// because the other nodes do not learn of a change.
    pub fn source(&self, now: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        let reached = self.reached();
        let mut sources = reached.iter().filter_map(|way| way.source);
        let first = sources.clone().next();
        sources.find(|source| Some(*source) == now).or(first)
    }

    /// The MTU of a tunnel whose header has this length, and whose packets come from `local`.
    ///
    /// # Errors
    ///
    /// Returns an error if neither a route nor an address determines it.
    pub fn tunnel_mtu(&self, header: u32, local: Option<Ipv4Addr>) -> Result<u32> {
        let mtu = self.view.tunnel_mtu(header, &self.reached(), local);
        mtu.ok_or_else(|| self.unknown("mtu"))
    }

    /// The error of a key of the tunnel that only a route to the peers could determine.
    pub fn unknown(&self, key: &str) -> Error {
        let error = Error::new(
            Code::TRY_AGAIN,
            format!(
                "no peer can be reached and there is no default route, so the tunnel's {key} is \
                 unknown"
            ),
        )
        .details("Make the route to the peers, or set \"local\" and \"mtu\"");
        if self.ours.is_empty() { error.line(NOT_HERE) } else { error }
    }

    /// Whether a link drops packets that arrive on another link than the reverse route uses
    /// (`rp_filter`, RFC 3704). The stricter of the setting for all links and the link's own
    /// applies; a new link has the default.
    ///
    /// # Errors
    ///
    /// Returns an error if the settings cannot be read.
    pub fn is_strict(&self, device: &str) -> Result<bool> {
        let read = |link: &str| {
            let key = format!("ipv4/conf/{link}/rp_filter");
            let text = self.view.survey.sysctl(&key).map_err(into_cni)?;
            Ok(text.and_then(|text| text.parse::<u32>().ok()))
        };
        let own = match read(device)? {
            Some(own) => Some(own),
            None => read("default")?,
        };
        Ok(own.max(read("all")?) == Some(1))
    }

    /// Converts the look into the cluster. `is_direct` tells whether a way reaches its peer
    /// directly.
    pub fn into_cluster(self, external: bool, is_direct: impl Fn(&Egress) -> bool) -> Cluster {
        let links = self.view.direct_links(&self.ways, is_direct);
        let peers = self.others.into_iter().zip(links).collect();
        Cluster { external, ours: self.ours, peers, held: self.held }
    }
}

/// Adds the reason to an error about a list if no entry of the list is this host. If the host has
/// no address at all, its uplink may get its address back in a moment.
fn not_here(error: Error, ours: &[Peer], is_lost: bool) -> Error {
    match (ours.is_empty(), is_lost) {
        (false, _) => error,
        (true, false) => error.line(NOT_HERE),
        (true, true) => error.line(NOT_HERE).with_code(Code::TRY_AGAIN),
    }
}

/// The ways to the nodes, without those through the tunnel itself.
fn outside_of(tunnels: &[&Link], ways: Vec<Option<Egress>>) -> Vec<Option<Egress>> {
    let is_outer = |way: &Egress| tunnels.iter().all(|tunnel| tunnel.index != way.link);
    ways.into_iter().map(|way| way.filter(is_outer)).collect()
}

/// The way of the default route, if no peer is reachable.
fn default_of(survey: &mut Survey, ways: &[Option<Egress>]) -> Result<Option<Egress>> {
    match ways.iter().any(Option::is_some) {
        true => Ok(None),
        false => survey.default_egress().map_err(into_cni),
    }
}

/// The links to the nodes, and those of default routes.
fn uplinks(reached: &[&Egress], routes: &[KnownRoute]) -> BTreeSet<u32> {
    let defaults = routes.iter().filter(|route| route.to.prefix() == 0);
    reached.iter().map(|way| way.link).chain(defaults.filter_map(|it| it.link)).collect()
}

/// The hint for a list without an entry for this host.
const NOT_HERE: &str = "no entry of the list of peers is this host: if one should be, give this \
                        host its address, or correct the entry's \"node\"";
