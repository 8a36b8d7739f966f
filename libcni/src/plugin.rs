//! A plugin that is a plan.

use std::net::IpAddr;
use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{AddResult, Addresses, BuiltIn, Call, Manual, PluginType, Result};

/// A plugin as a pure function: from its configuration (`self`), the call and the addresses to a
/// plan.
///
/// The verbs follow from the plan: ADD applies it, CHECK compares it, DEL removes it. See
/// [`Executor`].
pub trait Plugin: DeserializeOwned {
    /// The plugin's manual.
    const MANUAL: Manual;

    /// What carries out the plans.
    type Executor: Executor;

    /// Where the addresses come from.
    fn addressing(&self, _call: &Call) -> Addressing {
        Addressing::Optional
    }

    /// Returns what should exist for this attachment, and the result of ADD.
    ///
    /// `addresses` come from the IPAM plugin in ADD, and from `prevResult` later; DEL may have
    /// none. ADD first asks for a plan without addresses, so that mistakes are found before an
    /// address is reserved. An IPAM plugin that [needs the interface](Executor::needs_interface) is
    /// called when that plan has been applied.
    ///
    /// # Errors
    ///
    /// Names the mistake in the configuration or the call.
    fn plan(&self, call: &Call, addresses: &Addresses) -> Result<(PlanOf<Self>, AddResult)>;

    /// What should exist on this host for the network, whatever attachments it has: what SYNC
    /// brings about. It is also part of each attachment's [plan](Plugin::plan). None if there is no
    /// such thing.
    ///
    /// # Errors
    ///
    /// Names the mistake in the configuration or the problem of the host.
    fn network_plan(&self, _call: &Call) -> Result<Option<PlanOf<Self>>> {
        Ok(None)
    }

    /// What the network has in its live attachments on this host that follows the configuration:
    /// SYNC brings this about, too. Each plan, or why there is none, has the name of its container,
    /// for people.
    ///
    /// # Errors
    ///
    /// Fails if the host cannot be inspected.
    fn living_plans(&self, _call: &Call) -> Result<Vec<(String, Result<PlanOf<Self>>)>> {
        Ok(Vec::new())
    }

    /// Whether what the plans were made from has changed since, such as a file that the
    /// configuration names. A plan that is made after such an answer is made from what is there
    /// now.
    ///
    /// ADD, REPAIR and SYNC ask after they have applied a plan, and then plan and repair again. So
    /// of two calls at once that found different versions, the slower one does not have the last
    /// word with the older.
    fn is_outdated(&self) -> bool {
        false
    }

    /// What STATUS checks beyond the IPAM plugin's own status.
    ///
    /// # Errors
    ///
    /// Returns the reason why the plugin cannot serve an ADD.
    fn status(&self, _call: &Call) -> Result<()> {
        Ok(())
    }
}

/// The plan type of a plugin.
pub type PlanOf<P> = <<P as Plugin>::Executor as Executor>::Plan;

/// Whether a plugin delegates to the plugin named by `ipam.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Addressing {
    /// It does if `ipam.type` is there.
    Optional,
    /// It needs `ipam.type`.
    Required,
    /// It never does; addresses are those of `prevResult`, if any.
    None,
}

/// Carries out plans. All four work from the plan alone: an executor keeps no state of its own.
pub trait Executor {
    /// What should exist, as plain data.
    type Plan: Serialize;

    /// What [`ready`](Executor::ready) opened to check, and [`apply`](Executor::apply) uses; `()`
    /// if nothing. It is kept until ADD ends, so it can exclude other calls from the attachment.
    type Ready: Default;

    /// The IPAM plugin in the file `program`, if it is built into this process, which then needs no
    /// second one. The executor must have checked that the file would do exactly the same: any
    /// program may have that name.
    fn built_in(_name: &PluginType, _program: &Path) -> Option<BuiltIn> {
        None
    }

    /// Whether the IPAM plugin `manager` asks for addresses over the container's interface, as a
    /// DHCP client does. Then ADD makes the interface before it calls the IPAM plugin, and DEL
    /// calls the IPAM plugin before it removes the interface.
    fn needs_interface(_call: &Call, _manager: &PluginType) -> bool {
        false
    }

    /// The IPAM plugin that DEL and GC call if the configuration names none (any more), to release
    /// what its ADD handed out. `None` if there is none that can be called.
    fn fallback() -> Option<BuiltIn> {
        None
    }

    /// The addresses that the IPAM plugin `manager` holds for the attachment of the call, as far as
    /// that can be known without starting it. Without a `manager`, those that
    /// [`fallback`](Executor::fallback) holds. `None` if they are not known.
    fn held(_call: &Call, _manager: Option<&PluginType>) -> Option<Vec<IpAddr>> {
        None
    }

    /// Checks that the attachment of a plan, which has no addresses yet, can be made at all: its
    /// namespace is usable, its interface name is free, it does not exist yet, and no other ADD of
    /// it is running by `deadline`. Called before an address is reserved, but not for plugins
    /// without addresses of their own ([`Addressing::None`]).
    ///
    /// # Errors
    ///
    /// Returns the reason. Nothing has been changed.
    fn ready(_plan: &Self::Plan, _deadline: Instant) -> Result<Self::Ready> {
        Ok(Self::Ready::default())
    }

    /// PLAN: checks what [`ready`](Executor::ready) checks for ADD, without keeping other calls
    /// out.
    ///
    /// # Errors
    ///
    /// Returns the error of [`ready`](Executor::ready).
    fn vacant(_plan: &Self::Plan) -> Result<()> {
        Ok(())
    }

    /// PLAN: checks that ADD could apply the plan, as far as can be known beforehand and
    /// [`Plugin::plan`] has not reported it.
    ///
    /// # Errors
    ///
    /// Returns an error that says why ADD would fail.
    fn feasible(_plan: &Self::Plan) -> Result<()> {
        Ok(())
    }

    /// PLAN: marks in the plan what is there already and as wanted. What cannot be looked at is not
    /// marked.
    fn mark_existing(_plan: &mut Self::Plan) {}

    /// Whether the attachment of a plan exists because an earlier ADD made it. Called after an ADD
    /// has failed and rolled back. If so, the addresses belong to the earlier ADD, and are not
    /// released.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel or a namespace cannot be read.
    fn lives(_plan: &Self::Plan) -> Result<bool> {
        Ok(false)
    }

    /// Makes everything in the plan exist, or nothing; then fills in what only the system knows,
    /// such as the MAC of a bridge that was there before.
    ///
    /// # Errors
    ///
    /// Names the object that could not be made. The executor has rolled back what this call made.
    fn apply(plan: &Self::Plan, ready: &mut Self::Ready, result: &mut AddResult) -> Result<()>;

    /// Every difference between the plan and what is there, one line each.
    ///
    /// # Errors
    ///
    /// Fails if the kernel or a namespace cannot be read.
    fn diff(plan: &Self::Plan) -> Result<Vec<String>>;

    /// Repairs every difference without interrupting the attachment, and returns the repairs.
    ///
    /// # Errors
    ///
    /// Names the differences that could not be repaired.
    fn repair(plan: &Self::Plan) -> Result<Vec<String>>;

    /// Removes what the attachment owns, never what it shares. An object that no longer exists is
    /// not an error. `held` is the answer of [`held`](Executor::held): the plan may have fewer
    /// addresses than the attachment, or others.
    ///
    /// # Errors
    ///
    /// Names every object that could not be removed.
    fn remove(plan: &Self::Plan, held: Option<&[IpAddr]>) -> Result<()>;

    /// Removes what is owned by attachments of the call's network that are not in [`Call::valid`].
    ///
    /// # Errors
    ///
    /// Names every object that could not be removed.
    fn collect(call: &Call) -> Result<()>;
}
