//! The host's links to macvlan containers, by their network: what DEL and GC remove without a plan that names them.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::InfoKind;
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};

use crate::error::Result;
use crate::link::{self, Link};
use crate::netns::Namespace;
use crate::object::{Key, Route, delete_route};
use crate::owner::{Owner, SHIM_PREFIX};
use crate::rtnl::{Message, Request};
use crate::side::Side;

/// How long to wait for those who may be about to use a link that is to be deleted.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long to wait before it is looked whether they use it by now.
const PAUSE: Duration = Duration::from_millis(20);

/// The network's shims.
fn of_network(host: &mut Side, network: &str) -> Result<Vec<Link>> {
    let group = Owner::group(network);
    let links = host.dump("list the macvlan interfaces", link::of_kind(&InfoKind::MacVlan))?;
    let links = links.iter().map(|body| Link::read(body)).filter(|link| {
        link.kind == "macvlan" && link.group == group && link.name.starts_with(SHIM_PREFIX)
    });
    Ok(links.collect())
}

/// Removes the routes of attachments whose number `is_stale`, and the neighbours they lead to.
pub(crate) fn forget(host: &mut Side, network: &str, is_stale: &dyn Fn(u32) -> bool) -> Result<()> {
    for shim in of_network(host, network)? {
        let routes = host.routes_over(shim.index, Route::PROTOCOL)?;
        let (stale, kept): (Vec<_>, Vec<_>) =
            routes.iter().partition(|route| is_stale(Key::read(route).priority));
        for route in stale {
            host.queue(delete_route(route.clone()));
            // The address may have come to another attachment since.
            let Some(to) = Key::read(route).dst else { continue };
            if !kept.iter().any(|other| Key::read(other).dst == Some(to)) {
                host.queue(delete_neighbour(to, &shim));
            }
        }
        host.flush()?;
    }
    Ok(())
}

/// Deletes the network's shims that no attachment uses any more, unless somebody may be about to: then the next DEL or
/// GC does.
pub(crate) fn sweep(host: &mut Side, network: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    for shim in of_network(host, network)? {
        while is_unused(host, &shim)? && Instant::now() < deadline {
            let Some(_lock) = Namespace::current()?.lock_exclusive(PAUSE) else { continue };
            // Looked at again, now that nobody is on the way.
            if is_unused(host, &shim)? {
                host.now(link::delete(&shim.name, shim.index))?;
            }
            break;
        }
    }
    Ok(())
}

fn is_unused(host: &mut Side, shim: &Link) -> Result<bool> {
    Ok(host.routes_over(shim.index, Route::PROTOCOL)?.is_empty())
}

/// GC: removes what belongs to attachments of `network` other than `valid`.
pub(crate) fn collect(host: &mut Side, network: &str, valid: &[Owner]) -> Result<()> {
    let valid: Vec<u32> = valid.iter().map(Owner::number).collect();
    forget(host, network, &|number| !valid.contains(&number))?;
    sweep(host, network)
}

fn delete_neighbour(address: IpAddr, shim: &Link) -> Request {
    let mut message = NeighbourMessage::default();
    let (family, address) = match address {
        IpAddr::V4(ip) => (AddressFamily::Inet, NeighbourAddress::Inet(ip)),
        IpAddr::V6(ip) => (AddressFamily::Inet6, NeighbourAddress::Inet6(ip)),
    };
    message.header.family = family;
    message.header.ifindex = shim.index;
    message.attributes.push(NeighbourAttribute::Destination(address));
    let action = format!("remove a neighbour from {}", shim.name);
    Request::new(action, 0, Message::DelNeighbour(message)).tolerate(&[
        nix::libc::ENOENT,
        nix::libc::ENODEV,
        nix::libc::EINVAL,
        nix::libc::ENXIO,
    ])
}
