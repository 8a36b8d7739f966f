//! Checks that an attachment can be created in its container.

use std::time::Instant;

use crate::error::{Error, Result};
use crate::kind::{Applied, Mode};
use crate::living;
use crate::lock::Locks;
use crate::netns::{Namespace, Place};
use crate::plan::Plan;
use crate::side::Side;
use crate::sides::Sides;

/// An attachment that no other call creates at the same time, and whose interface name is free: see
/// [`Plan::ready`].
#[derive(Debug)]
pub struct Ready {
    sides: Option<Sides>,
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
            Some(path) => Some(Side::open(Place::Pod, Some(Namespace::open(path)?))?),
            None => None,
        };
        let mut sides = Sides::beside(pod, self.until)?;
        locks.take_attachment(&self.owner, deadline, || self.is_free(&mut sides))?;
        self.is_free(&mut sides)?;
        Ok(Ready { sides: Some(sides), locks })
    }

    /// PLAN: checks what [`ready`](Plan::ready) checks, without excluding other calls.
    ///
    /// # Errors
    ///
    /// Returns an error with the reason if the attachment cannot be created.
    pub fn vacant(&self) -> Result<()> {
        self.is_free(&mut self.sides()?)
    }

    /// PLAN: checks that ADD could apply the plan, as far as can be known without a change: the
    /// namespace can be opened, the required sysctls written, and the firewall rules created.
    ///
    /// # Errors
    ///
    /// Returns an error with the reason if not.
    pub fn feasible(&self) -> Result<()> {
        let mut sides = self.sides()?;
        self.settable()?;
        self.steps.iter().try_for_each(|step| {
            step.object.feasible(&mut self.at(&mut sides, step, Mode::Repair, &mut Vec::new()))
        })
    }

    /// Returns an error if the interface's name is taken in the container, or if the attachment
    /// exists.
    fn is_free(&self, sides: &mut Sides) -> Result<()> {
        if let Some(pod) = sides.pod()?
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
        living::refuse_second(self, &mut sides.host)
    }
}

impl Ready {
    /// As [`Plan::apply`], in the open namespaces, which are those of the plan's own path.
    ///
    /// # Errors
    ///
    /// As for [`Plan::apply`].
    pub fn apply(&mut self, plan: &Plan) -> Result<Applied> {
        let sides = self.sides.take().map_or_else(|| plan.sides(), Ok)?;
        plan.apply_over(sides, &self.locks)
    }
}
