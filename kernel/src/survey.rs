//! The state of a namespace before a plan is made, such as its default link and its addresses. A
//! plugin whose plan depends on it reads it first. Nothing here changes anything.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use ipnetwork::{IpNetwork, Ipv4Network};
use netlink_packet_core::Parseable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};

use crate::error::{Error, Result};
use crate::fib;
use crate::handle::Handle;
use crate::link::{Link, MacvlanMode};
use crate::netns::{Namespace, Place};
use crate::object::{Key, Route, mtu_of, ports_of_network, source_of};
use crate::owner::Owner;
use crate::parent;
use crate::rtnl::{Message, Request};
use crate::sysctl::Sysctl;

/// The route that a namespace's packets take to an address (`ip route get ADDRESS`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Egress {
    /// The index of the outgoing link.
    pub link: u32,
    /// The next hop; `None` if the address is on the link itself.
    pub via: Option<Ipv4Addr>,
    /// The source address of packets from this namespace.
    pub source: Option<Ipv4Addr>,
    /// The MTU of the route in bytes; 0 leaves it to the link. A temporary path MTU does not count.
    pub mtu: u32,
}

/// The relevant properties of a route in a namespace's main table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRoute {
    /// The destination.
    pub to: IpNetwork,
    /// The next hop; `None` if the destination is on the link itself.
    pub via: Option<IpAddr>,
    /// The index of the link; `None` if there are several.
    pub link: Option<u32>,
    /// The program that created it (`/etc/iproute2/rt_protos`).
    pub protocol: u8,
}

/// An IPv4 route over a link, in the main table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteOver {
    /// The destination.
    pub to: Ipv4Network,
    /// The next hop; `None` if the destination is on the link itself.
    pub via: Option<Ipv4Addr>,
    /// The program that created it (`/etc/iproute2/rt_protos`).
    pub protocol: u8,
}

/// A reader of one network namespace.
#[derive(Debug)]
pub struct Survey {
    pub(crate) handle: Handle,
}

impl Survey {
    /// Opens the host's namespace, which is that of the process.
    ///
    /// # Errors
    ///
    /// Returns an error if no netlink socket can be opened.
    pub fn host() -> Result<Survey> {
        Ok(Survey { handle: Handle::open(Place::Host, None)? })
    }

    /// Opens a container's namespace.
    ///
    /// # Errors
    ///
    /// Returns an error if the path does not exist or is not a network namespace.
    pub fn pod(path: &Path) -> Result<Survey> {
        Ok(Survey { handle: Handle::open(Place::Pod, Some(Namespace::open(path)?))? })
    }

    /// The link with this name, if it exists.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>> {
        self.handle.link(name)
    }

    /// Every link.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request.
    pub fn links(&mut self) -> Result<Vec<Link>> {
        self.handle.links()
    }

    /// The other end of a veth pair that has both ends in this namespace.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request.
    pub fn other_end(&mut self, name: &str) -> Result<Option<Link>> {
        let Some(near) = self.handle.link(name)?.filter(|link| link.kind == "veth") else {
            return Ok(None);
        };
        let is_other = |far: &Link| {
            far.kind == "veth" && near.peer == Some(far.index) && far.peer == Some(near.index)
        };
        Ok(self.handle.links()?.into_iter().find(is_other))
    }

    /// The addresses of a link, in the order in which they were added.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request.
    pub fn addresses(&mut self, link: &Link) -> Result<Vec<IpNetwork>> {
        let held = self.handle.addresses(link.index)?;
        Ok(held.into_iter().map(|held| held.address).collect())
    }

    /// The IPv4 routes over a link, including the default route (`ip route show dev LINK`).
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request.
    pub fn routes_over(&mut self, link: &Link) -> Result<Vec<RouteOver>> {
        let routes = fib::all(&mut self.handle)?;
        let is_over = |route: &&fib::Fib| {
            route.table == Route::MAIN && route.link == link.index && route.is_unicast()
        };
        let read = |route: &fib::Fib| {
            let to = Ipv4Network::new(route.to.first.into(), route.to.length).ok()?;
            let via = Some(route.via).filter(|via| !via.is_unspecified());
            Some(RouteOver { to, via, protocol: route.protocol })
        };
        Ok(routes.iter().filter(is_over).filter_map(read).collect())
    }

    /// Every IPv4 address, each with the index of its link (`ip -4 address`).
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request.
    pub fn ipv4_addresses(&mut self) -> Result<Vec<(u32, Ipv4Network)>> {
        let held = self.handle.all_addresses(AddressFamily::Inet)?;
        let ipv4 = |(link, address)| match address {
            IpNetwork::V4(address) => Some((link, address)),
            IpNetwork::V6(_) => None,
        };
        Ok(held.into_iter().filter_map(ipv4).collect())
    }

    /// Whether the namespace accepts packets to an address as its own. It does not for the
    /// addresses of a link that is down, which therefore cannot be the source of a route.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request.
    pub fn is_own(&mut self, address: IpAddr) -> Result<bool> {
        let (family, prefix, to) = match address {
            IpAddr::V4(ip) => (AddressFamily::Inet, 32, RouteAddress::Inet(ip)),
            IpAddr::V6(ip) => (AddressFamily::Inet6, 128, RouteAddress::Inet6(ip)),
        };
        let mut message = RouteMessage::default();
        message.header.address_family = family;
        message.header.destination_prefix_length = prefix;
        message.attributes.push(RouteAttribute::Destination(to));
        let request =
            Request::new(format!("look for the route to {address}"), 0, Message::GetRoute(message));
        let found = self.handle.get_each(vec![request], is_no_way)?;
        Ok(found.into_iter().flatten().any(|body| {
            RouteMessage::parse(&body).is_ok_and(|route| route.header.kind == RouteType::Local)
        }))
    }

    /// The route to each address, in the given order; `None` if there is no route, or if the
    /// address is the namespace's own.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses a request.
    pub fn egress(&mut self, to: &[Ipv4Addr]) -> Result<Vec<Option<Egress>>> {
        /// Up to this number of addresses, a request for each costs less than reading all routes.
        const FEW: usize = 32;
        if to.len() <= FEW {
            return self.ask_egress(to);
        }
        let addresses: Vec<u32> = to.iter().map(|address| u32::from(*address)).collect();
        let alike = fib::alike(&mut self.handle, &addresses)?;
        let is_first = |(at, first): &(usize, &usize)| at == *first;
        let (places, asked): (Vec<usize>, Vec<Ipv4Addr>) = (alike.iter().enumerate())
            .filter(is_first)
            .filter_map(|(at, _)| Some((at, *to.get(at)?)))
            .unzip();
        let ways = self.ask_egress(&asked)?;
        let way = |first| ways.get(places.binary_search(first).ok()?)?.clone();
        Ok(alike.iter().map(way).collect())
    }

    /// As [`Survey::egress`], with a request for each address, all sent together.
    fn ask_egress(&mut self, to: &[Ipv4Addr]) -> Result<Vec<Option<Egress>>> {
        let ask = |address: &Ipv4Addr| {
            let mut message = RouteMessage::default();
            message.header.address_family = AddressFamily::Inet;
            message.header.destination_prefix_length = 32;
            message.attributes.push(RouteAttribute::Destination(RouteAddress::Inet(*address)));
            Request::new(format!("look for the route to {address}"), 0, Message::GetRoute(message))
        };
        let found = self.handle.get_each(to.iter().map(ask).collect(), is_no_way)?;
        found.into_iter().map(|body| body.map_or(Ok(None), |body| Egress::read(&body))).collect()
    }

    /// The source address and the link of packets that take the first default route.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request.
    pub fn default_egress(&mut self) -> Result<Option<Egress>> {
        let routes = self.handle.routes_in(AddressFamily::Inet, Route::MAIN, None)?;
        let defaults = routes.iter().filter(|route| is_default(route, AddressFamily::Inet));
        let Some(first) = defaults.min_by_key(|route| Key::read(route).priority) else {
            return Ok(None);
        };
        let (key, source) = (Key::read(first), source_of(first).and_then(as_v4));
        if let (None, Some(IpAddr::V4(gateway))) = (source, key.via) {
            return Ok(self.egress(&[gateway])?.into_iter().flatten().next());
        }
        let (Some(link), mtu) = (key.oif, mtu_of(first)) else { return Ok(None) };
        let held = self.handle.addresses(link)?.into_iter().map(|held| held.address.ip());
        let source = source.or(held.filter_map(as_v4).next());
        Ok(Some(Egress { link, via: None, source, mtu }))
    }

    /// The unicast routes of both families, except the default routes (`ip route; ip -6 route`).
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request.
    pub fn routes(&mut self) -> Result<Vec<KnownRoute>> {
        let mut known = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let routes = self.handle.routes_in(family, Route::MAIN, None)?;
            known.extend(routes.iter().filter_map(KnownRoute::read));
        }
        Ok(known)
    }

    /// The IPv4 unicast routes, including default routes (`ip route`).
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request.
    pub fn ipv4_routes(&mut self) -> Result<Vec<KnownRoute>> {
        let routes = fib::all(&mut self.handle)?;
        Ok(routes.iter().filter_map(KnownRoute::of).collect())
    }

    /// A setting below `/proc/sys/net`; `None` if the kernel does not have it.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be read.
    pub fn sysctl(&self, key: &str) -> Result<Option<String>> {
        self.handle.inside(|| Sysctl::new(key, "").read())
    }

    /// The outgoing link of the first IPv4 default route.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request.
    pub fn default_link(&mut self) -> Result<Option<Link>> {
        Ok(self.default_route(AddressFamily::Inet)?.map(|(link, _)| link))
    }

    /// The outgoing link of a family's first default route, and the source address in the route.
    fn default_route(&mut self, family: AddressFamily) -> Result<Option<(Link, Option<IpAddr>)>> {
        let routes = self.handle.routes_in(family, Route::MAIN, None)?;
        let defaults = routes.iter().filter(|route| is_default(route, family));
        let Some(first) = defaults.min_by_key(|route| Key::read(route).priority) else {
            return Ok(None);
        };
        let (out, source) = (Key::read(first).oif, source_of(first));
        let Some(out) = out else { return Ok(None) };
        Ok(self.handle.link_at(out)?.map(|link| (link, source)))
    }

    /// The addresses by which other hosts on the network of `link` know this host: those of the
    /// link, and for a family without one, the host's address on the link of the default route.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request.
    pub fn known_by(&mut self, link: &Link) -> Result<Vec<IpNetwork>> {
        let mut known = self.lasting(link)?;
        for (family, is_ipv4) in [(AddressFamily::Inet, true), (AddressFamily::Inet6, false)] {
            if known.iter().any(|address| address.is_ipv4() == is_ipv4) {
                continue;
            }
            match self.default_route(family)? {
                Some((_, Some(source))) => known.push(source.into()),
                Some((out, None)) => {
                    let mut there = self.lasting(&out)?.into_iter();
                    known.extend(there.find(|address| address.is_ipv4() == is_ipv4));
                }
                None => {}
            }
        }
        Ok(known)
    }

    /// The addresses of a link that are valid beyond its own network.
    fn lasting(&mut self, link: &Link) -> Result<Vec<IpNetwork>> {
        let mut addresses = self.addresses(link)?;
        addresses.retain(|address| match address.ip() {
            IpAddr::V4(ip) => !ip.is_link_local(),
            IpAddr::V6(ip) => !ip.is_unicast_link_local(),
        });
        Ok(addresses)
    }

    /// Checks that `parent` can carry macvlan links of a mode, as far as can be known beforehand.
    ///
    /// # Errors
    ///
    /// Returns an error with the reason and a remedy if it cannot.
    pub fn carries_macvlan(&mut self, parent: &Link, mode: MacvlanMode) -> Result<()> {
        parent::obstacle(&mut self.handle, parent, mode)?.map_or(Ok(()), Err)
    }
}

impl Survey {
    /// The MTU of the containers of the owner's network on a bridge, if it differs from `most` and
    /// a repair must change it: a new container with a different MTU would lose the others' packets
    /// or its own. `None` if there are no others.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request.
    pub fn mtu_of_others(
        &mut self,
        bridge: &Link,
        most: u32,
        owner: &Owner,
    ) -> Result<Option<u32>> {
        if !bridge.is_fitted() || bridge.mtu == bridge.original_mtu().min(most) {
            return Ok(None);
        }
        let (ports, tag) =
            (ports_of_network(&mut self.handle, bridge, &owner.network)?, owner.tag());
        Ok(ports.iter().any(|port| port.alias != tag).then_some(bridge.mtu))
    }
}

impl KnownRoute {
    fn of(route: &fib::Fib) -> Option<KnownRoute> {
        if route.table != Route::MAIN || !route.is_unicast() {
            return None;
        }
        let to = Ipv4Network::new(route.to.first.into(), route.to.length).ok()?.into();
        let via = Some(route.via).filter(|via| !via.is_unspecified()).map(IpAddr::V4);
        let link = Some(route.link).filter(|link| *link != 0);
        Some(KnownRoute { to, via, link, protocol: route.protocol })
    }

    fn read(route: &RouteMessage) -> Option<KnownRoute> {
        let key = Key::read(route);
        // A kernel that cannot filter reports the routes of all tables.
        if key.table != Route::MAIN || route.header.kind != RouteType::Unicast {
            return None;
        }
        let to = IpNetwork::new(key.dst?, key.prefix).ok()?;
        Some(KnownRoute { to, via: key.via, link: key.oif, protocol: route.header.protocol.into() })
    }
}

impl Egress {
    /// Parses the kernel's answer; `None` if the address is the namespace's own.
    fn read(body: &[u8]) -> Result<Option<Egress>> {
        let route = RouteMessage::parse(body)
            .map_err(|error| Error::found("read a route", error.to_string()))?;
        let key = Key::read(&route);
        let Some(link) = key.oif.filter(|_| route.header.kind == RouteType::Unicast) else {
            return Ok(None);
        };
        let expires = |attribute: &RouteAttribute| match attribute {
            RouteAttribute::CacheInfo(info) => info.expires != 0,
            _ => false,
        };
        let is_learnt = route.attributes.iter().any(expires);
        let mtu = if is_learnt { 0 } else { mtu_of(&route) };
        Ok(Some(Egress {
            link,
            via: key.via.and_then(as_v4),
            source: source_of(&route).and_then(as_v4),
            mtu,
        }))
    }
}

/// Whether the kernel's answer is that there is no route to an address.
fn is_no_way(error: &Error) -> bool {
    use nix::libc::{EACCES, EHOSTUNREACH, EINVAL, ENETUNREACH};
    [ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL].contains(&error.errno) || error.is_gone()
}

fn as_v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

/// Whether a route is a default route of the main table for a family.
fn is_default(route: &RouteMessage, family: AddressFamily) -> bool {
    const MAIN: u8 = 254;
    let header = &route.header;
    header.address_family == family
        && header.destination_prefix_length == 0
        && header.table == MAIN
        && header.kind == RouteType::Unicast
}
