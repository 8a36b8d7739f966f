use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol,
};
use rtnetlink::AddressMessageBuilder;
use serde::{Deserialize, Serialize};

use super::{At, Kind, Mode, Place, Route, connected, ip};
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::handles::Handles;
use crate::link;
use crate::owner::Mac;
use crate::rtnl::{Message, Request};
use crate::users::Users;

/// An address of a link (`ip address`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Address {
    /// The link that has it.
    pub link: String,
    /// The address with the prefix length of its subnet.
    pub address: IpNetwork,
    /// Whether the kernel first checks for another owner (IPv6 duplicate address detection, RFC
    /// 4862), which keeps the address unusable for about a second.
    pub dad: bool,
    /// Whether the address comes without a route to its subnet (`noprefixroute`): the subnet is not
    /// on the link.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub noprefixroute: bool,
    /// The treatment of conflicting addresses that the link already has. Only for shared links.
    pub conflict: Conflict,
}

/// The treatment of another address of the same family on a shared link.
///
/// Any other IPv4 address is a conflict, and so is an IPv6 address whose subnet overlaps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Conflict {
    /// Both addresses stay.
    #[default]
    Keep,
    /// The plan fails.
    Refuse,
    /// The other address is removed; a repair keeps both.
    Replace,
}

impl Address {
    /// An address that is usable at once, with a route to its subnet, in addition to those of the
    /// link.
    pub fn new(link: impl Into<String>, address: IpNetwork) -> Address {
        let conflict = Conflict::Keep;
        Address { link: link.into(), address, dad: false, noprefixroute: false, conflict }
    }
}

impl Kind for Address {
    fn name(&self) -> &'static str {
        "address"
    }

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

    fn about(&self) -> Option<&str> {
        Some(&self.link)
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        let handle = at.handle()?;
        let index = handle.index(&self.link)?;
        if !at.is_shared() {
            at.handle()?.queue(self.request(index).tolerate(&[nix::libc::EEXIST]));
            return self.reconnect(at);
        }
        let held = at.handle()?.addresses(index)?;
        if held.iter().any(|held| held.address == self.address) {
            return self.reconnect(at);
        }
        let network = &at.owner.network;
        for other in held.iter().filter(|held| self.conflicts_with(held.address)) {
            if self.conflict == Conflict::Refuse {
                let handle = at.handles.handle(at.place)?;
                return Err(self.refusal(handle, index, other.address, network));
            }
            // Live containers use the other address. Both can stay, and a repair removes nothing.
            if at.mode == Mode::Add {
                at.handle()?.queue(remove(&self.link, index, other.address));
            }
        }
        let added = at.handle()?.now(self.request(index));
        if added.as_ref().err().is_none_or(Error::is_unanswered) {
            let (name, address) = (self.link.clone(), self.address);
            at.undo_shared(&self.link, move |host, link| {
                host.now(remove(&name, link.index, address))
            });
        }
        match added {
            Err(error) if error.is_taken() => return Ok(()),
            added => added?,
        }
        self.freeze_mac(at, index)
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let Some(link) = at.handle()?.link(&self.link)? else { return Ok(vec![]) };
        let held = at.handle()?.addresses(link.index)?;
        Ok(match held.iter().find(|held| held.address == self.address) {
            None => vec![format!("address {} is not on {}", self.address, self.link)],
            Some(held) if held.duplicate => {
                vec![format!("address {} of {} is in use elsewhere", self.address, self.link)]
            }
            // With noprefixroute, another route leads to the subnet. The reference's ptp instead
            // deletes the kernel's route.
            Some(held) if self.noprefixroute || held.noprefixroute => vec![],
            Some(_) => {
                let gone = connected::missing(at.handle()?, &link, self.address)?;
                gone.map(|route| format!("route {} is gone", route.named())).into_iter().collect()
            }
        })
    }
}

impl Address {
    /// Checks that a shared link of the host would accept the address for `network`, as far as can
    /// be known beforehand.
    ///
    /// # Errors
    ///
    /// Returns an error if a conflicting address is on the link, or if the kernel refuses the
    /// request.
    pub fn fits(&self, network: &str) -> Result<()> {
        let handle = &mut Handles::host_only()?.host;
        let Some(link) = handle.link(&self.link)? else { return Ok(()) };
        let held = handle.addresses(link.index)?;
        if self.conflict != Conflict::Refuse || held.iter().any(|it| it.address == self.address) {
            return Ok(());
        }
        match held.iter().find(|held| self.conflicts_with(held.address)) {
            Some(other) => Err(self.refusal(handle, link.index, other.address, network)),
            None => Ok(()),
        }
    }

    /// In a repair, adds only the missing route to the subnet.
    fn reconnect(&self, at: &mut At<'_>) -> Result<()> {
        if at.mode != Mode::Repair || self.noprefixroute {
            return Ok(());
        }
        let handle = at.handle()?;
        let link = handle.existing(&self.link)?;
        if let Some(route) = connected::missing(handle, &link, self.address)? {
            handle.queue(route.request(link.index, 0)?);
        }
        Ok(())
    }

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

    /// As [`Address::request`], with a mark that distinguishes it from other programs' addresses on
    /// the link (`proto`). Kernels before 5.18 ignore it.
    pub(super) fn marked(&self, index: u32) -> Request {
        let mut request = self.request(index);
        if let Message::NewAddress(message) = &mut request.message {
            message.attributes.push(AddressAttribute::Protocol(Route::PROTOCOL.into()));
        }
        request
    }

    /// Whether another address of the same link conflicts with this one.
    pub fn conflicts_with(&self, other: IpNetwork) -> bool {
        match (self.conflict, self.address, other) {
            (Conflict::Keep, ..) => false,
            (_, ours, theirs) if ours == theirs => false,
            (_, IpNetwork::V4(_), IpNetwork::V4(_)) => true,
            (_, IpNetwork::V6(ours), IpNetwork::V6(theirs)) => {
                ours.contains(theirs.network()) || theirs.contains(ours.network())
            }
            _ => false,
        }
    }

    /// The error about a conflicting address, with a remedy that disconnects no container.
    fn refusal(&self, handle: &mut Handle, index: u32, other: IpNetwork, network: &str) -> Error {
        let error = Error::found(
            format!("give {} the address {}", self.link, self.address),
            format!(
                "\"{}\" already has an IP address different from {}: {other}",
                self.link, self.address
            ),
        );
        let hint = match Users::of(handle, index, network) {
            Err(why) => format!("cannot find out which containers use {other}: {why}"),
            Ok(users) => users.instead(&self.link, other).unwrap_or_else(|| {
                format!(
                    "{} has no ports. If {other} is left over from an older configuration, remove \
                     it (ip address del {other} dev {}) or set \"forceAddress\": true.",
                    self.link, self.link
                )
            }),
        };
        error.hint(hint)
    }

    /// A bridge that another program created without a fixed MAC address keeps its current one.
    fn freeze_mac(&self, at: &mut At<'_>, index: u32) -> Result<()> {
        let handle = at.handle()?;
        let found = handle.existing(&self.link)?;
        if let Some(mac) = found.mac.filter(|_| found.kind == "bridge") {
            let message = link::with_index(index).address(mac.0.to_vec()).build();
            handle.queue(link::set(format!("keep the MAC of {}", self.link), message));
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

/// The link-local IPv6 address of a new bridge, as the kernel would add it.
///
/// The kernel adds it when the bridge first has a carrier. A port whose other end is down may give
/// the bridge a carrier for a moment, depending on which of the kernel's work queues is faster.
pub(super) fn link_local(link: &str, index: u32, mac: Mac) -> Request {
    /// The length of the prefix of such addresses (RFC 4291, section 2.5.6).
    const PREFIX: u8 = 64;
    let address = mac.link_local();
    let mut message =
        AddressMessageBuilder::<Ipv6Addr>::new().index(index).address(address, PREFIX).build();
    message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    message.attributes.push(AddressAttribute::Protocol(AddressProtocol::LinkLocal));
    let action = format!("add the address {address} to {link}");
    // IPv6 may be disabled, for new links or in the whole kernel.
    Request::new(action, NLM_F_CREATE | NLM_F_EXCL, Message::NewAddress(message)).tolerate(&[
        nix::libc::EEXIST,
        nix::libc::EACCES,
        nix::libc::EOPNOTSUPP,
        nix::libc::EAFNOSUPPORT,
    ])
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
