//! How a plugin is written.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    AddResult, Addresses, Attachment, BuiltIn, Call, NetworkName, PluginType, Result, SUPPORTED,
    Version,
};

/// What a plugin says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Manual {
    /// The plugin's type: the name of its file.
    pub name: &'static str,
    /// What it is for, in one line.
    pub summary: &'static str,
    /// The JSON Schema of its configuration, which is also where `--help` finds the keys.
    pub schema: &'static str,
    /// The versions of the specification it speaks.
    pub versions: &'static [Version],
    /// What `NAME sync` does, in one line; empty if the plugin has nothing on a host beside its attachments.
    pub sync: &'static str,
}

impl Manual {
    /// A manual of a plugin that speaks every version.
    pub const fn new(name: &'static str, summary: &'static str, schema: &'static str) -> Manual {
        Manual { name, summary, schema, versions: &SUPPORTED, sync: "" }
    }

    /// The manual of a plugin that also knows `sync`, and what that does.
    #[must_use]
    pub const fn with_sync(self, sync: &'static str) -> Manual {
        Manual { sync, ..self }
    }
}

/// A plugin at the level of the protocol: a method for each verb, `self` being its configuration.
///
/// Address management and other plugins that need full control implement this. A plugin that makes kernel objects
/// implements [`Plugin`] and gets this for free.
pub trait Verbs: DeserializeOwned {
    /// The plugin's manual.
    const MANUAL: Manual;

    /// ADD: join the container to the network.
    ///
    /// # Errors
    ///
    /// Whatever kept it from doing so; nothing may be left behind then.
    fn add(&self, call: &Call) -> Result<AddResult>;

    /// CHECK: is everything as ADD left it?
    ///
    /// # Errors
    ///
    /// What is not.
    fn check(&self, call: &Call) -> Result<()>;

    /// DEL: undo ADD. What is gone already is no error.
    ///
    /// # Errors
    ///
    /// What could not be removed.
    fn del(&self, call: &Call) -> Result<()>;

    /// GC: remove what belongs to attachments of the network that are not in [`Call::valid`].
    ///
    /// # Errors
    ///
    /// What could not be removed.
    fn gc(&self, _call: &Call) -> Result<()> {
        Ok(())
    }

    /// STATUS: could an ADD be served?
    ///
    /// # Errors
    ///
    /// Why not, with [`code::UNAVAILABLE`](crate::code::UNAVAILABLE) or
    /// [`code::LIMITED_CONNECTIVITY`](crate::code::LIMITED_CONNECTIVITY).
    fn status(&self, _call: &Call) -> Result<()> {
        Ok(())
    }

    /// PLAN, a verb of ours: what ADD would do and print, touching nothing.
    ///
    /// # Errors
    ///
    /// Why ADD could not do it.
    fn preview(&self, call: &Call) -> Result<Preview>;

    /// REPAIR, a verb of ours: make a live attachment what ADD left, and say what had to be done.
    ///
    /// # Errors
    ///
    /// What could not be repaired.
    fn repair(&self, _call: &Call) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// SYNC, a verb of ours: bring what the network has on this host, apart from its attachments, in line with the
    /// configuration, and say what had to be done.
    ///
    /// # Errors
    ///
    /// What could not be.
    fn sync(&self, _call: &Call) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

/// What PLAN prints: what ADD would do, and what it would answer.
#[derive(Debug, Clone, Serialize, serde::Deserialize)]
pub struct Preview {
    /// The plan in the executor's own terms; null for plugins that make nothing in the kernel.
    #[serde(default)]
    pub plan: Value,
    /// The result as far as it is known beforehand.
    pub result: AddResult,
}

/// A plugin as a pure function: from its configuration (`self`), the call and the addresses to a plan.
///
/// The verbs follow from the plan: ADD applies it, CHECK compares it, DEL removes it. See [`Executor`].
pub trait Plugin: DeserializeOwned {
    /// The plugin's manual.
    const MANUAL: Manual;

    /// What carries out the plans.
    type Executor: Executor;

    /// Where the addresses come from.
    fn addressing(&self, _call: &Call) -> Addressing {
        Addressing::Optional
    }

    /// What should exist for this attachment, and what ADD answers.
    ///
    /// `addresses` come from the IPAM plugin on ADD, from `prevResult` later; DEL may have none. ADD asks for a plan without
    /// addresses first: what is wrong anyway is found before one is reserved, and `dhcp` asks for its own over the interface
    /// that such a plan makes.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration or the call.
    fn plan(&self, call: &Call, addresses: &Addresses) -> Result<(PlanOf<Self>, AddResult)>;

    /// What should exist on this host for the network, whatever attachments it has: what SYNC brings about. It is also part
    /// of each attachment's [plan](Plugin::plan). None if there is no such thing.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration or the host.
    fn network_plan(&self, _call: &Call) -> Result<Option<PlanOf<Self>>> {
        Ok(None)
    }

    /// What STATUS looks at beyond the IPAM plugin's own status.
    ///
    /// # Errors
    ///
    /// Why an ADD could not be served.
    fn status(&self, _call: &Call) -> Result<()> {
        Ok(())
    }
}

/// The plan type of a plugin.
pub type PlanOf<P> = <<P as Plugin>::Executor as Executor>::Plan;

/// Whether a plugin delegates to the plugin named by `ipam.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    /// What [`ready`](Executor::ready) opened to look, and [`apply`](Executor::apply) goes on with; `()` if nothing.
    type Ready: Default;

    /// The IPAM plugin in the file `program`, if it is built into this process: then it needs no second one. Whoever says so
    /// has made certain that the file would do the very same; a file of that name may be anybody's.
    fn built_in(_name: &PluginType, _program: &Path) -> Option<BuiltIn> {
        None
    }

    /// Whether the attachment could be made at all: its namespace is usable, its interface's name is free. Asked before
    /// an address is reserved. Not asked for plugins without addresses of their own ([`Addressing::None`]).
    ///
    /// # Errors
    ///
    /// Why not; nothing has been changed.
    fn ready(_call: &Call) -> Result<Self::Ready> {
        Ok(Self::Ready::default())
    }

    /// Makes everything in the plan exist, or nothing; then fills in what only the system knows, such as the MAC of a
    /// bridge that was there before.
    ///
    /// # Errors
    ///
    /// What could not be made; what this call made is gone again.
    fn apply(plan: &Self::Plan, ready: Self::Ready, result: &mut AddResult) -> Result<()>;

    /// Every difference between the plan and what is there, one line each.
    ///
    /// # Errors
    ///
    /// Why it could not look.
    fn diff(plan: &Self::Plan) -> Result<Vec<String>>;

    /// Does what is needed to make `diff` empty, without taking anything down; says what it did.
    ///
    /// # Errors
    ///
    /// What could not be put right.
    fn repair(plan: &Self::Plan) -> Result<Vec<String>>;

    /// Removes what the attachment owns, never what it shares. What is gone already is no error.
    ///
    /// # Errors
    ///
    /// Everything that could not be removed.
    fn remove(plan: &Self::Plan) -> Result<()>;

    /// Removes what is owned by attachments of `network` that are not in `valid`.
    ///
    /// # Errors
    ///
    /// Everything that could not be removed.
    fn collect(network: &NetworkName, valid: &[Attachment]) -> Result<()>;
}
