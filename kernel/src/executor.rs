//! What can be done with any plan, written once: apply, compare, repair, remove, collect.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::thread;

use ipnetwork::IpNetwork;

use crate::deletion::{self, Doomed};
use crate::error::{Error, Result};
use crate::link::{self, Link};
use crate::netns::{Lock, Namespace};
use crate::object::{self, At, Mode, Object, Undo};
use crate::owner::{Mac, Owner};
use crate::plan::{Ownership, Place, Plan, Step};
use crate::rtnl::Request;
use crate::rules;
use crate::shims;
use crate::side::{Side, Sides};

/// What applying a plan found out that the plan could not say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// The MAC addresses of the shared links, by name.
    pub macs: BTreeMap<String, Mac>,
    /// The addresses of the container's loopback link, if the plan is about that: the first of each family.
    pub loopback: Vec<IpNetwork>,
}

impl Plan {
    /// ADD: makes everything in the plan exist. Owned objects must not be there yet; shared ones may.
    ///
    /// # Errors
    ///
    /// The first object that could not be made. What this call made is gone again, except for shared objects that
    /// somebody else uses by now.
    pub fn apply(&self) -> Result<Applied> {
        self.apply_over(Sides::open(self)?)
    }

    pub(crate) fn apply_over(&self, mut sides: Sides) -> Result<Applied> {
        // Held until the end: whoever wants to take back a shared object sees that it may be in use.
        let lock = Namespace::current()?.lock_shared();
        let mut undo = Vec::new();
        let done =
            self.make(&mut sides, Mode::Add, &mut undo).and_then(|()| self.observe(&mut sides));
        done.map_err(|error| take_back(self, &mut sides, undo, lock, error))
    }

    /// CHECK: every difference between the plan and what is there, one line each.
    ///
    /// # Errors
    ///
    /// It could not be looked at, for example because the container's namespace is gone.
    pub fn diff(&self) -> Result<Vec<String>> {
        let mut sides = Sides::open(self)?;
        let mut differences: Vec<String> = Vec::new();
        for step in &self.steps {
            let mut nothing = Vec::new();
            let mut at = self.at(&mut sides, step, Mode::Repair, &mut nothing);
            let found = step.object.diff(&mut at)?;
            // What steps share, such as a base chain, differs once.
            let new = found.into_iter().filter(|difference| !differences.contains(difference));
            let new: Vec<_> = new.collect();
            differences.extend(new);
        }
        Ok(differences)
    }

    /// Puts right what differs, taking nothing down, and says what that was.
    ///
    /// # Errors
    ///
    /// What could not be put right, or what still differs afterwards.
    pub fn repair(&self) -> Result<Vec<String>> {
        let before = self.diff()?;
        if before.is_empty() {
            return Ok(before);
        }
        let mut sides = Sides::open(self)?;
        let _lock = Namespace::current()?.lock_shared();
        // What was put right stays so, even if a later step fails.
        self.make(&mut sides, Mode::Repair, &mut Vec::new())?;
        drop(sides);
        match self.diff()?.as_slice() {
            [] => Ok(before),
            left => Err(Error::found("repair the attachment", left.join("; "))),
        }
    }

    /// DEL: removes what the owner owns. What is gone already is no error, and neither is a pod that is.
    ///
    /// # Errors
    ///
    /// Everything that could not be removed; the rest is.
    pub fn remove(&self) -> Result<()> {
        let mut sides = Sides::open_lazily(self)?;
        let mut errors = Vec::new();
        // What cannot be seen now is looked at again, and complained of, by whoever needs it.
        sides.look_at(&self.host_links()).ok();
        // The rules go first: the kernel waits for a grace period when the socket to nf_tables is closed after that, and
        // again for every deleted link. Closed last, both wait for the same one.
        errors.extend(self.silence(&mut sides).err());
        errors.extend(rules::remove(self, &mut sides).err());
        let is_rule = |object: &Object| matches!(object, Object::Masquerade(_) | Object::Guard(_));
        let is_shim = |object: &Object| matches!(object, Object::Shim(_));
        errors.extend(self.remove_objects(&mut sides, is_shim));
        let sweep = || shims::sweep(&mut Side::open(Place::Host, None)?, &self.owner.network);
        thread::scope(|scope| {
            // The network's link on the host, if this was the last attachment, goes at the same time as the container's.
            let has_shim = self.steps.iter().any(|step| is_shim(&step.object));
            let sweeper = has_shim.then(|| thread::Builder::new().spawn_scoped(scope, sweep));
            let is_other = |object: &Object| !is_rule(object) && !is_shim(object);
            errors.extend(self.remove_objects(&mut sides, is_other));
            let swept = match sweeper {
                Some(Ok(sweeper)) => sweeper.join().unwrap_or_else(|_| sweep()),
                Some(Err(_)) => sweep(),
                None => Ok(()),
            };
            errors.extend(swept.err());
        });
        all_of(errors)
    }

    /// Removes what the owner owns of what `is_meant`, and returns what went wrong.
    fn remove_objects(&self, sides: &mut Sides, is_meant: impl Fn(&Object) -> bool) -> Vec<Error> {
        let mut errors = Vec::new();
        let owned = self.steps.iter().filter(|step| step.ownership == Ownership::Owned);
        for step in owned.rev().filter(|step| is_meant(&step.object)) {
            let mut nothing = Vec::new();
            let mut at = self.at(sides, step, Mode::Repair, &mut nothing);
            errors.extend(step.object.remove(&mut at).err().filter(|error| !error.is_gone()));
        }
        errors.extend(sides.flush().err());
        errors
    }

    /// The links on the host that have to be known to remove what the owner owns.
    fn host_links(&self) -> Vec<&str> {
        let on_host = self.steps.iter().filter(|step| step.place == Place::Host);
        let owned = on_host.filter(|step| step.ownership == Ownership::Owned);
        let names: BTreeSet<&str> = owned
            .filter_map(|step| match &step.object {
                Object::Veth(veth) => Some(veth.name.as_str()),
                Object::Neighbours(neighbours) => Some(neighbours.link.as_str()),
                _ => None,
            })
            .collect();
        names.into_iter().collect()
    }

    /// Takes guarded ports down: nothing passes any more, so nothing unguarded does.
    fn silence(&self, sides: &mut Sides) -> Result<()> {
        let is_guarded = |port: &str| {
            let mut objects = self.steps.iter().map(|step| &step.object);
            objects.any(|object| matches!(object, Object::Guard(guard) if guard.port == port))
        };
        for step in &self.steps {
            let Object::Veth(veth) = &step.object else { continue };
            if !is_guarded(&veth.name) {
                continue;
            }
            let link = sides.host_link(&veth.name)?;
            if let Some(link) = link.filter(|link| veth.is_ours(link, &self.owner.tag())) {
                // A GC, or the end of the container, may take the link while we look.
                sides.host.now(down(&veth.name, &link).tolerate(&[nix::libc::ENODEV]))?;
            }
        }
        Ok(())
    }

    fn make(&self, sides: &mut Sides, mode: Mode, undo: &mut Vec<Undo>) -> Result<()> {
        for step in &self.steps {
            step.object.apply(&mut self.at(sides, step, mode, undo))?;
        }
        sides.flush()
    }

    fn at<'a>(
        &'a self,
        sides: &'a mut Sides,
        step: &Step,
        mode: Mode,
        undo: &'a mut Vec<Undo>,
    ) -> At<'a> {
        At { sides, place: step.place, ownership: step.ownership, owner: &self.owner, mode, undo }
    }

    /// Reads the MACs of shared links, which the plan cannot know.
    fn observe(&self, sides: &mut Sides) -> Result<Applied> {
        let mut applied = Applied::default();
        if self.steps.iter().any(|step| matches!(step.object, Object::Loopback(_))) {
            applied.loopback = object::loopback_addresses(sides.side(Place::Pod)?)?;
        }
        for step in self.steps.iter().filter(|step| step.ownership == Ownership::Shared) {
            let name = match &step.object {
                Object::Bridge(bridge) => &bridge.name,
                Object::Veth(veth) => &veth.peer.name,
                _ => continue,
            };
            if let Some(mac) = sides.host.unchanged(name)?.mac {
                applied.macs.insert(name.clone(), mac);
            }
        }
        Ok(applied)
    }
}

/// Takes back what a failed ADD made, last thing first, and gives the error that made it fail.
///
/// Shared objects are only taken back if no other ADD is under way (it may be about to use them) and no port is left.
fn take_back(plan: &Plan, sides: &mut Sides, undo: Vec<Undo>, lock: Lock, error: Error) -> Error {
    let alone = lock.try_exclusive();
    let mut failures = Vec::new();
    let has_shim = undo
        .iter()
        .any(|undo| matches!(undo, Undo::Step(_, object) if matches!(**object, Object::Shim(_))));
    for undo in undo.into_iter().rev() {
        if let Err(failure) = take_back_one(plan, sides, undo, alone) {
            failures.push(failure.to_string());
        }
    }
    failures.extend(sides.flush().err().map(|failure| failure.to_string()));
    drop(lock);
    if has_shim && let Err(failure) = shims::sweep(&mut sides.host, &plan.owner.network) {
        failures.push(failure.to_string());
    }
    if failures.is_empty() {
        return error;
    }
    let said = format!("{}; and taking it back failed: {}", error.reason(), failures.join("; "));
    Error { errno: 0, ..error.clone() }.said(said)
}

fn take_back_one(plan: &Plan, sides: &mut Sides, undo: Undo, alone: bool) -> Result<()> {
    match undo {
        Undo::Link(place, name) => {
            let side = sides.side(place)?;
            side.link(&name)?.map_or(Ok(()), |link| side.now(link::delete(&name, link.index)))
        }
        Undo::SharedSysctl(link, sysctl) if alone => {
            unused(sides, &link)?.map_or(Ok(()), |_| sysctl.ensure())
        }
        Undo::SharedLink(name) if alone => unused(sides, &name)?
            .map_or(Ok(()), |link| sides.host.now(link::delete(&name, link.index))),
        Undo::SharedAddress(name, address) if alone => unused(sides, &name)?
            .map_or(Ok(()), |link| {
                sides.host.now(object::remove_address(&name, link.index, address))
            }),
        Undo::SharedUp(name) if alone => {
            unused(sides, &name)?.map_or(Ok(()), |link| sides.host.now(down(&name, &link)))
        }
        Undo::SharedLink(_)
        | Undo::SharedAddress(..)
        | Undo::SharedUp(_)
        | Undo::SharedSysctl(..) => Ok(()),
        Undo::Step(place, object) => object.remove(&mut At {
            sides,
            place,
            ownership: Ownership::Owned,
            owner: &plan.owner,
            mode: Mode::Repair,
            undo: &mut Vec::new(),
        }),
    }
}

fn down(name: &str, link: &Link) -> Request {
    link::set(format!("set {name} down"), link::with_index(link.index).down().build())
}

/// A shared link on the host, if it is there and nobody's port is in it.
fn unused(sides: &mut Sides, name: &str) -> Result<Option<Link>> {
    let Some(link) = sides.host.link(name)? else { return Ok(None) };
    let ports = sides.host.dump("list the ports of a bridge", link::ports_of(link.index))?;
    let has_ports = ports.iter().any(|port| Link::read(port).master == Some(link.index));
    Ok(Some(link).filter(|_| !has_ports))
}

/// GC: removes what is owned by attachments of `network` other than `valid`, found by the marks on the objects. Without
/// any valid one, also the tunnel and the routes that the network has on this host.
///
/// # Errors
///
/// Everything that could not be removed; the rest is.
pub fn collect(network: &str, valid: &[Owner]) -> Result<()> {
    let valid_tags: HashSet<String> = valid.iter().map(Owner::tag).collect();
    let is_stale = |tag: &str| Owner::tag_is_of_network(tag, network) && !valid_tags.contains(tag);
    let mut sides = Sides::host_only()?;
    let mut errors = Vec::new();
    errors.extend(rules::collect(&mut sides, network, valid, &is_stale).err());
    if valid.is_empty() {
        errors.extend(object::collect_routes(&mut sides, network).err());
        errors.extend(object::collect_tunnels(&mut sides, network).err());
    }
    let mut doomed = Vec::new();
    for stale in [
        stale_links(&mut sides.host, network, valid, &is_stale),
        object::macvlan::stale(&mut sides.host, network, valid),
    ] {
        match stale {
            Ok(stale) => doomed.extend(stale),
            Err(error) => errors.push(error),
        }
    }
    errors.extend(deletion::delete_all(&mut sides.host, doomed));
    errors.extend(shims::collect(&mut sides.host, network, valid).err());
    all_of(errors)
}

/// GC: the links on the host that belong to attachments of the network whose tag is stale.
fn stale_links(
    host: &mut Side,
    network: &str,
    valid: &[Owner],
    is_stale: &dyn Fn(&str) -> bool,
) -> Result<Vec<Doomed>> {
    let valid_names: HashSet<String> = valid.iter().map(Owner::host_ifname).collect();
    let group = Owner::group(network);
    // A link whose ADD was killed before it had an alias is known by its group.
    let is_nameless = |link: &Link| {
        link.alias.is_empty()
            && link.group == group
            && link.name.starts_with("veth")
            && !valid_names.contains(&link.name)
    };
    let mut links = host.links()?;
    links.retain(|link| is_stale(&link.alias) || is_nameless(link));
    Ok(links.into_iter().map(|link| Doomed { namespace: None, link }).collect())
}

fn all_of(errors: Vec<Error>) -> Result<()> {
    let mut errors = errors.into_iter();
    let Some(first) = errors.next() else { return Ok(()) };
    let rest: Vec<String> = errors.map(|error| error.to_string()).collect();
    if rest.is_empty() {
        return Err(first);
    }
    let said = format!("{}; {}", first.reason(), rest.join("; "));
    Err(Error { errno: 0, ..first }.said(said))
}
