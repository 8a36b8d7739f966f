//! What joins the two halves of a plugin: `libcni` speaks the protocol, `kernel` carries out plans, and neither knows
//! the other.
//!
//! A plugin's file names [`Linux`] as its executor, starts its plan with [`plan_of`], and has nothing else to do with
//! either.

#[path = "lib/build.rs"]
mod build;
#[path = "lib/ends.rs"]
mod ends;
#[path = "lib/interface.rs"]
mod interface;
#[path = "lib/parent.rs"]
mod parent;

use std::path::Path;

use kernel::{Owner, Plan, Ready};
use libcni::{
    AddResult, Attachment, BuiltIn, Call, Error, Interface, IpConfig, NetworkName, PluginType,
    Result, Verb, code,
};

pub use ends::{Ends, wanted_mac};
pub use interface::{
    Subnet, check_masquerade, no_router_advertisements, plan_announced, plan_announcement,
    plan_forwarding, plan_gateway_end, plan_interface, plan_masquerade, plan_neighbours,
};
pub use parent::Parent;

/// The executor of all plugins: this machine's kernel.
#[derive(Debug)]
pub struct Linux;

impl libcni::Executor for Linux {
    type Plan = Plan;
    type Ready = Option<Ready>;

    /// host-local is asked most of all, and starting it takes a quarter of an ADD.
    fn built_in(name: &PluginType, program: &Path) -> Option<BuiltIn> {
        let is_host_local = name.as_str() == "host-local" && build::is_of_this(program);
        is_host_local.then_some(BuiltIn::new::<ipam::HostLocal>())
    }

    fn ready(call: &Call) -> Result<Option<Ready>> {
        match (&call.netns, &call.attachment) {
            (Some(netns), Some(attachment)) => {
                kernel::ready(Path::new(netns), &attachment.ifname).map(Some).map_err(into_cni)
            }
            _ => Ok(None),
        }
    }

    fn apply(plan: &Plan, ready: Option<Ready>, result: &mut AddResult) -> Result<()> {
        let applied = match ready {
            Some(ready) => ready.apply(plan),
            None => plan.apply(),
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

    fn remove(plan: &Plan) -> Result<()> {
        plan.remove().map_err(into_cni)
    }

    fn collect(network: &NetworkName, valid: &[Attachment]) -> Result<()> {
        let valid: Vec<Owner> = valid.iter().map(|attachment| owner(network, attachment)).collect();
        kernel::collect(network, &valid).map_err(into_cni)
    }
}

/// An empty plan for the attachment of a call.
///
/// # Errors
///
/// The call is about a whole network, which the protocol rules out for the verbs that need a plan.
pub fn plan_of(call: &Call) -> Result<Plan> {
    let attachment = call.attachment()?;
    Ok(Plan::new(owner(&call.network, attachment), call.netns.as_deref().map(Path::new)))
}

/// An empty plan for what a network has on the host, whatever attachments it has.
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

/// A mistake in the configuration is none of DEL's business: what was made before somebody made it has to go.
///
/// # Errors
///
/// The mistake, on every other verb.
pub fn unless_deleting<T>(call: &Call, checked: Result<T>) -> Result<Option<T>> {
    match checked {
        Err(_) if call.verb == Verb::Del => Ok(None),
        checked => checked.map(Some),
    }
}

/// The kernel's refusal as a CNI error.
pub fn into_cni(error: kernel::Error) -> Error {
    let number = if error.is_namespace() { code::INVALID_NETNS } else { code::INTERNAL };
    Error::new(number, error.to_string()).details(error.hint)
}

/// A reason why ADD cannot be served, for STATUS.
pub fn unavailable(error: kernel::Error) -> Error {
    Error { code: code::UNAVAILABLE, ..into_cni(error) }
}
