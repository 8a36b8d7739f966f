//! Plans: the kernel objects that should exist for an attachment, as plain data.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use crate::error::Result;
use crate::handles::Handles;
use crate::kind::{AND, Kind, Ownership, Step};
use crate::netns::Place;
use crate::nft;
use crate::owner::Owner;

/// The objects that should exist for one attachment, in the order of their creation.
///
/// A pure function makes the plan, which contains everything the executor needs:
/// [`Plan::apply`](crate::Plan::apply) creates the objects, [`Plan::diff`](crate::Plan::diff)
/// compares them, and [`Plan::remove`](crate::Plan::remove) removes what the owner owns. It prints
/// as `ip(8)`, `sysctl(8)` and `nft(8)` commands, so that a person can read what will happen.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The owner of the objects.
    pub owner: Owner,
    /// The path of the container's network namespace; `None` if it is not known, or no longer.
    pub pod: Option<PathBuf>,
    /// The objects.
    pub steps: Vec<Step>,
    /// The deadline of the call that applies the plan; `None` if the caller sets none.
    #[serde(skip)]
    pub until: Option<Instant>,
}

impl Plan {
    /// An empty plan.
    pub fn new(owner: Owner, pod: Option<&Path>) -> Plan {
        Plan { owner, pod: pod.map(Path::to_owned), steps: Vec::new(), until: None }
    }

    /// Adds an object of this attachment alone.
    pub fn own(&mut self, place: Place, object: impl Kind) {
        self.push(place, Ownership::Owned, Arc::new(object));
    }

    /// Adds an object that other attachments use too.
    pub fn share(&mut self, place: Place, object: impl Kind) {
        self.push(place, Ownership::Shared, Arc::new(object));
    }

    /// Sets the reason for the object that was added last.
    pub fn because(&mut self, why: impl Into<String>) {
        if let Some(step) = self.steps.last_mut() {
            step.why = why.into();
        }
    }

    /// Whether an object is of the kind with this name in JSON, for example `macvlan`.
    pub fn has(&self, kind: &str) -> bool {
        self.steps.iter().any(|step| step.object.name() == kind)
    }

    /// Opens both namespaces.
    pub(crate) fn handles(&self) -> Result<Handles> {
        Handles::open(self.pod.as_deref(), self.until)
    }

    pub(crate) fn owned(&self) -> impl DoubleEndedIterator<Item = &Step> {
        self.steps.iter().filter(|step| step.is_owned())
    }

    pub(crate) fn push(&mut self, place: Place, ownership: Ownership, object: Arc<dyn Kind>) {
        let shown = match object.is_shown_late() {
            true => String::new(),
            false => object.show_for(place, &self.owner),
        };
        // A shared object, such as a table, is declared only by the first step that needs it.
        let is_new = |command: &&str| {
            !command.starts_with(nft::ADD)
                || !self.steps.iter().flat_map(Step::commands).any(|other| other == *command)
        };
        let shown = shown.split(AND).filter(is_new).collect::<Vec<_>>().join(AND);
        let (why, existing) = (String::new(), Vec::new());
        self.steps.push(Step { place, ownership, object, why, shown, existing });
    }
}
