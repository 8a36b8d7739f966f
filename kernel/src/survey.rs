//! What a namespace is like before anything is planned: which link is the way out, what addresses it has. Plugins whose
//! plan depends on that look first and then plan; nothing here changes anything.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use ipnetwork::IpNetwork;
use netlink_packet_core::Parseable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};

use crate::error::{Error, Result};
use crate::link::Link;
use crate::netns::Namespace;
use crate::object::MacvlanMode;
use crate::object::{Key, Route, Sysctl, mtu_of, source_of};
use crate::parent;
use crate::plan::Place;
use crate::rtnl::{Message, Request};
use crate::side::Side;

/// The way that a namespace's packets take to an address (`ip route get ADDRESS`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Egress {
    /// The index of the link they leave by.
    pub link: u32,
    /// The next hop; none if the address is on the link itself.
    pub via: Option<Ipv4Addr>,
    /// The source address that they get here.
    pub source: Option<Ipv4Addr>,
    /// The largest packet, in bytes, as the route says it; 0 leaves it to the link. What was only learnt of the path, and
    /// will be forgotten, does not count.
    pub mtu: u32,
}

/// A route of a namespace's main table, as far as others have to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRoute {
    /// Where it leads.
    pub to: IpNetwork,
    /// The next hop; none if the destination is on the link itself.
    pub via: Option<IpAddr>,
    /// The index of the link; none if there are several.
    pub link: Option<u32>,
    /// Who made it (`/etc/iproute2/rt_protos`).
    pub protocol: u8,
}

/// A look at one network namespace.
#[derive(Debug)]
pub struct Survey {
    side: Side,
}

impl Survey {
    /// Looks at the host's namespace: the one the process is in.
    ///
    /// # Errors
    ///
    /// No netlink socket could be opened.
    pub fn host() -> Result<Survey> {
        Ok(Survey { side: Side::open(Place::Host, None)? })
    }

    /// Looks at a container's namespace.
    ///
    /// # Errors
    ///
    /// The path is not there or is no network namespace.
    pub fn pod(path: &Path) -> Result<Survey> {
        Ok(Survey { side: Side::open(Place::Pod, Some(Namespace::open(path)?))? })
    }

    /// The link of a name, if there is one.
    ///
    /// # Errors
    ///
    /// The kernel would not say.
    pub fn link(&mut self, name: &str) -> Result<Option<Link>> {
        self.side.link(name)
    }

    /// Every link.
    ///
    /// # Errors
    ///
    /// The kernel would not say.
    pub fn links(&mut self) -> Result<Vec<Link>> {
        self.side.links()
    }

    /// The other end of a veth pair that has both ends in this namespace.
    ///
    /// # Errors
    ///
    /// The kernel would not say.
    pub fn other_end(&mut self, name: &str) -> Result<Option<Link>> {
        let Some(near) = self.side.link(name)?.filter(|link| link.kind == "veth") else {
            return Ok(None);
        };
        let is_other = |far: &Link| {
            far.kind == "veth" && near.peer == Some(far.index) && far.peer == Some(near.index)
        };
        Ok(self.side.links()?.into_iter().find(is_other))
    }

    /// The addresses of a link, in the order in which they were given to it.
    ///
    /// # Errors
    ///
    /// The kernel would not say.
    pub fn addresses(&mut self, link: &Link) -> Result<Vec<IpNetwork>> {
        let held = self.side.addresses(link.index)?;
        Ok(held.into_iter().map(|held| held.address).collect())
    }

    /// The way to each address, in the order asked; none where there is no way, or it is the namespace's own. All questions
    /// go out together.
    ///
    /// # Errors
    ///
    /// The kernel would not say.
    pub fn egress(&mut self, to: &[Ipv4Addr]) -> Result<Vec<Option<Egress>>> {
        let ask = |address: &Ipv4Addr| {
            let mut message = RouteMessage::default();
            message.header.address_family = AddressFamily::Inet;
            message.header.destination_prefix_length = 32;
            message.attributes.push(RouteAttribute::Destination(RouteAddress::Inet(*address)));
            Request::new(format!("look for the route to {address}"), 0, Message::GetRoute(message))
        };
        let no_way = |error: &Error| {
            use nix::libc::{EACCES, EHOSTUNREACH, EINVAL, ENETUNREACH};
            [ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL].contains(&error.errno) || error.is_gone()
        };
        let found = self.side.get_each(to.iter().map(ask).collect(), no_way)?;
        found.into_iter().map(|body| body.map_or(Ok(None), |body| Egress::read(&body))).collect()
    }

    /// The source address and the link of what leaves by the first default route.
    ///
    /// # Errors
    ///
    /// The kernel would not say.
    pub fn default_egress(&mut self) -> Result<Option<Egress>> {
        let routes = self.side.routes_in(AddressFamily::Inet, Route::MAIN, None)?;
        let defaults = routes.iter().filter(|route| is_default(route, AddressFamily::Inet));
        let Some(first) = defaults.min_by_key(|route| Key::read(route).priority) else {
            return Ok(None);
        };
        let (key, source) = (Key::read(first), source_of(first).and_then(as_v4));
        if let (None, Some(IpAddr::V4(gateway))) = (source, key.via) {
            return Ok(self.egress(&[gateway])?.into_iter().flatten().next());
        }
        let (Some(link), mtu) = (key.oif, mtu_of(first)) else { return Ok(None) };
        let held = self.side.addresses(link)?.into_iter().map(|held| held.address.ip());
        let source = source.or(held.filter_map(as_v4).next());
        Ok(Some(Egress { link, via: None, source, mtu }))
    }

    /// The routes of both families that lead somewhere, but for the default routes (`ip route; ip -6 route`).
    ///
    /// # Errors
    ///
    /// The kernel would not say.
    pub fn routes(&mut self) -> Result<Vec<KnownRoute>> {
        let mut known = Vec::new();
        for family in [AddressFamily::Inet, AddressFamily::Inet6] {
            let routes = self.side.routes_in(family, Route::MAIN, None)?;
            known.extend(routes.iter().filter_map(KnownRoute::read));
        }
        Ok(known)
    }

    /// A setting below `/proc/sys/net`; none if the kernel does not have it.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn sysctl(&self, key: &str) -> Result<Option<String>> {
        self.side.inside(|| Sysctl::new(key, "").read())
    }

    /// The link that IPv4's first default route leads out of: where the world is.
    ///
    /// # Errors
    ///
    /// The kernel would not say.
    pub fn default_link(&mut self) -> Result<Option<Link>> {
        Ok(self.default_route(AddressFamily::Inet)?.map(|(link, _)| link))
    }

    /// The link that the first default route of a family leads out of, and the source address that it names.
    fn default_route(&mut self, family: AddressFamily) -> Result<Option<(Link, Option<IpAddr>)>> {
        let routes = self.side.routes_in(family, Route::MAIN, None)?;
        let defaults = routes.iter().filter(|route| is_default(route, family));
        let Some(first) = defaults.min_by_key(|route| Key::read(route).priority) else {
            return Ok(None);
        };
        let (out, source) = (Key::read(first).oif, source_of(first));
        let Some(out) = out else { return Ok(None) };
        Ok(self.side.link_at(out)?.map(|link| (link, source)))
    }

    /// The addresses by which others on the wire of `link` know this machine: those of the link, and for a family of
    /// which it has none, the one that the machine has where the world is.
    ///
    /// # Errors
    ///
    /// The kernel would not say.
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

    /// The addresses of a link that mean it everywhere, not only on its own wire.
    fn lasting(&mut self, link: &Link) -> Result<Vec<IpNetwork>> {
        let mut addresses = self.addresses(link)?;
        addresses.retain(|address| match address.ip() {
            IpAddr::V4(ip) => !ip.is_link_local(),
            IpAddr::V6(ip) => !ip.is_unicast_link_local(),
        });
        Ok(addresses)
    }

    /// Whether `parent` can carry macvlan links of a mode, as far as can be known beforehand.
    ///
    /// # Errors
    ///
    /// Why not, and the way out.
    pub fn carries_macvlan(&mut self, parent: &Link, mode: MacvlanMode) -> Result<()> {
        parent::obstacle(&mut self.side, parent, mode)?.map_or(Ok(()), Err)
    }
}

impl KnownRoute {
    fn read(route: &RouteMessage) -> Option<KnownRoute> {
        let key = Key::read(route);
        // A kernel that cannot choose gives the routes of all tables.
        if key.table != Route::MAIN || route.header.kind != RouteType::Unicast {
            return None;
        }
        let to = IpNetwork::new(key.dst?, key.prefix).ok()?;
        Some(KnownRoute { to, via: key.via, link: key.oif, protocol: route.header.protocol.into() })
    }
}

impl Egress {
    /// Reads the kernel's answer; none if the address is the namespace's own.
    fn read(body: &[u8]) -> Result<Option<Egress>> {
        let route = RouteMessage::parse(body)
            .map_err(|error| Error::found("read a route", error.to_string()))?;
        let key = Key::read(&route);
        let Some(link) = key.oif.filter(|_| route.header.kind == RouteType::Unicast) else {
            return Ok(None);
        };
        let expires = |attribute: &RouteAttribute| matches!(attribute, RouteAttribute::CacheInfo(info) if info.expires != 0);
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
