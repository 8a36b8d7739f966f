//! A look at the host.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use ipnetwork::Ipv4Network;
use kernel::{Egress, Link, Survey};
use libcni::{Error, IfName, Result, ip};

use super::claims::Held;
use super::peers;

/// A value of `local`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Local {
    Address(Ipv4Addr),
    Link(IfName),
}

impl Local {
    /// # Errors
    ///
    /// Returns an error if it is neither an IPv4 address nor the name of an interface.
    pub fn parse(text: &str) -> Result<Local> {
        match ip::address(text) {
            Ok(IpAddr::V4(address)) if peers::is_of_a_host(address) => Ok(Local::Address(address)),
            Ok(IpAddr::V6(_)) => Err(peers::no_ipv6(format!("local {text}"))),
            Ok(_) => Err(Error::config(format!("invalid local address {text}"))),
            Err(_) => IfName::new(text).map(Local::Link).map_err(|error| {
                Error::config(format!("invalid local \"{text}\": {}", error.msg)).details(
                    "Set \"local\" to an address of this host, or to the interface that has it",
                )
            }),
        }
    }
}

/// The host's links and addresses.
pub struct View {
    /// For further queries.
    pub survey: Survey,
    /// Ordered by index.
    pub links: Vec<Link>,
    /// The addresses, each with its link.
    pub held: Held,
    /// The addresses in `held`.
    own: BTreeSet<Ipv4Addr>,
}

impl View {
    /// Looks at the host.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel cannot be queried.
    pub fn new() -> kernel::Result<View> {
        let mut survey = Survey::host()?;
        let mut links = survey.links()?;
        links.sort_by_key(|link| link.index);
        let addresses = survey.ipv4_addresses()?;
        let mut view = View { survey, links, held: Vec::new(), own: BTreeSet::new() };
        for (link, address) in addresses {
            let Some(link) = view.link(link) else { continue };
            view.held.push((link.name.clone(), address));
            view.own.insert(address.ip());
        }
        Ok(view)
    }

    fn link(&self, index: u32) -> Option<&Link> {
        let at = self.links.binary_search_by_key(&index, |link| link.index).ok()?;
        self.links.get(at)
    }

    fn has(&self, address: Ipv4Addr) -> bool {
        self.own.contains(&address)
    }

    /// The MTU of a way.
    fn mtu(&self, way: &Egress) -> Option<u32> {
        let of_link = self.link(way.link)?.mtu;
        Some(if way.mtu == 0 { of_link } else { way.mtu.min(of_link) })
    }

    /// The first address of a link.
    pub fn address_of(&self, name: &str) -> Option<Ipv4Addr> {
        self.held.iter().find(|(link, _)| link == name).map(|(_, held)| held.ip())
    }

    /// The MTU of the link that has an address.
    fn mtu_at(&self, address: Ipv4Addr) -> Option<u32> {
        let (name, _) = self.held.iter().find(|(_, held)| held.ip() == address)?;
        self.links.iter().find(|link| link.name == *name).map(|link| link.mtu)
    }

    /// The MTU of a tunnel whose header has this length, from the routes to the peers, or else from
    /// the link that has the tunnel's source.
    pub fn tunnel_mtu(
        &self,
        header: u32,
        reached: &[&Egress],
        local: Option<Ipv4Addr>,
    ) -> Option<u32> {
        let derived = reached.iter().filter_map(|way| self.mtu(way)).min();
        let egress = derived.or_else(|| self.mtu_at(local?))?;
        Some(egress.saturating_sub(header))
    }

    /// The link that reaches each peer directly, if there is one.
    pub fn direct_links(
        &self,
        ways: &[Option<Egress>],
        is_direct: impl Fn(&Egress) -> bool,
    ) -> Vec<Option<String>> {
        let direct = |way: &Option<Egress>| {
            let way = way.as_ref().filter(|way| is_direct(way))?;
            self.link(way.link).map(|link| link.name.clone())
        };
        ways.iter().map(direct).collect()
    }

    /// The address for `local`.
    ///
    /// # Errors
    ///
    /// Returns an error if this host does not have it.
    pub fn local(&self, wanted: &Local) -> Result<Ipv4Addr> {
        let absent = |msg: String| {
            Err(Error::config(msg).details(
                "Set \"local\" to an address of this host, or to the interface that has it",
            ))
        };
        match wanted {
            Local::Address(address) if self.has(*address) => Ok(*address),
            Local::Address(address) => {
                absent(format!("local {address} is no address of this host"))
            }
            Local::Link(name) => {
                let is_it = |(link, held): &&(String, Ipv4Network)| {
                    link == name.as_str() && peers::is_of_a_host(held.ip())
                };
                match self.held.iter().find(is_it) {
                    Some((_, address)) => Ok(address.ip()),
                    None => absent(format!("local {name} is no interface with an IPv4 address")),
                }
            }
        }
    }
}
