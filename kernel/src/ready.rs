//! Checks that an attachment can be created in its container.

use std::time::Instant;

use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::handles::Handles;
use crate::kind::{Applied, Mode};
use crate::living;
use crate::lock::Locks;
use crate::netns::{Namespace, Place};
use crate::plan::Plan;

/// An attachment that no other call creates at the same time, and whose interface name is free: see
/// [`Plan::ready`].
#[derive(Debug)]
pub struct Ready {
    handles: Option<Handles>,
    locks: Locks,
}

impl Plan {
    /// Checks that the attachment can be created: its namespace can be opened, its interface name
    /// is free there, and the attachment does not exist in another namespace. Waits for another
    /// call that creates it. Later calls wait until the returned value is dropped.
    ///
    /// # Errors
    ///
    /// Returns an error with the reason if it cannot be created.
    pub fn ready(&self, deadline: Instant) -> Result<Ready> {
        let locks = Locks::open()?;
        let pod = match &self.pod {
            Some(path) => Some(Handle::open(Place::Pod, Some(Namespace::open(path)?))?),
            None => None,
        };
        let mut handles = Handles::beside(pod, self.until)?;
        locks.take_attachment(&self.owner, deadline, || self.is_free(&mut handles))?;
        self.is_free(&mut handles)?;
        Ok(Ready { handles: Some(handles), locks })
    }

    /// PLAN: checks what [`ready`](Plan::ready) checks, without excluding other calls.
    ///
    /// # Errors
    ///
    /// Returns an error with the reason if the attachment cannot be created.
    pub fn vacant(&self) -> Result<()> {
        self.is_free(&mut self.handles()?)
    }

    /// PLAN: checks that ADD could apply the plan, as far as can be known without a change: the
    /// namespace can be opened, the required sysctls written, and the firewall rules created.
    ///
    /// # Errors
    ///
    /// Returns an error with the reason if not.
    pub fn feasible(&self) -> Result<()> {
        let mut handles = self.handles()?;
        self.settable()?;
        self.steps.iter().try_for_each(|step| {
            step.object.feasible(&mut self.at(&mut handles, step, Mode::Repair, &mut Vec::new()))
        })
    }

    /// Returns an error if the interface's name is taken in the container, or if the attachment
    /// exists.
    fn is_free(&self, handles: &mut Handles) -> Result<()> {
        if let Some(pod) = handles.pod()?
            && pod.link(&self.owner.ifname)?.is_some()
        {
            let ifname = &self.owner.ifname;
            return Err(Error::errno(format!("create the interface {ifname}"), nix::libc::EEXIST)
                .said(format!("interface \"{ifname}\" already exists in the container"))
                .hint(
                    "the container is attached under this interface name already: DEL it first, \
                     or use another name",
                ));
        }
        living::refuse_second(self, &mut handles.host)
    }
}

impl Ready {
    /// As [`Plan::apply`], in the open namespaces, which are those of the plan's own path.
    ///
    /// # Errors
    ///
    /// As for [`Plan::apply`].
    pub fn apply(&mut self, plan: &Plan) -> Result<Applied> {
        let handles = self.handles.take().map_or_else(|| plan.handles(), Ok)?;
        plan.apply_over(handles, &self.locks)
    }
}
