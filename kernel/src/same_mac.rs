//! A requested MAC address must be unique on a bridge: the bridge sends frames to the port where it
//! last saw the address, so both containers would lose packets. Two interfaces of one container may
//! have the same address (a bond, for example): whichever receives a frame, the container accepts
//! it for the addresses of both.

use netlink_packet_route::link::LinkAttribute;
use nix::libc::{EACCES, EINVAL, ENODEV};

use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::link::{self, Link};
use crate::netns::Place;
use crate::owner::{Mac, Owner};
use crate::rtnl::{Message, Request};

/// Refuses a MAC address for `owner` that the bridge has, or one of its ports, or a live container
/// behind a port. If the bridge separates VLANs, each VLAN may have the address once, so only
/// containers of the same network count.
///
/// It sends one request for each port, so call it only for a requested address: derived ones
/// differ.
///
/// # Errors
///
/// Returns an error that names the holder of the address, or if the kernel refuses.
pub fn refuse_same_mac(bridge: &str, mac: Mac, owner: &Owner) -> Result<()> {
    let mut host = Handle::open(Place::Host, None)?;
    let Some(bridge) = host.link(bridge)? else { return Ok(()) };
    let Some(holder) = holder(&mut host, &bridge, mac, owner)? else { return Ok(()) };
    Err(Error::found(
        format!("give {owner} the MAC address {mac}"),
        format!("{holder} has the same MAC address on {}", bridge.name),
    )
    .hint(format!("Give one of the two another MAC address, or remove {holder}.")))
}

fn holder(host: &mut Handle, bridge: &Link, mac: Mac, owner: &Owner) -> Result<Option<String>> {
    if bridge.mac == Some(mac) {
        return Ok(Some(format!("the bridge {}", bridge.name)));
    }
    let ports = host.dump("list the ports of a bridge", link::ports_of(bridge.index))?;
    let tag = owner.tag();
    let is_of_container = |port: &Link| {
        Owner::of_tag(&port.alias).is_some_and(|other| other.container == owner.container)
    };
    let concerns = |port: &Link| {
        // A kernel that cannot filter reports all links.
        port.master == Some(bridge.index)
            && port.alias != tag
            && !is_of_container(port)
            && (!bridge.vlan_filtering || Owner::tag_is_of_network(&port.alias, &owner.network))
    };
    let mut ports: Vec<Link> = ports.iter().map(|body| Link::read(body)).collect();
    ports.retain(concerns);
    if let Some(port) = ports.iter().find(|port| port.mac == Some(mac)) {
        return Ok(Some(format!("the interface {} of the host", port.name)));
    }
    ports.retain(|port| port.kind == "veth");
    let asked = ports.iter().filter_map(|port| Some(other_end(port.peer?, port.namespace)));
    let asked: Vec<Request> = asked.collect();
    ports.retain(|port| port.peer.is_some());
    // The container no longer exists, or its user namespace denies access.
    let is_none = |error: &Error| [ENODEV, EINVAL, EACCES].contains(&error.errno);
    let ends = host.get_each(asked, is_none)?;
    let mut pairs = ports.into_iter().zip(ends);
    let holder =
        pairs.find(|(_, end)| end.as_ref().is_some_and(|body| Link::read(body).mac == Some(mac)));
    Ok(holder.map(|(port, _)| match port.alias.is_empty() {
        true => format!("the container behind {}", port.name),
        false => port.alias,
    }))
}

/// `ip link show`, by the index, in the namespace with an id or in this one.
fn other_end(index: u32, namespace: Option<i32>) -> Request {
    let mut message = link::with_index(index).build();
    message.attributes.extend(namespace.map(LinkAttribute::IfNetnsId));
    Request::new("look at a container's end of a veth pair", 0, Message::GetLink(message))
}
