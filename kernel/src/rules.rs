//! Firewall rules by their owner: what DEL and GC remove without a plan that names them.

use std::net::IpAddr;

use crate::error::Result;
use crate::iptables;
use crate::nft::IptablesFamily;
use crate::object::Object;
use crate::owner::Owner;
use crate::plan::{Place, Plan};
use crate::side::Sides;

/// Removes every rule of the plan's owner: also those that the plan does not name, because the configuration has changed
/// since ADD, because the addresses are not known, or because the reference suite made the attachment.
pub(crate) fn remove(plan: &Plan, sides: &mut Sides) -> Result<()> {
    let tag = plan.owner.tag();
    let known = planned_addresses(plan);
    let unknown = known.is_empty();
    let addresses = if unknown { held_addresses(plan, sides)? } else { known };
    let ports = plan.steps.iter().filter_map(|step| match &step.object {
        Object::Veth(veth) => Some((veth.name.as_str(), veth.peer.mac)),
        _ => None,
    });
    let ports: Vec<_> = ports.collect();
    let nft = sides.nft()?;
    nft.release(&tag, &addresses, unknown, &ports)?;
    nft.remove_reference_leftovers(&plan.owner)?;
    // Programs are run only where there is something for them to do.
    let chain = iptables::chain_name(&plan.owner.network, &plan.owner.container);
    if nft.any_iptables_chain_exists(&chain)? { remove_iptables(plan) } else { Ok(()) }
}

/// The container's chain is shared by its interfaces on one network: with addresses, only theirs are removed.
fn remove_iptables(plan: &Plan) -> Result<()> {
    let addresses = plan.steps.iter().filter_map(|step| match &step.object {
        Object::Address(address) if step.place == Place::Pod => Some(address.address),
        _ => None,
    });
    let addresses: Vec<_> = addresses.collect();
    let addresses = if addresses.is_empty() { None } else { Some(addresses.as_slice()) };
    iptables::unmasquerade(&plan.owner.network, &plan.owner.container, addresses).map(drop)
}

/// The addresses that the container's end of the wire has.
fn held_addresses(plan: &Plan, sides: &mut Sides) -> Result<Vec<IpAddr>> {
    let Some(pod) = sides.pod()? else { return Ok(Vec::new()) };
    let mut held = Vec::new();
    for step in &plan.steps {
        let Object::Veth(veth) = &step.object else { continue };
        let link = pod.link(&veth.peer.name)?.filter(|link| link.mac == Some(veth.peer.mac));
        if let Some(link) = link {
            held.extend(pod.addresses(link.index)?.iter().map(|held| held.address.ip()));
        }
    }
    Ok(held)
}

fn planned_addresses(plan: &Plan) -> Vec<IpAddr> {
    let addresses = plan.steps.iter().filter_map(|step| match &step.object {
        Object::Address(address) if step.place == Place::Pod => Some(address.address.ip()),
        _ => None,
    });
    addresses.collect()
}

/// GC: removes the rules of the network's attachments that `is_stale` names by their tag.
pub(crate) fn collect(
    sides: &mut Sides,
    network: &str,
    valid: &[Owner],
    is_stale: &dyn Fn(&str) -> bool,
) -> Result<()> {
    let nft = sides.nft()?;
    nft.collect_masquerade(is_stale)?;
    nft.collect_guards(is_stale)?;
    for family in [IptablesFamily::Ipv4, IptablesFamily::Ipv6] {
        if nft.iptables_chain_exists(family, "POSTROUTING")? {
            let is_gone = |container: &str| !valid.iter().any(|owner| owner.container == container);
            return iptables::collect(network, is_gone).map(drop);
        }
    }
    Ok(())
}
