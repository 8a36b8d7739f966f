//! A container that an attachment could be made in.

use std::path::Path;

use crate::error::{Error, Result};
use crate::executor::Applied;
use crate::netns::Namespace;
use crate::plan::{Place, Plan};
use crate::side::{Side, Sides};

/// A container's namespace, opened, in which a name is free: see [`ready`].
#[derive(Debug)]
pub struct Ready(Side);

/// Whether an interface could be made in a container: its namespace can be opened and the name is free.
///
/// # Errors
///
/// Why not.
pub fn ready(pod: &Path, ifname: &str) -> Result<Ready> {
    let mut side = Side::open(Place::Pod, Some(Namespace::open(pod)?))?;
    match side.link(ifname)? {
        None => Ok(Ready(side)),
        Some(_) => Err(Error::errno(format!("create the interface {ifname}"), nix::libc::EEXIST)
            .said(format!("interface \"{ifname}\" already exists in the container"))
            .hint("the container is attached under this interface name already: DEL it first, or use another name")),
    }
}

impl Ready {
    /// As [`Plan::apply`], in the namespace that is open already: that of the plan's own path.
    ///
    /// # Errors
    ///
    /// As of [`Plan::apply`].
    pub fn apply(self, plan: &Plan) -> Result<Applied> {
        plan.apply_over(Sides::with_pod(self.0)?)
    }
}
