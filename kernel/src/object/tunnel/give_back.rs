//! The end of a network's tunnels, at GC and when the network gets another one.

use netlink_packet_route::link::InfoKind;
use netlink_packet_route::route::{RouteAttribute, RouteProtocol};

use super::Tunnel;
use crate::error::Result;
use crate::handle::{Handle, HeldAddress};
use crate::link::{self, Link};
use crate::object::Route;
use crate::object::address::remove as remove_address;
use crate::object::way::Way;
use crate::owner::Owner;
use crate::sweep::{Collection, Of, Stale, Sweep};
use crate::sysctl::Sysctl;

impl Sweep for Tunnel {
    /// Deletes the tunnels that an ADD created, and restores those that it found.
    fn collect(gc: &mut Collection<'_>) -> Result<()> {
        if !gc.is_network_gone() {
            return Ok(());
        }
        let (host, network) = (&mut gc.handles.host, gc.judge.network);
        of_network(host, network)?.iter().try_for_each(|link| give_back(host, network, link))
    }

    fn stale(gc: &mut Collection<'_>, _found: &[Stale]) -> Result<Vec<Stale>> {
        if !gc.is_network_gone() {
            return Ok(Vec::new());
        }
        let tunnels = of_network(&mut gc.handles.host, gc.judge.network)?.into_iter();
        let stale = |link: Link| Stale::new(format!("the tunnel {}", link.name), Of::Network);
        Ok(tunnels.map(stale).collect())
    }
}

/// The tunnels of a network.
fn of_network(handle: &mut Handle, network: &str) -> Result<Vec<Link>> {
    let links = handle.dump("list the tunnels", link::of_kind(&InfoKind::IpIp))?;
    let links = links.iter().map(|body| Link::read(body));
    Ok(links.filter(|link| is_of(link, network)).collect())
}

/// Whether a link is a network's tunnel. A tunnel whose ADD was killed before it could set the
/// alias is identified by its group, and so is the fallback device if another program has
/// overwritten its alias.
pub(crate) fn is_of(link: &Link, network: &str) -> bool {
    let is_in_group = link.group == Owner::group(network);
    let may_be_nameless = link.alias.is_empty() || link.name == Tunnel::FALLBACK;
    link.kind == "ipip"
        && (link.alias == Owner::network_tag(network) || (may_be_nameless && is_in_group))
}

/// Deletes a tunnel that an ADD of the network created. A tunnel that existed before, such as the
/// fallback device, which the kernel does not delete, loses only the network's settings. If no
/// other program uses it, it is then as the kernel creates it.
pub(crate) fn give_back(handle: &mut Handle, network: &str, link: &Link) -> Result<()> {
    let (is_fallback, is_in_group) =
        (link.name == Tunnel::FALLBACK, link.group == Owner::group(network));
    if is_in_group && !is_fallback {
        return handle.now(link::delete(&link.name, link.index));
    }
    let mut held = handle.addresses(link.index)?;
    held.retain(|held| held.address.is_ipv4());
    let ours = ours_of(&held);
    let has_foreign_alias = !link.alias.is_empty() && link.alias != Owner::network_tag(network);
    let has_foreign_address = ours.len() < held.len();
    let has_foreign_route = carries_routes_of_others(handle, link)?;
    let is_used = has_foreign_alias || has_foreign_address || has_foreign_route;
    // When a link loses its last address, the kernel deletes all routes over it.
    if has_foreign_address || !has_foreign_route {
        for held in &ours {
            handle.queue(remove_address(&link.name, link.index, held.address));
        }
    }
    let mut message = link::with_index(link.index);
    if !has_foreign_alias {
        message = message.alias("");
    }
    if is_in_group {
        message = message.link_group(0);
    }
    if !is_used {
        message = message.down();
        if is_fallback {
            message = message.mtu(Tunnel::FALLBACK_MTU);
        }
    }
    handle.now(link::set(format!("restore the tunnel {}", link.name), message.build()))?;
    if is_used { Ok(()) } else { restore_filter(&link.name) }
}

/// The network's addresses of a tunnel, which are those with our mark. A kernel before 5.18 keeps
/// no mark, and an older release set none; then the first address is the network's, because a
/// tunnel with addresses is not adopted.
fn ours_of(held: &[HeldAddress]) -> Vec<HeldAddress> {
    let is_marked = |held: &&HeldAddress| held.protocol == Route::PROTOCOL;
    let marked: Vec<HeldAddress> = held.iter().filter(is_marked).copied().collect();
    if marked.is_empty() { held.iter().take(1).copied().collect() } else { marked }
}

/// Whether other programs' routes lead over a link. The kernel's own routes are those of its
/// addresses.
fn carries_routes_of_others(handle: &mut Handle, link: &Link) -> Result<bool> {
    let over = RouteAttribute::Oif(link.index);
    let mut others =
        handle.routes()?.iter().filter(|route| route.header.protocol != RouteProtocol::Kernel);
    Ok(others
        .any(|route| Way::all_of(route).iter().any(|way| way.route.attributes.contains(&over))))
}

/// Restores the reverse path filter if a network has loosened it. A network does so only if the
/// stricter of the link's own setting and the setting for all links was 1 (see
/// `plugins/src/ipip/node.rs`), so if the latter is 0, the former was 1.
fn restore_filter(link: &str) -> Result<()> {
    let key = |of: &str| format!("ipv4/conf/{of}/rp_filter");
    let read = |of: &str| Sysctl::new(key(of), "").read();
    let [own, all, default] = [read(link)?, read("all")?, read("default")?];
    let before = match (own.as_deref(), all.as_deref(), default) {
        (Some("2"), Some("1"), Some(default)) if default != "2" => default,
        (Some("2"), Some("0"), Some(default)) if default != "2" => "1".to_owned(),
        _ => return Ok(()),
    };
    Sysctl::optional(key(link), before).ensure()
}
