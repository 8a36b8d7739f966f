//! What a namespace is like before anything is planned: which link is the way out, what addresses it has. Plugins whose
//! plan depends on that look first and then plan; nothing here changes anything.

use std::net::IpAddr;
use std::path::Path;

use ipnetwork::IpNetwork;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};

use crate::error::Result;
use crate::link::Link;
use crate::netns::Namespace;
use crate::object::MacvlanMode;
use crate::parent;
use crate::plan::Place;
use crate::side::Side;

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
        let routes = self.side.routes()?.iter();
        let defaults = routes.filter(|route| is_default(route, family));
        let Some(first) = defaults.min_by_key(|route| metric(route)) else { return Ok(None) };
        let (out, source) = (oif(first), source(first));
        let links = self.side.links()?;
        let link = links.into_iter().find(|link| Some(link.index) == out);
        Ok(link.map(|link| (link, source)))
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

/// Whether a route is a default route of the main table for a family.
fn is_default(route: &RouteMessage, family: AddressFamily) -> bool {
    const MAIN: u8 = 254;
    let header = &route.header;
    header.address_family == family
        && header.destination_prefix_length == 0
        && header.table == MAIN
        && header.kind == RouteType::Unicast
}

fn metric(route: &RouteMessage) -> u32 {
    let of = |attribute: &RouteAttribute| match attribute {
        RouteAttribute::Priority(metric) => Some(*metric),
        _ => None,
    };
    route.attributes.iter().find_map(of).unwrap_or_default()
}

fn source(route: &RouteMessage) -> Option<IpAddr> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::PrefSource(RouteAddress::Inet(ip)) => Some((*ip).into()),
        RouteAttribute::PrefSource(RouteAddress::Inet6(ip)) => Some((*ip).into()),
        _ => None,
    })
}

fn oif(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}
