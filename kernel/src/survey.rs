//! What a namespace is like before anything is planned: which link is the way out, what addresses it has. Plugins whose
//! plan depends on that look first and then plan; nothing here changes anything.

use std::path::Path;

use ipnetwork::IpNetwork;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteType};

use crate::error::Result;
use crate::link::Link;
use crate::netns::Namespace;
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
        let defaults = self.side.routes()?.iter().filter(|route| is_default(route));
        let first = defaults.min_by_key(|route| metric(route)).and_then(oif);
        let links = self.side.links()?;
        Ok(links.into_iter().find(|link| Some(link.index) == first))
    }
}

/// Whether a route is a default route of the main table for IPv4.
fn is_default(route: &RouteMessage) -> bool {
    const MAIN: u8 = 254;
    let header = &route.header;
    header.address_family == AddressFamily::Inet
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

fn oif(route: &RouteMessage) -> Option<u32> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    })
}
