//! The host's links to macvlan containers, by their network: the objects that DEL and GC remove
//! although no plan names them.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::InfoKind;
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};

use crate::error::Result;
use crate::handle::Handle;
use crate::link::{self, Link};
use crate::lock::Locks;
use crate::object::Route;
use crate::object::route::{Key, delete as delete_route};
use crate::owner::{Owner, SHIM_PREFIX};
use crate::rtnl::{Message, Request};

/// The time limit for other calls that may be about to use a link that is to be deleted.
const PATIENCE: Duration = Duration::from_secs(2);
/// The pause before the next look at whether they use it.
const PAUSE: Duration = Duration::from_millis(20);

/// The network's shims.
fn of_network(host: &mut Handle, network: &str) -> Result<Vec<Link>> {
    let group = Owner::group(network);
    let links = host.dump("list the macvlan interfaces", link::of_kind(&InfoKind::MacVlan))?;
    let links = links.iter().map(|body| Link::read(body)).filter(|link| {
        link.kind == "macvlan" && link.group == group && link.name.starts_with(SHIM_PREFIX)
    });
    Ok(links.collect())
}

/// A shim's name and the routes over it: the attachment's number and the destination of each.
type Routes = (String, Vec<(u32, String)>);

/// The routes over each of the network's shims.
pub(super) fn routes(host: &mut Handle, network: &str) -> Result<Vec<Routes>> {
    let mut all = Vec::new();
    for shim in of_network(host, network)? {
        let routes = host.routes_over(shim.index, Route::PROTOCOL)?;
        let keys = routes.iter().map(Key::read);
        let to = |key: Key| (key.priority, key.dst.map_or_else(String::new, |to| to.to_string()));
        all.push((shim.name, keys.map(to).collect()));
    }
    Ok(all)
}

/// Removes the routes of attachments whose number `is_stale`, and the neighbours they lead to.
pub(super) fn forget(
    host: &mut Handle,
    network: &str,
    is_stale: &dyn Fn(u32) -> bool,
) -> Result<()> {
    for shim in of_network(host, network)? {
        let routes = host.routes_over(shim.index, Route::PROTOCOL)?;
        let (stale, kept): (Vec<_>, Vec<_>) =
            routes.iter().partition(|route| is_stale(Key::read(route).priority));
        for route in stale {
            host.queue(delete_route(route.clone()));
            // The address may belong to another attachment by now.
            let Some(to) = Key::read(route).dst else { continue };
            if !kept.iter().any(|other| Key::read(other).dst == Some(to)) {
                host.queue(delete_neighbour(to, &shim));
            }
        }
        host.flush()?;
    }
    Ok(())
}

/// Deletes the network's shims that no attachment uses. Skipped while another call may be about to
/// use them; the next DEL or GC then deletes them.
pub(super) fn sweep(host: &mut Handle, network: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let locks = Locks::open()?;
    if !locks.are_usable() {
        return Ok(());
    }
    for shim in of_network(host, network)? {
        while is_unused(host, &shim)? && Instant::now() < deadline {
            let Some(_lock) = locks.take_host(PAUSE) else { continue };
            // Read again, now that no other call is in progress.
            if is_unused(host, &shim)? {
                host.now(link::delete(&shim.name, shim.index))?;
            }
            break;
        }
    }
    Ok(())
}

fn is_unused(host: &mut Handle, shim: &Link) -> Result<bool> {
    Ok(host.routes_over(shim.index, Route::PROTOCOL)?.is_empty())
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
