use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use rtnetlink::AddressMessageBuilder;
use serde::{Deserialize, Serialize};

use super::{At, Kind, Place, Undo, ip};
use crate::error::{Error, Result};
use crate::link;
use crate::rtnl::{Message, Request};

/// An address of a link (`ip address`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// The link that has it.
    pub link: String,
    /// The address with the prefix length of its subnet.
    pub address: IpNetwork,
    /// Whether the kernel looks for another owner first (IPv6 duplicate address detection, RFC 4862), which keeps the
    /// address unusable for a second or so.
    pub dad: bool,
    /// Whether the address comes without a route to its subnet (`noprefixroute`): the subnet is not on the link.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub noprefixroute: bool,
    /// What becomes of addresses that the link has already and that do not go with this one. Only for shared links.
    #[serde(default)]
    pub conflict: Conflict,
}

/// What to do about another address of the same kind on a shared link.
///
/// Another IPv4 address is a conflict, and an IPv6 address whose subnet overlaps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Conflict {
    /// Both stay.
    #[default]
    Keep,
    /// It is an error.
    Refuse,
    /// The other one goes.
    Replace,
}

impl Address {
    /// An address that is used at once, with a route to its subnet, beside whatever the link has.
    pub fn new(link: impl Into<String>, address: IpNetwork) -> Address {
        let conflict = Conflict::Keep;
        Address { link: link.into(), address, dad: false, noprefixroute: false, conflict }
    }
}

impl Kind for Address {
    fn show(&self, place: Place) -> String {
        let mut line = format!("{} address add {} dev {}", ip(place), self.address, self.link);
        if self.address.is_ipv6() && !self.dad {
            line += " nodad";
        }
        if self.noprefixroute {
            line += " noprefixroute";
        }
        line
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        let side = at.side()?;
        let index = side.index(&self.link)?;
        if !at.is_shared() {
            at.side()?.queue(self.request(index).tolerate(&[nix::libc::EEXIST]));
            return Ok(());
        }
        let held = at.side()?.addresses(index)?;
        if held.iter().any(|held| held.address == self.address) {
            return Ok(());
        }
        for other in held.iter().filter(|held| self.conflicts_with(held.address)) {
            if self.conflict == Conflict::Refuse {
                return Err(self.refusal(other.address));
            }
            at.side()?.queue(remove(&self.link, index, other.address));
        }
        match at.side()?.now(self.request(index)) {
            Err(error) if error.is_taken() => return Ok(()),
            done => done?,
        }
        at.undo.push(Undo::SharedAddress(self.link.clone(), self.address));
        self.freeze_mac(at, index)
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let Some(link) = at.side()?.link(&self.link)? else { return Ok(vec![]) };
        let held = at.side()?.addresses(link.index)?;
        Ok(match held.iter().find(|held| held.address == self.address) {
            None => vec![format!("address {} is not on {}", self.address, self.link)],
            Some(held) if held.duplicate => {
                vec![format!("address {} of {} is in use elsewhere", self.address, self.link)]
            }
            Some(_) => vec![],
        })
    }
}

impl Address {
    pub(super) fn request(&self, index: u32) -> Request {
        let mut message = message(index, self.address);
        if let IpNetwork::V4(network) = self.address
            && network.prefix() < 31
        {
            message.attributes.push(AddressAttribute::Broadcast(network.broadcast()));
        }
        let mut flags = AddressFlags::empty();
        flags.set(AddressFlags::Nodad, self.address.is_ipv6() && !self.dad);
        flags.set(AddressFlags::Noprefixroute, self.noprefixroute);
        if !flags.is_empty() {
            message.attributes.push(AddressAttribute::Flags(flags));
        }
        Request::new(
            format!("add the address {} to {}", self.address, self.link),
            NLM_F_CREATE | NLM_F_EXCL,
            Message::NewAddress(message),
        )
    }

    fn conflicts_with(&self, other: IpNetwork) -> bool {
        match (self.conflict, self.address, other) {
            (Conflict::Keep, ..) => false,
            (_, IpNetwork::V4(_), IpNetwork::V4(_)) => true,
            (_, IpNetwork::V6(ours), IpNetwork::V6(theirs)) => {
                ours.contains(theirs.network()) || theirs.contains(ours.network())
            }
            _ => false,
        }
    }

    fn refusal(&self, other: IpNetwork) -> Error {
        Error::found(
            format!("give {} the address {}", self.link, self.address),
            format!("\"{}\" already has an IP address different from {}: {other}", self.link, self.address),
        )
        .hint(format!(
            "if {other} is left over from an older configuration, remove it (ip address del {other} dev {}) or set \
             \"forceAddress\": true",
            self.link
        ))
    }

    /// A bridge that somebody made without a MAC address of its own keeps the one it has now.
    fn freeze_mac(&self, at: &mut At<'_>, index: u32) -> Result<()> {
        let side = at.side()?;
        let found = side.existing(&self.link)?;
        if let Some(mac) = found.mac.filter(|_| found.kind == "bridge") {
            let message = link::with_index(index).address(mac.0.to_vec()).build();
            side.queue(link::set(format!("keep the MAC of {}", self.link), message));
        }
        Ok(())
    }
}

/// `ip address del ADDRESS dev LINK`
pub(crate) fn remove(link: &str, index: u32, address: IpNetwork) -> Request {
    let message = Message::DelAddress(message(index, address));
    Request::new(format!("remove the address {address} from {link}"), 0, message)
        .tolerate(&[nix::libc::EADDRNOTAVAIL])
}

fn message(index: u32, address: IpNetwork) -> AddressMessage {
    let prefix = address.prefix();
    match address.ip() {
        IpAddr::V4(ip) => {
            AddressMessageBuilder::<Ipv4Addr>::new().index(index).address(ip, prefix).build()
        }
        IpAddr::V6(ip) => {
            AddressMessageBuilder::<Ipv6Addr>::new().index(index).address(ip, prefix).build()
        }
    }
}
