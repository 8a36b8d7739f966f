//! Rules of iptables by their container. Programs are run only if they have work to do.

use ipnetwork::IpNetwork;

use crate::error::Result;
use crate::iptables;
use crate::nft::IptablesFamily;
use crate::object::attachment;
use crate::owner::Owner;
use crate::sweep::{Collection, Deletion, Of, Stale};

/// The container's interfaces on one network share its chain. While the container has another
/// interface there, this removes only the rules of these addresses.
pub(super) fn remove(del: &mut Deletion<'_>) -> Result<()> {
    let mut addresses = attachment::planned(del.steps);
    let is_unknown = del.handles.held.is_empty();
    addresses.extend(del.handles.held.iter().map(|held| IpNetwork::from(*held)));
    let mut all = addresses.is_empty();
    if is_unknown && !all {
        let of_pod = attachment::of_pod(del.steps, del.handles)?;
        addresses.extend(of_pod.into_iter().map(IpNetwork::from));
        all = is_alone(del)?;
    }
    let addresses = if all { None } else { Some(addresses.as_slice()) };
    iptables::unmasquerade(&del.owner.network, &del.owner.container, addresses).map(drop)
}

/// Whether the container has no other interface on the network, judged by the links of the host.
/// The reference suite does not mark links: while the namespace exists, the answer is known only
/// for a container whose own link is marked.
fn is_alone(del: &mut Deletion<'_>) -> Result<bool> {
    let tag = del.owner.tag();
    let Some(own) = Owner::of_tag(&tag) else { return Ok(false) };
    let link = del.handles.host_link(&del.owner.host_ifname())?;
    let is_marked = link.is_some_and(|link| link.alias == tag);
    if !is_marked && del.handles.pod()?.is_some() {
        return Ok(false);
    }
    let is_another = |other: Owner| {
        (&other.network, &other.container) == (&own.network, &own.container)
            && other.ifname != own.ifname
    };
    let links = del.handles.host.links()?;
    Ok(!links.iter().filter_map(|link| Owner::of_tag(&link.alias)).any(is_another))
}

/// Whether rules may exist.
fn may_exist(gc: &mut Collection<'_>) -> Result<bool> {
    let nft = gc.handles.nft()?;
    for family in [IptablesFamily::Ipv4, IptablesFamily::Ipv6] {
        if nft.iptables_chain_exists(family, "POSTROUTING")? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// GC: removes the rules of stale containers.
pub(super) fn collect(gc: &mut Collection<'_>) -> Result<()> {
    match may_exist(gc)? {
        true => iptables::collect(gc.judge.network, |id| gc.judge.is_gone(id)).map(drop),
        false => Ok(()),
    }
}

/// The stale containers that have rules.
pub(super) fn stale(gc: &mut Collection<'_>) -> Result<Vec<Stale>> {
    if !may_exist(gc)? {
        return Ok(Vec::new());
    }
    let gone = iptables::stale(gc.judge.network, |id| gc.judge.is_gone(id))?.into_iter();
    let stale = |id| Stale::new("its chain of iptables".to_owned(), Of::Container(id));
    Ok(gone.map(stale).collect())
}
