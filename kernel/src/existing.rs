//! Marks what exists already of a plan, for the reader of the plan.

use crate::handle::Handle;
use crate::handles::Handles;
use crate::kind::{Mode, Step};
use crate::netns::{Namespace, Place};
use crate::plan::Plan;

impl Plan {
    /// PLAN: marks in each step the commands that would change nothing, by CHECK's comparison.
    /// Objects that cannot be read are not marked.
    pub fn mark_existing(&mut self) {
        let open = |path| Handle::open(Place::Pod, Some(Namespace::open(path)?));
        let pod = self.pod.as_deref().and_then(|path| open(path).ok());
        for step in self.steps.iter_mut().filter(|step| step.shown.is_empty()) {
            step.shown = step.object.show_for(step.place, &self.owner);
        }
        let Ok(mut handles) = Handles::beside(pod, self.until) else { return };
        let existing: Vec<_> =
            self.steps.iter().map(|step| self.existing_of(&mut handles, step)).collect();
        for (step, existing) in self.steps.iter_mut().zip(existing) {
            step.existing = existing;
        }
    }

    fn existing_of(&self, handles: &mut Handles, step: &Step) -> Vec<String> {
        let mut nothing = Vec::new();
        let mut at = self.at(handles, step, Mode::Repair, &mut nothing);
        let is_there = step.object.is_there(&mut at);
        // A table and its chains exist before the elements of a new attachment.
        let is_of_others = |command: &&str| {
            is_there || !command.contains(" element ") && step.object.has_skeleton(&mut at)
        };
        step.commands().filter(is_of_others).map(str::to_owned).collect()
    }
}
