//! The connection between the two halves of a plugin: `libcni` speaks the protocol, `kernel`
//! applies plans, and neither depends on the other.
//!
//! A plugin names [`Linux`] as its executor and starts its plan with [`plan_of`]; it needs no other
//! connection to either.

mod build;
pub mod chained;
mod ends;
mod interface;
pub mod mac;
mod parent;

use std::marker::PhantomData;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use kernel::{Memory, Owner, Plan, Ready, Swept};
use libcni::{
    AddResult, Attachment, BuiltIn, Call, Code, Error, Interface, IpConfig, NetworkName,
    PluginType, Result, Verb,
};
use serde_json::Value;

pub use chained::{Chained, InChain, Previous};
pub use ends::{Ends, wanted_mac};
pub use interface::{
    Subnet, WITH_IPV6, check_gateway, check_guard, check_masquerade, no_router_advertisements,
    plan_announced, plan_announcement, plan_forwarding, plan_gateway_end, plan_interface,
    plan_masquerade, plan_masquerade_but, with_ipv6,
};
pub use parent::Parent;

/// The executor of the plugin `P`: this host's kernel.
#[derive(Debug)]
pub struct Linux<P>(PhantomData<P>);

/// The properties of a plugin that the executor needs.
pub trait Sweeps {
    /// The kinds of kernel objects that DEL and GC find by their marks, even if no plan names them.
    /// GC removes them in this order, links last.
    const SWEPT: &'static [Swept];

    /// Whether the plugin asks an IPAM plugin for addresses. If not, its binary does not contain
    /// host-local.
    const HAS_ADDRESSES: bool = true;

    /// The directory of the plugin's [`Memory`] files in a network with this configuration, if the
    /// plugin keeps any. GC removes the files of stale attachments.
    fn memory(_config: &Value) -> Option<PathBuf> {
        None
    }
}

impl<P: Sweeps> libcni::Executor for Linux<P> {
    type Plan = Plan;
    type Ready = Option<Ready>;

    /// host-local is the most common IPAM plugin, and starting its process takes a quarter of an
    /// ADD.
    fn built_in(name: &PluginType, program: &Path) -> Option<BuiltIn> {
        let is_host_local = name.as_str() == "host-local" && P::HAS_ADDRESSES;
        (is_host_local && build::is_of_this(program)).then_some(BuiltIn::new::<ipam::HostLocal>())
    }

    /// A DHCP client leases an address over an interface, for the interface's MAC address.
    fn needs_interface(_call: &Call, manager: &PluginType) -> bool {
        manager.as_str() == "dhcp"
    }

    fn fallback() -> Option<BuiltIn> {
        P::HAS_ADDRESSES.then_some(BuiltIn::new::<ipam::HostLocal>())
    }

    /// Reads the files of host-local, of this suite's or the reference suite's.
    fn held(call: &Call, manager: Option<&PluginType>) -> Option<Vec<IpAddr>> {
        if !P::HAS_ADDRESSES {
            return None;
        }
        let is_host_local = manager.is_none_or(|manager| manager.as_str() == "host-local");
        is_host_local.then(|| ipam::held(call)).flatten()
    }

    fn ready(plan: &Plan, deadline: Instant) -> Result<Option<Ready>> {
        plan.ready(deadline).map(Some).map_err(into_cni)
    }

    fn vacant(plan: &Plan) -> Result<()> {
        plan.vacant().map_err(into_cni)
    }

    fn feasible(plan: &Plan) -> Result<()> {
        plan.feasible().map_err(into_cni)
    }

    fn mark_existing(plan: &mut Plan) {
        plan.mark_existing();
    }

    fn lives(plan: &Plan) -> Result<bool> {
        plan.lives().map_err(into_cni)
    }

    fn apply(plan: &Plan, ready: &mut Option<Ready>, result: &mut AddResult) -> Result<()> {
        let applied = match ready {
            Some(ready) => ready.apply(plan),
            None => plan.apply_alone(),
        };
        let applied = applied.map_err(into_cni)?;
        for interface in
            result.interfaces.iter_mut().filter(|interface| interface.sandbox.is_empty())
        {
            if let Some(mac) = applied.macs.get(&interface.name) {
                interface.mac = mac.to_string();
            }
        }
        let is_lo = |interfaces: &[Interface]| matches!(interfaces, [lo] if lo.name == "lo");
        if !applied.loopback.is_empty() && is_lo(&result.interfaces) {
            let of_lo = |address| IpConfig { address, gateway: None, interface: Some(0) };
            result.ips = applied.loopback.into_iter().map(of_lo).collect();
        }
        Ok(())
    }

    fn diff(plan: &Plan) -> Result<Vec<String>> {
        plan.diff().map_err(into_cni)
    }

    fn repair(plan: &Plan) -> Result<Vec<String>> {
        plan.repair().map_err(into_cni)
    }

    fn remove(plan: &Plan, held: Option<&[IpAddr]>) -> Result<()> {
        match held {
            Some(held) if !held.is_empty() => plan.remove_holding(held, P::SWEPT),
            _ => plan.remove(P::SWEPT),
        }
        .map_err(into_cni)
    }

    fn collect(call: &Call) -> Result<()> {
        let (network, valid) = (&call.network, valid(call));
        let forget = || match P::memory(&call.config) {
            Some(folder) => Memory::collect(&folder, network.as_str(), &valid).map_err(into_cni),
            None => Ok(()),
        };
        // A program that sweeps nothing does not contain what follows.
        if P::SWEPT.is_empty() {
            return forget();
        }
        let is_host_local = call.ipam_type().is_none_or(|manager| manager == "host-local");
        let stale = if is_host_local { ipam::stale(call) } else { Vec::new() };
        let stale = stale.into_iter().map(|(ip, attachment)| (ip, owner(network, &attachment)));
        let swept = kernel::collect(network, &valid, stale.collect(), P::SWEPT).map_err(into_cni);
        forget().and(swept)
    }
}

/// The attachments that GC keeps.
fn valid(call: &Call) -> Vec<Owner> {
    call.valid.iter().map(|attachment| owner(&call.network, attachment)).collect()
}

/// An empty plan for the attachment of a call.
///
/// # Errors
///
/// Returns an error if the call is about a whole network. The protocol rules that out for the verbs
/// that need a plan.
pub fn plan_of(call: &Call) -> Result<Plan> {
    let attachment = call.attachment()?;
    let mut plan =
        Plan::new(owner(&call.network, attachment), call.netns.as_deref().map(Path::new));
    plan.until = Some(call.deadline);
    Ok(plan)
}

/// An empty plan for a network's objects on the host that do not depend on its attachments.
pub fn network_plan_of(call: &Call) -> Plan {
    let network = call.network.to_string();
    Plan::new(Owner { network, container: String::new(), ifname: String::new() }, None)
}

fn owner(network: &NetworkName, attachment: &Attachment) -> Owner {
    Owner {
        network: network.to_string(),
        container: attachment.container.to_string(),
        ifname: attachment.ifname.to_string(),
    }
}

/// Ignores a mistake in the configuration at DEL: objects from before the mistake must still be
/// removed.
///
/// # Errors
///
/// Returns the mistake on every other verb.
pub fn unless_deleting<T>(call: &Call, checked: Result<T>) -> Result<Option<T>> {
    match checked {
        Err(_) if call.verb == Verb::Del => Ok(None),
        checked => checked.map(Some),
    }
}

/// Converts an error of the kernel to a CNI error.
pub fn into_cni(error: kernel::Error) -> Error {
    if error.is_shortage() {
        let shortage = Error::shortage(error.to_string());
        return if error.hint.is_empty() { shortage } else { shortage.line(&error.hint) };
    }
    let number = if error.is_namespace() { Code::INVALID_NETNS } else { Code::INTERNAL };
    Error::new(number, error.to_string()).details(error.hint)
}

/// Converts an error of the kernel to the error with which STATUS says why an ADD would fail.
pub fn unavailable(error: kernel::Error) -> Error {
    into_cni(error).with_code(Code::UNAVAILABLE)
}
