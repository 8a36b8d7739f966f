use std::collections::HashSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use serde::Serialize;

use super::{At, Collection, Deletion, Kind, Place, Sweep, Veth, attachment, ip};
use crate::error::{Error, Result};
use crate::handle::{Handle, parsed};
use crate::handles::Handles;
use crate::owner::{Mac, Owner};
use crate::rtnl::{Message, Request};

/// The host's neighbour entries for a container's addresses (`ip neighbour`).
///
/// A reused address has a new MAC address; the host would keep sending to the old one until its
/// entry is found stale, after some ten seconds. So ADD replaces the entries and DEL removes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Neighbours {
    /// The link that leads to the container: the bridge.
    pub link: String,
    /// The container's MAC address.
    pub mac: Mac,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether the entries are permanent, because no neighbour on the link would answer a request.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub permanent: bool,
}

impl Kind for Neighbours {
    fn name(&self) -> &'static str {
        "neighbours"
    }

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

    fn about(&self) -> Option<&str> {
        Some(&self.link)
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        at.undo_by_removal();
        let handle = at.handle()?;
        let index = handle.index(&self.link)?;
        for address in &self.addresses {
            let mut message = message(index, *address);
            // Stale: used at once, and verified by the kernel soon after.
            message.header.state =
                if self.permanent { NeighbourState::Permanent } else { NeighbourState::Stale };
            message.attributes.push(NeighbourAttribute::LinkLayerAddress(self.mac.0.to_vec()));
            let request = Request::new(
                format!("set the neighbour {address} on {}", self.link),
                NLM_F_CREATE | NLM_F_REPLACE,
                Message::NewNeighbour(message),
            );
            // The kernel's table for all namespaces is full (`gc_thresh3`). The kernel then
            // resolves the neighbour once it has room, as it does without this entry.
            let full: &[i32] = if self.permanent { &[] } else { &[nix::libc::ENOBUFS] };
            handle.queue(request.tolerate(full));
        }
        Ok(())
    }

    /// A missing entry is a difference only if it is permanent, because the kernel resolves others
    /// again. A wrong entry is always one.
    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        // The object that creates the link reports that it is missing.
        if at.handle()?.link(&self.link)?.is_none() {
            return Ok(vec![]);
        }
        let entries = self.entries(at.handle()?)?;
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

    fn remove(&self, at: &mut At<'_>) -> Result<()> {
        match at.place {
            Place::Pod => Ok(()), // They disappear with the link.
            Place::Host => self.forget(at.handles, at.owner),
        }
    }

    fn looks_at(&self) -> Option<&str> {
        Some(&self.link)
    }

    /// CHECK does not report an entry that the kernel has dropped.
    fn is_there(&self, at: &mut At<'_>) -> bool {
        at.has_link(&self.link) && self.are_known(at).unwrap_or(false)
    }
}

impl Neighbours {
    /// Removes the host's entries. An entry belongs to the attachment if the IPAM plugin holds its
    /// address for the attachment, or if it has the attachment's MAC address: that of ADD, that of
    /// the runtime's result, or the current one of the container's interface.
    fn forget(&self, handles: &mut Handles, owner: &Owner) -> Result<()> {
        let Some(link) = handles.host_link(&self.link)? else { return Ok(()) };
        if link.alias == owner.tag() {
            return Ok(()); // The link belongs to the attachment.
        }
        let mut macs = vec![self.mac, owner.mac("pod")];
        macs.dedup();
        let held = handles.held.clone();
        let mut entries = if held.is_empty() {
            self.entries(&mut handles.host)?
        } else {
            let mut asked = self.addresses.clone();
            asked.extend(held.iter().filter(|held| !self.addresses.contains(held)));
            asked.extend(macs.iter().map(|mac| IpAddr::from(mac.link_local())));
            entries_of(&mut handles.host, link.index, &asked)?
        };
        let others = entries.iter().filter(|(_, mac)| !macs.contains(mac));
        let (ours, others): (Vec<_>, Vec<_>) =
            others.copied().partition(|(address, _)| held.contains(address));
        if !ours.is_empty() {
            // The container has changed its MAC address, and therefore its link-local address.
            let own: Vec<_> = ours.iter().map(|(_, mac)| mac.link_local().into()).collect();
            macs.extend(ours.iter().map(|(_, mac)| *mac));
            entries.extend(entries_of(&mut handles.host, link.index, &own)?);
        } else if held.is_empty()
            && others.iter().any(|(address, _)| self.addresses.contains(address))
        {
            macs.extend(mac_of_pod(handles, owner)?);
        }
        for (address, _) in entries.iter().filter(|(_, mac)| macs.contains(mac)) {
            let message = Message::DelNeighbour(message(link.index, *address));
            let action = format!("remove the neighbour {address} from {}", self.link);
            handles.host.queue(Request::new(action, 0, message).tolerate(GONE));
        }
        Ok(())
    }

    /// The entries on the link.
    fn entries(&self, handle: &mut Handle) -> Result<Vec<(IpAddr, Mac)>> {
        let Some(link) = handle.link(&self.link)? else { return Ok(vec![]) };
        let mut all = NeighbourMessage::default();
        all.attributes.push(NeighbourAttribute::IfIndex(link.index));
        let entries = handle.neighbours(all)?;
        let of_link = entries.iter().filter(|entry| entry.header.ifindex == link.index);
        Ok(of_link.filter_map(read).collect())
    }

    /// Whether the kernel has an entry with the MAC address for each address.
    fn are_known(&self, at: &mut At<'_>) -> Result<bool> {
        let entries = self.entries(at.handle()?)?;
        Ok(self.addresses.iter().all(|address| entries.contains(&(*address, self.mac))))
    }
}

/// The host's entries for these addresses. The cost does not depend on the number of containers on
/// the link.
fn entries_of(host: &mut Handle, link: u32, addresses: &[IpAddr]) -> Result<Vec<(IpAddr, Mac)>> {
    const ACTION: &str = "look for the neighbours of a container";
    let requests = addresses
        .iter()
        .map(|address| Request::new(ACTION, 0, Message::GetNeighbour(message(link, *address))));
    let found = host.get_each(requests.collect(), Error::is_gone)?;
    let found: Vec<_> = found.into_iter().flatten().collect();
    Ok(parsed(ACTION, &found)?.iter().filter_map(read).collect())
}

/// The current MAC address of the container's interface, if it is the other end of the attachment's
/// link on the host.
fn mac_of_pod(handles: &mut Handles, owner: &Owner) -> Result<Option<Mac>> {
    let near = handles.host_link(&owner.host_ifname())?;
    let near = near.filter(|near| near.alias == owner.tag());
    let Some(pod) = handles.pod()? else { return Ok(None) };
    let far = pod.link(&owner.ifname)?;
    Ok(near
        .zip(far)
        .filter(|(near, far)| near.peer == Some(far.index))
        .and_then(|(_, far)| far.mac))
}

impl Sweep for Neighbours {
    /// Removes the entries on the bridge that has the owner's link as a port, if the plan has none
    /// there: the configuration may have changed since ADD.
    fn remove(del: &mut Deletion<'_>) -> Result<()> {
        let tag = del.owner.tag();
        let planned = attachment::planned(del.steps);
        let addresses: Vec<IpAddr> = planned.iter().map(IpNetwork::ip).collect();
        for veth in del.steps.iter().filter_map(|step| step.of_kind::<Veth>()) {
            let near = del.handles.host_link(&veth.name)?.filter(|near| veth.is_ours(near, &tag));
            let Some(bridge) = near.and_then(|near| near.master) else { continue };
            if addresses.is_empty() || is_planned_on(del, bridge)? {
                continue;
            }
            let Some(link) = del.handles.host.link_at(bridge)? else { continue };
            let (mac, addresses) = (veth.peer.mac, addresses.clone());
            let unplanned = Neighbours { link: link.name, mac, addresses, permanent: false };
            unplanned.forget(del.handles, del.owner)?;
        }
        del.handles.host.flush()
    }

    /// Removes the entries of stale attachments, by address and MAC address. Does not find an entry
    /// whose container chose its own MAC address.
    fn collect(gc: &mut Collection<'_>) -> Result<()> {
        if gc.held.is_empty() {
            return Ok(());
        }
        let theirs: HashSet<(IpAddr, Mac)> =
            gc.held.iter().map(|(address, owner)| (*address, owner.mac("pod"))).collect();
        let own = theirs.iter().map(|(_, mac)| (IpAddr::from(mac.link_local()), *mac));
        let theirs: HashSet<(IpAddr, Mac)> = theirs.iter().copied().chain(own).collect();
        let host = &mut gc.handles.host;
        for entry in host.neighbours(NeighbourMessage::default())? {
            let Some((address, _)) = read(&entry).filter(|of| theirs.contains(of)) else {
                continue;
            };
            let message = Message::DelNeighbour(message(entry.header.ifindex, address));
            let action = format!("remove the neighbour {address}");
            host.queue(Request::new(action, 0, message).tolerate(GONE));
        }
        host.flush()
    }
}

/// Whether the plan has neighbours on the host's link with this index.
fn is_planned_on(del: &mut Deletion<'_>, index: u32) -> Result<bool> {
    let on_host = del.steps.iter().filter(|step| step.place == Place::Host);
    for neighbours in on_host.filter_map(|step| step.of_kind::<Neighbours>()) {
        if del.handles.host_link(&neighbours.link)?.is_some_and(|link| link.index == index) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The entry or the link does not exist.
const GONE: &[i32] = &[
    nix::libc::ENOENT,
    nix::libc::ENODEV,
    nix::libc::ENXIO,
    nix::libc::ESRCH,
    nix::libc::EADDRNOTAVAIL,
];

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
