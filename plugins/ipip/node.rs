//! This node: what the configuration wants of it, and what a look at it says.

use std::net::{IpAddr, Ipv4Addr};

use ipnetwork::{IpNetwork, Ipv4Network};
use kernel::{Egress, Link, RouteSet, Survey, Tunnel};
use libcni::{Addresses, Error, IfName, Result, Route, code, ip};

use crate::peers::{self, Peer};

/// What the configuration says, checked.
#[derive(Debug)]
pub struct Wanted {
    pub device: String,
    pub local: Option<Local>,
    /// 0 leaves it to the routes.
    pub mtu: u32,
    pub cross_subnet: bool,
    pub external: bool,
    pub peers: Vec<Peer>,
}

/// How `local` is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Local {
    Address(Ipv4Addr),
    Link(IfName),
}

impl Local {
    /// # Errors
    ///
    /// It is neither an IPv4 address nor the name of an interface.
    pub fn parse(text: &str) -> Result<Local> {
        match ip::address(text) {
            Ok(IpAddr::V4(address)) if peers::is_of_a_host(address) => Ok(Local::Address(address)),
            Ok(IpAddr::V6(_)) => Err(peers::no_ipv6(format!("local {text}"))),
            Ok(_) => Err(Error::config(format!("invalid local address {text}"))),
            Err(_) => IfName::new(text).map(Local::Link).map_err(|error| {
                Error::config(format!("invalid local \"{text}\": {}", error.msg))
                    .details("it is an address of this host, or the interface that has it")
            }),
        }
    }
}

/// This node, as one call sees it.
#[derive(Debug)]
pub struct Node {
    pub device: String,
    /// Where the tunnel's packets come from; none if that makes no difference.
    pub local: Option<Ipv4Addr>,
    /// The largest packet inside the tunnel.
    pub mtu: u32,
    /// Whether the tunnel's filter of sources is stricter than the routes allow.
    pub needs_loose_filter: bool,
    external: bool,
    /// The peers that are not this host, each with the link on which it is reached directly.
    peers: Vec<(Peer, Option<String>)>,
    /// The host's own IPv4 addresses, each with its link.
    held: Vec<(String, Ipv4Network)>,
}

/// What a look at the host shows.
struct View {
    survey: Survey,
    links: Vec<Link>,
    held: Vec<(String, Ipv4Network)>,
}

impl View {
    fn new() -> kernel::Result<View> {
        let mut survey = Survey::host()?;
        let links = survey.links()?;
        let mut held = Vec::new();
        for link in &links {
            let ipv4 = |address| match address {
                IpNetwork::V4(address) => Some((link.name.clone(), address)),
                IpNetwork::V6(_) => None,
            };
            held.extend(survey.addresses(link)?.into_iter().filter_map(ipv4));
        }
        Ok(View { survey, links, held })
    }

    fn link(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    fn has(&self, address: Ipv4Addr) -> bool {
        self.held.iter().any(|(_, held)| held.ip() == address)
    }

    /// The largest packet that goes this way.
    fn mtu(&self, way: &Egress) -> Option<u32> {
        let of_link = self.link(way.link)?.mtu;
        Some(if way.mtu == 0 { of_link } else { way.mtu.min(of_link) })
    }

    /// The largest packet of the link that has an address.
    fn mtu_at(&self, address: Ipv4Addr) -> Option<u32> {
        let (name, _) = self.held.iter().find(|(_, held)| held.ip() == address)?;
        self.links.iter().find(|link| link.name == *name).map(|link| link.mtu)
    }

    /// The address that `local` means.
    fn local(&self, wanted: &Local) -> Result<Ipv4Addr> {
        let absent = |msg: String| {
            Err(Error::config(msg)
                .details("\"local\" is an address of this host, or the interface that has it"))
        };
        match wanted {
            Local::Address(address) if self.has(*address) => Ok(*address),
            Local::Address(address) => {
                absent(format!("local {address} is no address of this host"))
            }
            Local::Link(name) => match self.held.iter().find(|(link, _)| link == name.as_str()) {
                Some((_, address)) => Ok(address.ip()),
                None => absent(format!("local {name} is no interface with an IPv4 address")),
            },
        }
    }
}

impl Node {
    /// Looks at the host and puts together what the configuration leaves open.
    ///
    /// # Errors
    ///
    /// What does not go together, or cannot be found out.
    pub fn survey(wanted: Wanted) -> Result<Node> {
        let mut view = View::new().map_err(ferrocni::into_cni)?;
        let (ours, others): (Vec<Peer>, Vec<Peer>) =
            wanted.peers.into_iter().partition(|peer| view.has(peer.node));
        let nodes: Vec<Ipv4Addr> = others.iter().map(|peer| peer.node).collect();
        let ways = view.survey.egress(&nodes).map_err(ferrocni::into_cni)?;
        let tunnel =
            view.links.iter().find(|link| link.name == wanted.device).map(|link| link.index);
        // What the tunnel itself carries is no way to a node.
        let ways: Vec<Option<Egress>> =
            ways.into_iter().map(|way| way.filter(|way| Some(way.link) != tunnel)).collect();
        let default = match ways.iter().any(Option::is_some) {
            true => None,
            false => view.survey.default_egress().map_err(ferrocni::into_cni)?,
        };
        let reached: Vec<&Egress> = ways.iter().flatten().chain(&default).collect();

        let local = wanted.local.as_ref().map(|local| view.local(local)).transpose()?;
        if let Some(local) = local.filter(|_| wanted.device == Tunnel::FALLBACK) {
            check_fallback(local, &reached)?;
        }
        let chosen = reached.iter().find_map(|way| way.source);
        let local = local.or(chosen).or(ours.first().map(|peer| peer.node));
        let derived = reached.iter().filter_map(|way| view.mtu(way)).min();
        let derived = derived.or(local.and_then(|local| view.mtu_at(local)));
        let mtu = match (wanted.mtu, derived) {
            (0, Some(egress)) => egress.saturating_sub(Tunnel::HEADER),
            (0, None) => return Err(no_way("mtu")),
            (mtu, _) => mtu,
        };
        if local.is_none() && wanted.device != Tunnel::FALLBACK {
            return Err(no_way("local"));
        }

        let direct = |way: &Option<Egress>| {
            let way = way.as_ref().filter(|way| wanted.cross_subnet && way.via.is_none())?;
            view.link(way.link).map(|link| link.name.clone())
        };
        let links: Vec<Option<String>> = ways.iter().map(direct).collect();
        let needs_loose_filter = wanted.cross_subnet && is_strict(&view.survey, &wanted.device)?;
        let held = view.held.into_iter().filter(|(link, _)| *link != wanted.device).collect();
        let node = Node {
            device: wanted.device,
            local,
            mtu,
            needs_loose_filter,
            external: wanted.external,
            peers: others.into_iter().zip(links).collect(),
            held,
        };
        node.check_nodes(&ours)?;
        Ok(node)
    }

    /// Refuses peers whose containers' addresses include a node's own: the route would lead to itself.
    fn check_nodes(&self, ours: &[Peer]) -> Result<()> {
        let nodes = self.peers.iter().map(|(peer, _)| peer).chain(ours).map(|peer| peer.node);
        let nodes: Vec<Ipv4Addr> = nodes.collect();
        for (node, cidr) in self.cidrs() {
            if let Some(inside) = nodes.iter().find(|inside| cidr.contains(**inside)) {
                return Err(covers(cidr, node, &format!("the node {inside}")));
            }
        }
        Ok(())
    }

    /// Refuses peers whose routes would take packets away from this host or from its own containers.
    ///
    /// # Errors
    ///
    /// Which peer, and what it covers.
    pub fn check_pod(&self, addresses: &Addresses) -> Result<()> {
        for (node, cidr) in self.cidrs() {
            if let Some((link, own)) = self.held.iter().find(|(_, own)| cidr.contains(own.ip())) {
                return Err(covers(cidr, node, &format!("{own} of {link} on this host")));
            }
        }
        for pod in addresses.ips() {
            let (IpNetwork::V4(own), gateway) = (pod.address, pod.gateway) else { continue };
            // Where all of the subnet is on a link here, no part of it can be elsewhere.
            let is_on_link = self.held.iter().any(|(_, held)| {
                held.prefix() < 32 && held.overlaps(own) && held.prefix() <= own.prefix()
            });
            for (node, cidr) in self.cidrs() {
                let has = |address: IpAddr| matches!(address, IpAddr::V4(address) if cidr.contains(address));
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

    fn cidrs(&self) -> impl Iterator<Item = (Ipv4Addr, Ipv4Network)> {
        self.peers.iter().flat_map(|(peer, _)| peer.cidrs.iter().map(|cidr| (peer.node, *cidr)))
    }

    /// The routes of this node to the peers' containers.
    pub fn routes(&self, network: &str) -> Vec<kernel::Route> {
        if self.external {
            return Vec::new();
        }
        let mut routes = Vec::new();
        for (peer, direct) in &self.peers {
            for cidr in &peer.cidrs {
                let link = direct.as_ref().unwrap_or(&self.device);
                let route = kernel::Route {
                    via: Some(peer.node.into()),
                    onlink: direct.is_none(),
                    ..kernel::Route::new(link, (*cidr).into())
                };
                routes.push(RouteSet::route(network, route));
            }
        }
        routes
    }

    /// The routes that a container needs to peers' containers where none of its own leads to its gateway.
    ///
    /// # Errors
    ///
    /// It has no gateway.
    pub fn uncovered(&self, addresses: &Addresses) -> Result<Vec<Route>> {
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        let is_ipv4 = true;
        let covers = |dst: &IpNetwork, cidr: Ipv4Network| matches!(dst, IpNetwork::V4(dst) if dst.prefix() <= cidr.prefix() && dst.contains(cidr.network()));
        let left = self.cidrs().map(|(_, cidr)| cidr).filter(|cidr| {
            !addresses.routes().iter().any(|route| covers(&route.dst, *cidr))
                && !addresses.ips().iter().any(|ip| covers(&ip.address, *cidr))
        });
        let gateway = addresses.gateway(is_ipv4);
        left.map(|cidr| match gateway {
            Some(gateway) => Ok(Route::new(cidr.into(), Some(gateway))),
            None => {
                Err(Error::config(format!("the container has no route to {cidr}, and no gateway"))
                    .details("set isGateway in the bridge before it, or give its \"ipam\" routes"))
            }
        })
        .collect()
    }
}

/// The kernel's fallback device sends from whatever address the route says.
fn check_fallback(local: Ipv4Addr, reached: &[&Egress]) -> Result<()> {
    let other = reached.iter().filter_map(|way| way.source).find(|source| *source != local);
    other.map_or(Ok(()), |other| {
        Err(Error::config(format!(
            "local is {local}, but {} sends from {other} to the peers",
            Tunnel::FALLBACK
        ))
        .details(format!(
            "{} cannot have an address to send from: give \"device\" another name, for a tunnel of its own",
            Tunnel::FALLBACK
        )))
    })
}

/// Whether the tunnel drops what comes in by another way than it would go out (`rp_filter`, RFC 3704): the stricter of the
/// setting for all links and that of the link counts, and a new link has the default.
fn is_strict(survey: &Survey, device: &str) -> Result<bool> {
    let read = |link: &str| {
        let key = format!("ipv4/conf/{link}/rp_filter");
        let text = survey.sysctl(&key).map_err(ferrocni::into_cni)?;
        Ok(text.and_then(|text| text.parse::<u32>().ok()))
    };
    let own = match read(device)? {
        Some(own) => Some(own),
        None => read("default")?,
    };
    Ok(own.max(read("all")?) == Some(1))
}

fn covers(cidr: Ipv4Network, node: Ipv4Addr, what: &str) -> Error {
    Error::config(format!("podCIDR {cidr} of the peer {node} covers {what}")).details(
        "a route to it would cut that off, so nothing was changed: correct the list of peers",
    )
}

fn no_way(key: &str) -> Error {
    Error::new(
        code::TRY_AGAIN,
        format!(
            "no peer can be reached and there is no default route, so the tunnel's {key} is unknown"
        ),
    )
    .details("make the route to the peers, or give \"local\" and \"mtu\"")
}
