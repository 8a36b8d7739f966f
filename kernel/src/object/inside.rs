//! Links that are only in a container, of any kind. The host sees nothing of them, so DEL and GC
//! find them through the ids of the containers' namespaces.

use std::collections::{HashMap, HashSet};

use netlink_packet_route::link::InfoKind;

use super::{At, Place};
use crate::deletion::Doomed;
use crate::error::Result;
use crate::handle::Handle;
use crate::link::{self, Link};
use crate::netnsid;
use crate::owner::{Mac, Owner};
use crate::sweep::Judge;

/// Removes only a link of the kind that this attachment created, or one without an alias, as the
/// reference suite creates. The path of the namespace may lead to another container by now, so a
/// link without an alias must have the attachment's MAC address, the group of a killed ADD, or an
/// address that the IPAM plugin holds for the attachment.
pub(super) fn remove(at: &mut At<'_>, kind: &InfoKind, name: &str, mac: Mac) -> Result<()> {
    let (tag, group) = (at.owner.tag(), Owner::group(&at.owner.network));
    let names = names(at.owner, name);
    let Some(pod) = at.handles.pod()? else {
        return remove_by_ids(at, kind, name, mac);
    };
    let mut doomed = Vec::new();
    for link in pod.links()?.into_iter().filter(|link| link.kind == kind.to_string()) {
        let is_unmarked = link.alias.is_empty() && names.contains(&link.name);
        if link.alias == tag
            || (is_unmarked
                && (link.mac == Some(mac)
                    || link.group == group
                    || at.handles.holds_ours(&link)?))
        {
            doomed.push(link::delete(&link.name, link.index));
        }
    }
    if doomed.is_empty() {
        // The path may lead to another container by now, while the link still exists in its own.
        return remove_by_ids(at, kind, name, mac);
    }
    let pod = at.handles.handle(Place::Pod)?;
    doomed.into_iter().try_for_each(|request| pod.now(request))
}

/// The names that an owner's link without an alias may have: its own, and the one under which it is
/// created where a link of the host has its own name.
fn names(owner: &Owner, name: &str) -> [String; 2] {
    [name.to_owned(), owner.host_ifname()]
}

/// Without the path of the container's namespace, by the ids of all namespaces.
fn remove_by_ids(at: &mut At<'_>, kind: &InfoKind, name: &str, mac: Mac) -> Result<()> {
    let (tag, group) = (at.owner.tag(), Owner::group(&at.owner.network));
    let names = names(at.owner, name);
    let host = &mut at.handles.host;
    let is_ours = |link: &Link| {
        let is_unfinished = link.alias.is_empty()
            && link.group == group
            && names.contains(&link.name)
            && link.mac == Some(mac);
        link.alias == tag || is_unfinished
    };
    for (id, link) in netnsid::links(host, Some(kind))?.iter().filter(|(_, link)| is_ours(link)) {
        host.now(netnsid::delete(*id, link))?;
    }
    Ok(())
}

/// Whether a container has the owner's link, of a kind or of any.
pub(crate) fn lives(host: &mut Handle, owner: &Owner, kind: Option<&InfoKind>) -> Result<bool> {
    let tag = owner.tag();
    Ok(netnsid::links(host, kind)?.iter().any(|(_, link)| link.alias == tag))
}

/// GC: the stale links of a kind.
pub(super) fn stale(host: &mut Handle, judge: &Judge<'_>, kind: &InfoKind) -> Result<Vec<Doomed>> {
    let links = netnsid::links(host, Some(kind))?;
    let tags: HashMap<String, &Owner> =
        judge.valid.iter().map(|owner| (owner.tag(), owner)).collect();
    // A link without an alias may belong to a valid attachment for which no link has an alias.
    // Otherwise, a killed ADD left it.
    let seen: HashSet<&str> = links.iter().map(|(_, link)| link.alias.as_str()).collect();
    let unseen = tags.iter().filter(|(tag, _)| !seen.contains(tag.as_str()));
    let unseen: HashSet<&str> = unseen.map(|(_, owner)| owner.ifname.as_str()).collect();
    let group = Owner::group(judge.network);
    let is_stale = |link: &Link| match link.alias.as_str() {
        "" => link.group == group && !unseen.contains(link.name.as_str()),
        alias => judge.is_stale(alias),
    };
    let stale: Vec<bool> = links.iter().map(|(_, link)| is_stale(link)).collect();
    let stale = links.into_iter().zip(stale).filter(|(_, is_stale)| *is_stale);
    Ok(stale.map(|((id, link), _)| Doomed { namespace: Some(id), link }).collect())
}
