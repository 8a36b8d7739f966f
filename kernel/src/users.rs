//! The networks whose containers use a bridge. Removing the bridge's address would disconnect them,
//! so remedies depend on them.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::handle::Handle;
use crate::link::{self, Link};
use crate::owner::Owner;

/// The ports of a bridge, by network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users {
    /// The number of ports of the network in question.
    pub own: usize,
    /// The number of ports of each other network.
    pub others: BTreeMap<String, usize>,
    /// The number of ports without a mark: of another suite, of virtual machines, or network cards.
    pub unknown: usize,
}

impl Users {
    /// Counts the ports of a bridge, for a network.
    pub(crate) fn of(handle: &mut Handle, bridge: u32, network: &str) -> Result<Users> {
        let ports = handle.dump("list the ports of a bridge", link::ports_of(bridge))?;
        // A kernel that cannot filter returns all links.
        let ports = ports.iter().map(|body| Link::read(body));
        Ok(Users::among(ports.filter(|port| port.master == Some(bridge)), network))
    }

    /// Counts ports, for a network.
    pub fn among(ports: impl IntoIterator<Item = Link>, network: &str) -> Users {
        let mut users = Users::default();
        for port in ports {
            match Owner::of_tag(&port.alias) {
                // The gateway link in a VLAN belongs to no network.
                Some(owner) if owner.network.is_empty() => {}
                Some(_) if Owner::tag_is_of_network(&port.alias, network) => users.own += 1,
                Some(owner) => *users.others.entry(owner.network).or_default() += 1,
                None => users.unknown += 1,
            }
        }
        users
    }

    /// The containers that would be disconnected if the bridge lost its address, and a remedy;
    /// `None` if there are none.
    pub fn instead(&self, bridge: &str, address: impl std::fmt::Display) -> Option<String> {
        let counted = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        };
        let mut using: Vec<String> = self
            .others
            .iter()
            .map(|(name, count)| {
                format!("{} of the network \"{name}\"", counted(*count, "container"))
            })
            .collect();
        if self.unknown > 0 {
            using.push(format!("{} of unknown owners", counted(self.unknown, "port")));
        }
        if !using.is_empty() {
            return Some(format!(
                "{address} is in use on {bridge}, by {}. Give this network another \"bridge\", or \
                 the subnet and the gateway that {bridge} has.",
                using.join(" and ")
            ));
        }
        (self.own > 0).then(|| {
            format!(
                "{address} is in use on {bridge}, by {} of this network. Go back to the subnet \
                 that they have, or delete them before you remove the address: ip address del \
                 {address} dev {bridge}",
                counted(self.own, "container")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(aliases: &[&str]) -> Users {
        let port = |alias: &&str| Link { alias: (*alias).to_owned(), ..Link::default() };
        Users::among(aliases.iter().map(port), "red")
    }

    #[test]
    fn ports_are_counted_by_network() {
        assert_eq!(users(&["ferrocni:/cni0/cni0.100"]).instead("cni0", "10.1.0.1/24"), None);
        let own = users(&["ferrocni:red/c1/eth0"]).instead("cni0", "10.1.0.1/24").unwrap();
        assert!(own.contains("by 1 container of this network. Go back"), "{own}");
        let all = users(&[
            "ferrocni:red/c1/eth0",
            "ferrocni:blue/c2/eth0",
            "ferrocni:blue/c3/eth0",
            "tap0",
        ]);
        let all = all.instead("cni0", "10.1.0.1/24").unwrap();
        assert!(
            all.starts_with(
                "10.1.0.1/24 is in use on cni0, by 2 containers of the network \"blue\" and 1 port \
                 of unknown owners. Give this network another \"bridge\""
            ),
            "{all}"
        );
        assert!(!all.contains("ip address del"), "{all}");
    }
}
