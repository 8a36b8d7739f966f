use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use serde::{Deserialize, Serialize};

use super::{At, Kind, Place, Undo, ip};
use crate::error::{Error, Result};
use crate::owner::Mac;
use crate::rtnl::{Message, Request};
use crate::side::parsed;

/// What the host knows of a container's addresses (`ip neighbour`).
///
/// An address that is used again comes with a new MAC; the host would go on sending to the old one until its entry
/// is found stale, some ten seconds. So ADD replaces the entries and DEL removes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbours {
    /// The link behind which the container is: the bridge.
    pub link: String,
    /// The container's MAC address.
    pub mac: Mac,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether the entries are never asked for again: nobody on the link would answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub permanent: bool,
}

impl Kind for Neighbours {
    fn show(&self, place: Place) -> String {
        let lines = self.addresses.iter().map(|address| {
            format!(
                "{} neighbour replace {address} lladdr {} nud {} dev {}",
                ip(place),
                self.mac,
                if self.permanent { "permanent" } else { "stale" },
                self.link
            )
        });
        lines.collect::<Vec<_>>().join(" && ")
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        at.undo.push(Undo::Step(at.place, Box::new(self.clone().into())));
        let side = at.side()?;
        let index = side.index(&self.link)?;
        for address in &self.addresses {
            let mut message = message(index, *address);
            // Stale: used at once, and asked for by the kernel itself soon after.
            message.header.state =
                if self.permanent { NeighbourState::Permanent } else { NeighbourState::Stale };
            message.attributes.push(NeighbourAttribute::LinkLayerAddress(self.mac.0.to_vec()));
            side.queue(Request::new(
                format!("set the neighbour {address} on {}", self.link),
                NLM_F_CREATE | NLM_F_REPLACE,
                Message::NewNeighbour(message),
            ));
        }
        Ok(())
    }

    /// A cache that lost an entry fills itself again; only a wrong one is a difference, and a permanent one that is not
    /// there.
    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        // That the link is gone is the difference of the object that made it.
        if at.side()?.link(&self.link)?.is_none() {
            return Ok(vec![]);
        }
        let entries = self.entries(at)?;
        let Neighbours { link, mac, addresses, .. } = self;
        let difference = |address: &IpAddr| match entries.iter().find(|(of, _)| of == address) {
            Some((_, seen)) if seen == mac => None,
            Some((_, seen)) => {
                Some(format!("neighbour {address} on {link} has the MAC {seen} instead of {mac}"))
            }
            None if self.permanent => Some(format!("neighbour {address} on {link} is gone")),
            None => None,
        };
        Ok(addresses.iter().filter_map(difference).collect())
    }

    /// The addresses may not be known any more; the MAC always is.
    fn remove(&self, at: &mut At<'_>) -> Result<()> {
        if at.place == Place::Pod {
            return Ok(()); // They go with the link.
        }
        let Some(link) = at.sides.host_link(&self.link)? else { return Ok(()) };
        let entries = match self.addresses.as_slice() {
            [] => self.entries(at)?,
            addresses => self.entries_of(at, link.index, addresses)?,
        };
        for (address, _) in entries.iter().filter(|(_, mac)| *mac == self.mac) {
            let message = Message::DelNeighbour(message(link.index, *address));
            let action = format!("remove the neighbour {address} from {}", self.link);
            at.side()?.queue(Request::new(action, 0, message).tolerate(GONE));
        }
        Ok(())
    }
}

/// The entry is gone, or the link.
const GONE: &[i32] = &[
    nix::libc::ENOENT,
    nix::libc::ENODEV,
    nix::libc::ENXIO,
    nix::libc::ESRCH,
    nix::libc::EADDRNOTAVAIL,
];

impl Neighbours {
    /// The host's entries for these addresses, and for the one that every link gives itself. What they cost does not
    /// depend on how many containers the link leads to.
    fn entries_of(
        &self,
        at: &mut At<'_>,
        link: u32,
        addresses: &[IpAddr],
    ) -> Result<Vec<(IpAddr, Mac)>> {
        const ACTION: &str = "look for the neighbours of a container";
        let own = IpAddr::from(self.mac.link_local());
        let requests = addresses
            .iter()
            .chain([&own])
            .map(|address| Request::new(ACTION, 0, Message::GetNeighbour(message(link, *address))));
        let found = at.side()?.get_each(requests.collect(), Error::is_gone)?;
        let found: Vec<_> = found.into_iter().flatten().collect();
        Ok(parsed(ACTION, &found)?.iter().filter_map(read).collect())
    }

    /// The host's entries behind the link.
    fn entries(&self, at: &mut At<'_>) -> Result<Vec<(IpAddr, Mac)>> {
        let side = at.side()?;
        let Some(link) = side.link(&self.link)? else { return Ok(vec![]) };
        let mut all = NeighbourMessage::default();
        all.attributes.push(NeighbourAttribute::IfIndex(link.index));
        let entries = side.neighbours(all)?;
        let of_link = entries.iter().filter(|entry| entry.header.ifindex == link.index);
        Ok(of_link.filter_map(read).collect())
    }
}

fn message(index: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family =
        if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.ifindex = index;
    message.attributes.push(NeighbourAttribute::Destination(match address {
        IpAddr::V4(ip) => NeighbourAddress::Inet(ip),
        IpAddr::V6(ip) => NeighbourAddress::Inet6(ip),
    }));
    message
}

fn read(entry: &NeighbourMessage) -> Option<(IpAddr, Mac)> {
    let (mut address, mut mac) = (None, None);
    for attribute in &entry.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => {
                address = Some(IpAddr::V4(*ip))
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => {
                address = Some(IpAddr::V6(*ip))
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                mac = bytes.as_slice().try_into().ok().map(Mac)
            }
            _ => {}
        }
    }
    Some((address?, mac?))
}
