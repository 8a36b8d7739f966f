//! Plans: what should exist in the kernel for an attachment, as plain data.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::object::Object;
use crate::owner::Owner;

/// What should exist for one attachment, in the order in which it is made.
///
/// A plan is made by a pure function and says everything the executor needs: [`Plan::apply`](crate::Plan::apply) makes
/// it so, [`Plan::diff`](crate::Plan::diff) compares, [`Plan::remove`](crate::Plan::remove) takes away what the owner
/// owns. It prints as `ip(8)`, `sysctl(8)` and `nft(8)` commands, so that a person reads what will happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Whose objects these are.
    pub owner: Owner,
    /// The path of the container's network namespace; none if it is not known (any more).
    pub pod: Option<PathBuf>,
    /// The objects.
    pub steps: Vec<Step>,
}

/// One object of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Where it is.
    pub place: Place,
    /// Who it belongs to.
    pub ownership: Ownership,
    /// What it is.
    pub object: Object,
    /// Why it is needed, where that is not plain.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The object as a command, for people. Only written: reading a plan makes it anew.
    #[serde(default)]
    pub shown: String,
}

/// The namespace an object is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The host's: where the plugin was started.
    Host,
    /// The container's.
    Pod,
}

/// Whether an object goes with the attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ownership {
    /// It is this attachment's alone: DEL removes it.
    Owned,
    /// Others use it too: ADD makes it if it is missing, DEL leaves it.
    Shared,
}

impl Plan {
    /// An empty plan.
    pub fn new(owner: Owner, pod: Option<&Path>) -> Plan {
        Plan { owner, pod: pod.map(Path::to_owned), steps: Vec::new() }
    }

    /// Adds an object of this attachment alone.
    pub fn own(&mut self, place: Place, object: impl Into<Object>) {
        self.push(place, Ownership::Owned, object.into());
    }

    /// Adds an object that other attachments use too.
    pub fn share(&mut self, place: Place, object: impl Into<Object>) {
        self.push(place, Ownership::Shared, object.into());
    }

    /// Says why the object that was added last is needed.
    pub fn because(&mut self, why: impl Into<String>) {
        if let Some(step) = self.steps.last_mut() {
            step.why = why.into();
        }
    }

    fn push(&mut self, place: Place, ownership: Ownership, object: Object) {
        let shown = object.show(place);
        self.steps.push(Step { place, ownership, object, why: String::new(), shown });
    }
}
