use serde::Serialize;

use super::{AND, At, Collection, Deletion, Kind, Of, Place, Removal, Stale, Sweep, Veth};
use crate::error::Result;
use crate::link;
use crate::nft::Job;
use crate::owner::Mac;

/// Lets a bridge port send only frames with the container's own source MAC address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Guard {
    /// The link that is the port.
    pub port: String,
    /// The only source MAC address that may pass.
    pub mac: Mac,
}

impl Kind for Guard {
    fn name(&self) -> &'static str {
        "guard"
    }

    fn show(&self, _place: Place) -> String {
        self.job("").map(|job| job.show().join(AND)).unwrap_or_default()
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        at.handles.flush()?;
        at.undo_by_removal();
        let job = self.job(&at.owner.tag())?;
        at.handles.nft()?.declare(&job).map(drop)
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let job = self.job(&at.owner.tag())?;
        at.handles.nft()?.differences(&job)
    }

    fn remove(&self, at: &mut At<'_>) -> Result<()> {
        let tag = at.owner.tag();
        at.handles.nft()?.unguard(&tag, &self.port).map(drop)
    }

    fn removal(&self) -> Removal {
        Removal::Swept
    }

    fn has_skeleton(&self, at: &mut At<'_>) -> bool {
        let Ok(job) = self.job("") else { return false };
        at.handles.nft().and_then(|nft| nft.is_declared(&job)).unwrap_or(false)
    }

    fn feasible(&self, at: &mut At<'_>) -> Result<()> {
        at.handles.nft()?.can_guard()
    }

    /// Sets the port down, so that no frame passes unguarded.
    fn silence(&self, at: &mut At<'_>) -> Result<()> {
        let tag = at.owner.tag();
        let Some(link) = at.handles.host_link(&self.port)? else { return Ok(()) };
        match at.steps.iter().any(|step| step.object.is_link(&link, &tag)) {
            // GC, or the end of the container, may delete the link in between.
            true => at.handles.host.now(link::down(&link).tolerate(&[nix::libc::ENODEV])),
            false => Ok(()),
        }
    }
}

impl Guard {
    fn job(&self, tag: &str) -> Result<Job<'static>> {
        Job::guard(tag, &self.port, self.mac)
    }
}

impl Sweep for Guard {
    fn doom(del: &mut Deletion<'_>) -> Result<()> {
        let tag = del.owner.tag();
        for veth in del.steps.iter().filter_map(|step| step.of_kind::<Veth>()) {
            let doomed = del.handles.nft()?.doomed_guard(&tag, &veth.name, veth.peer.mac)?;
            del.doomed.extend(doomed);
        }
        Ok(())
    }

    fn remove(del: &mut Deletion<'_>) -> Result<()> {
        let doomed = std::mem::take(&mut del.doomed);
        if doomed.is_empty() { Ok(()) } else { del.handles.nft()?.remove(doomed).map(drop) }
    }

    fn collect(gc: &mut Collection<'_>) -> Result<()> {
        gc.handles.nft()?.collect_guards(|tag| gc.judge.is_stale(tag)).map(drop)
    }

    fn stale(gc: &mut Collection<'_>, _found: &[Stale]) -> Result<Vec<Stale>> {
        let guarded = gc.handles.nft()?.guarded_for(|tag| gc.judge.is_stale(tag))?.into_iter();
        let stale = |(port, tag): (String, String)| {
            Stale::new(format!("the spoof check of {port}"), Of::tag(&tag))
        };
        Ok(guarded.map(stale).collect())
    }
}
