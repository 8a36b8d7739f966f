//! Whether an attachment is live on this host. A failed ADD must not roll back what an earlier ADD
//! made.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::error::Result;
use crate::handle::Handle;
use crate::link::Link;
use crate::netns::Place;
use crate::netnsid;
use crate::object::inside;
use crate::owner::Owner;
use crate::plan::Plan;

impl Plan {
    /// Whether a link of the plan's attachment exists, in any container. A link of another suite
    /// has no mark and is not found.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel or a namespace cannot be read.
    pub fn lives(&self) -> Result<bool> {
        lives(self, &mut Handle::open(Place::Host, None)?)
    }
}

/// Whether an attachment is live, as for [`Plan::lives`], by its names alone.
///
/// # Errors
///
/// Returns an error if the kernel or a namespace cannot be read.
pub fn lives_of(owner: &Owner) -> Result<bool> {
    let mut host = Handle::open(Place::Host, None)?;
    let link = host.link(&owner.host_ifname())?;
    let is_theirs = |link: Link| link.alias == owner.tag() || link.mac == Some(owner.mac("host"));
    Ok(link.is_some_and(is_theirs) || inside::lives(&mut host, owner, None)?)
}

/// A live attachment with a veth pair, and how to reach its container.
#[derive(Debug, Clone)]
pub struct Home {
    /// The attachment, with the names as in its alias: a digest may stand for a long name.
    pub owner: Owner,
    /// The host's end.
    pub link: Link,
    /// The path of the container's network namespace.
    pub path: PathBuf,
}

/// The live attachments of a network on this host that have a veth pair, by the aliases of the
/// host's ends.
///
/// # Errors
///
/// Returns an error if the kernel or `/proc` cannot be read.
pub fn homes(network: &str) -> Result<Vec<Home>> {
    let mut host = Handle::open(Place::Host, None)?;
    let mut links = host.links()?;
    links.retain(|link| link.kind == "veth" && Owner::tag_is_of_network(&link.alias, network));
    let ids: HashSet<i32> = links.iter().filter_map(|link| link.namespace).collect();
    let paths = netnsid::paths(&mut host, &ids)?;
    let home = |link: Link| {
        let path = paths.get(&link.namespace?)?.clone();
        Some(Home { owner: Owner::of_tag(&link.alias)?, link, path })
    };
    Ok(links.into_iter().filter_map(home).collect())
}

/// As for [`Plan::lives`].
pub(crate) fn lives(plan: &Plan, host: &mut Handle) -> Result<bool> {
    for step in plan.owned() {
        if step.object.lives(host, &plan.owner)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Refuses an attachment that already has a link on the host, before an address is allocated, so
/// that nothing has to be released.
pub(crate) fn refuse_second(plan: &Plan, host: &mut Handle) -> Result<()> {
    plan.owned().try_for_each(|step| step.object.refuse_second(host, &plan.owner))
}
