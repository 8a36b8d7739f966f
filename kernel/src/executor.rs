//! The operations on any plan: apply, compare, repair, remove, collect.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::handles::Handles;
use crate::kind::{Applied, At, Mode, Ownership, Removal, Step, Undo};
use crate::link::{self, Link};
use crate::living;
use crate::lock::{HostLock, Locks};
use crate::netns::Place;
use crate::plan::Plan;
use crate::sweep::{Deletion, Swept};

/// The maximum duration of a repair while another call changes the same objects, such as an ADD
/// that began with an older list of peers and writes thousands of routes.
const LONGEST_REPAIR: Duration = Duration::from_secs(10);

/// The maximum time for which DEL waits for an ADD of the same attachment.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

impl Plan {
    /// ADD: creates all objects of the plan. Owned objects must not exist yet; shared ones may.
    ///
    /// # Errors
    ///
    /// Returns the error about the first object that could not be created. The call has then rolled
    /// back what it made, except for shared objects that another attachment uses by now.
    pub fn apply(&self) -> Result<Applied> {
        self.apply_over(self.handles()?, &Locks::open()?)
    }

    /// As [`apply`](Plan::apply), for a plan without the attachment's interface, which is not
    /// [`ready`](Plan::ready) before: first waits for another call of the attachment.
    ///
    /// # Errors
    ///
    /// As of [`apply`](Plan::apply), or an error if the other call takes too long.
    pub fn apply_alone(&self) -> Result<Applied> {
        let locks = Locks::open()?;
        let deadline = self.until.unwrap_or_else(|| Instant::now() + LONGEST_WAIT);
        locks.take_attachment(&self.owner, deadline, || Ok(()))?;
        self.apply_over(self.handles()?, &locks)
    }

    pub(crate) fn apply_over(&self, mut handles: Handles, locks: &Locks) -> Result<Applied> {
        // Held until the end, so that a call that wants to roll back a shared object sees that it
        // may be in use.
        let lock = locks.share_host();
        let mut undo = Vec::new();
        let done =
            self.make(&mut handles, Mode::Add, &mut undo).and_then(|()| self.observe(&mut handles));
        done.map_err(|error| roll_back(self, &mut handles, undo, lock, error))
    }

    /// STATUS: checks that ADD could write the sysctls that it requires, as far as can be known
    /// without writing.
    ///
    /// # Errors
    ///
    /// Returns an error for the first sysctl that cannot be written, with a remedy.
    pub fn settable(&self) -> Result<()> {
        let mut on_host = self.steps.iter().filter(|step| step.place == Place::Host);
        on_host.try_for_each(|step| step.object.settable())
    }

    /// CHECK: every difference between the plan and the kernel's state, one line each.
    ///
    /// # Errors
    ///
    /// Returns an error if the state cannot be read, for example because the container's namespace
    /// is gone.
    pub fn diff(&self) -> Result<Vec<String>> {
        let mut handles = self.handles()?;
        let mut differences: Vec<String> = Vec::new();
        for step in &self.steps {
            let mut nothing = Vec::new();
            let mut at = self.at(&mut handles, step, Mode::Repair, &mut nothing);
            let found = step.object.diff(&mut at)?;
            // An object that several steps share, such as a base chain, is reported once.
            let new = found.into_iter().filter(|difference| !differences.contains(difference));
            let new: Vec<_> = new.collect();
            differences.extend(new);
        }
        Ok(differences)
    }

    /// Repairs the differences without taking an object down, and returns them.
    ///
    /// # Errors
    ///
    /// Returns an error for what could not be repaired, or still differs afterwards.
    pub fn repair(&self) -> Result<Vec<String>> {
        let before = self.diff()?;
        if before.is_empty() {
            return Ok(before);
        }
        let locks = Locks::open()?;
        let _lock = locks.share_host();
        let until = Instant::now() + LONGEST_REPAIR;
        let mut left = before.clone();
        loop {
            // Repairs stay, even if a later step fails.
            self.make(&mut self.handles()?, Mode::Repair, &mut Vec::new())?;
            let now = self.diff()?;
            // As long as the differences change, another call is at work.
            if now.is_empty() || now == left || Instant::now() > until {
                left = now;
                break;
            }
            left = now;
        }
        let what = match self.owner.container.is_empty() {
            true => "repair what the network has on this host",
            false => "repair the attachment",
        };
        match left.as_slice() {
            [] => Ok(before),
            left => Err(Error::found(what, left.join("; "))),
        }
    }

    /// DEL: removes what the owner owns. Neither an object nor a container that no longer exists is
    /// an error.
    ///
    /// `swept` are the kinds of which it removes all objects of the owner, including those that the
    /// plan does not name because the configuration has changed since ADD. The owner may have more
    /// addresses than the plan names, so this reads the host's tables completely.
    ///
    /// # Errors
    ///
    /// Returns the errors about the objects that could not be removed. The others are removed.
    pub fn remove(&self, swept: &[Swept]) -> Result<()> {
        self.remove_holding(&[], swept)
    }

    /// As [`remove`](Plan::remove), if the addresses that the IPAM plugin holds for the owner are
    /// known. It requests objects by these addresses as keys, so its cost does not grow with the
    /// number of other attachments.
    ///
    /// # Errors
    ///
    /// As of [`remove`](Plan::remove).
    pub fn remove_holding(&self, held: &[IpAddr], swept: &[Swept]) -> Result<()> {
        self.with_own_names().remove_named(held, swept)
    }

    /// The plan with the link that the owner's ADD made, if the plan names a different link.
    fn with_own_names(&self) -> Cow<'_, Plan> {
        let on_host = self.owned().filter(|step| step.place == Place::Host);
        let own = on_host.filter_map(|step| step.object.of_owner(&self.owner)).next();
        let Some(own) = own else { return Cow::Borrowed(self) };
        let mut plan = self.clone();
        plan.push(Place::Host, Ownership::Owned, own);
        Cow::Owned(plan)
    }

    fn remove_named(&self, held: &[IpAddr], swept: &[Swept]) -> Result<()> {
        // A chained plugin has the same owner as the plugin that makes the interface.
        let is_swept = self.owned().any(|step| step.object.is_interface());
        let _locks = (!is_swept).then(|| self.exclude());
        let mut handles = Handles::open_lazily(self.pod.as_deref())?;
        handles.held = held.to_vec();
        let mut errors = Vec::new();
        // A failure is ignored here: the code that needs the link reads it again and reports the
        // error.
        handles.look_at(&self.host_links()).ok();
        // Rules are removed first. The kernel waits for a grace period for each deleted link, and
        // when the socket to nf_tables is closed after a removal. If that socket is closed last,
        // both waits end together.
        let silenced = self.steps.iter().try_for_each(|step| {
            step.object.silence(&mut self.at(&mut handles, step, Mode::Repair, &mut Vec::new()))
        });
        errors.extend(silenced.err());
        if is_swept {
            self.sweep(&mut handles, swept, &mut errors);
        }
        errors.extend(self.remove_objects(&mut handles, |removal| removal == Removal::First));
        thread::scope(|scope| {
            // What the network leaves behind if this was its last attachment is removed at the same
            // time as the container's link.
            let farewell = self.owned().find_map(|step| step.object.farewell());
            let network = &self.owner.network;
            let farewell = farewell
                .map(|farewell| move || farewell(&mut Handle::open(Place::Host, None)?, network));
            let beside =
                farewell.map(|work| (thread::Builder::new().spawn_scoped(scope, work), work));
            errors.extend(self.remove_objects(&mut handles, |removal| match removal {
                Removal::First => false,
                Removal::Swept => !is_swept,
                Removal::Last => true,
            }));
            let ended = match beside {
                Some((Ok(thread), work)) => thread.join().unwrap_or_else(|_| work()),
                Some((Err(_), work)) => work(),
                None => Ok(()),
            };
            errors.extend(ended.err());
        });
        all_of(errors)
    }

    /// Waits for another call of the attachment. `None` if it takes long: it must not block DEL.
    fn exclude(&self) -> Option<Locks> {
        let locks = Locks::open().ok()?;
        locks.take_attachment(&self.owner, Instant::now() + LONGEST_WAIT, || Ok(())).ok()?;
        Some(locks)
    }

    /// Removes the owner's objects of some kinds, including those that the plan does not name.
    fn sweep(&self, handles: &mut Handles, swept: &[Swept], errors: &mut Vec<Error>) {
        let (owner, steps) = (&self.owner, self.steps.as_slice());
        let mut del = Deletion { handles, owner, steps, doomed: Vec::new() };
        let mut failed = Vec::new();
        for kind in swept {
            failed.extend((kind.doom)(&mut del).err());
        }
        for kind in swept {
            failed.extend((kind.remove)(&mut del).err());
        }
        // Kinds with the same requirement on the kernel fail with the same error.
        for error in failed {
            if !errors.contains(&error) {
                errors.push(error);
            }
        }
    }

    /// Removes the owner's objects whose removal `is_meant` selects, and returns the errors.
    fn remove_objects(
        &self,
        handles: &mut Handles,
        is_meant: impl Fn(Removal) -> bool,
    ) -> Vec<Error> {
        let mut errors = Vec::new();
        for step in self.owned().rev().filter(|step| is_meant(step.object.removal())) {
            let mut nothing = Vec::new();
            let mut at = self.at(handles, step, Mode::Repair, &mut nothing);
            errors.extend(step.object.remove(&mut at).err().filter(|error| !error.is_gone()));
        }
        errors.extend(handles.flush().err());
        errors
    }

    /// The links on the host that must be known to remove what the owner owns.
    fn host_links(&self) -> Vec<&str> {
        let on_host = self.owned().filter(|step| step.place == Place::Host);
        let names: BTreeSet<&str> = on_host.filter_map(|step| step.object.looks_at()).collect();
        names.into_iter().collect()
    }

    fn make(&self, handles: &mut Handles, mode: Mode, undo: &mut Vec<Undo>) -> Result<()> {
        for step in &self.steps {
            step.object.apply(&mut self.at(handles, step, mode, undo))?;
        }
        handles.flush()
    }

    pub(crate) fn at<'a>(
        &'a self,
        handles: &'a mut Handles,
        step: &'a Step,
        mode: Mode,
        undo: &'a mut Vec<Undo>,
    ) -> At<'a> {
        At {
            handles,
            place: step.place,
            ownership: step.ownership,
            owner: &self.owner,
            object: &step.object,
            steps: &self.steps,
            mode,
            undo,
        }
    }

    /// Reads the values that the plan cannot know.
    fn observe(&self, handles: &mut Handles) -> Result<Applied> {
        let mut applied = Applied::default();
        for step in &self.steps {
            let mut nothing = Vec::new();
            let mut at = self.at(handles, step, Mode::Repair, &mut nothing);
            step.object.observe(&mut at, &mut applied)?;
        }
        Ok(applied)
    }
}

/// Rolls back what a failed ADD made, in reverse order, and returns the error that made it fail.
///
/// Rolls back shared objects only if no other ADD is running (which may be about to use them) and
/// no port is left. Host objects of the attachment stay if a link of the same attachment, made by
/// an earlier ADD, is live, because they belong to that link.
fn roll_back(
    plan: &Plan,
    handles: &mut Handles,
    undo: Vec<Undo>,
    lock: HostLock<'_>,
    error: Error,
) -> Error {
    // Do not send the requests of the steps after the failed one.
    handles.discard();
    let mut failures = Vec::new();
    let (links, others): (Vec<_>, Vec<_>) =
        undo.into_iter().rev().partition(|undo| matches!(undo, Undo::Link(..)));
    let mut back =
        |handles: &mut Handles, undo, alone| match take_back_one(plan, handles, undo, alone) {
            // The kernel deleted it with the container's end, or another program deleted it.
            Err(failure) if failure.is_gone() => {}
            Err(failure) => failures.push(failure.to_string()),
            Ok(()) => {}
        };
    links.into_iter().for_each(|undo| back(handles, undo, false));
    let (mut owned, shared): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|undo| !matches!(undo, Undo::Shared(..)));
    if !owned.is_empty() && living::lives(plan, &mut handles.host).unwrap_or(true) {
        owned.clear();
    }
    let farewell = owned.iter().find_map(|undo| match undo {
        Undo::Step(_, object) => object.farewell(),
        _ => None,
    });
    owned.into_iter().for_each(|undo| back(handles, undo, false));
    // Every ADD waits while the lock is exclusive, so it is exclusive only as long as necessary.
    let alone = lock.try_exclusive();
    shared.into_iter().for_each(|undo| back(handles, undo, alone));
    failures.extend(handles.flush().err().map(|failure| failure.to_string()));
    drop(lock);
    let ended = farewell.map(|farewell| farewell(&mut handles.host, &plan.owner.network));
    if let Some(Err(failure)) = ended {
        failures.push(failure.to_string());
    }
    if failures.is_empty() {
        return error;
    }
    // The reason and its error number stay: a shortage of memory passes, whatever else it prevented.
    let lines = [error.hint.clone(), format!("The rollback failed, too: {}", failures.join("; "))];
    let lines: Vec<String> = lines.into_iter().filter(|line| !line.is_empty()).collect();
    error.clone().hint(lines.join("\n"))
}

fn take_back_one(plan: &Plan, handles: &mut Handles, undo: Undo, alone: bool) -> Result<()> {
    match undo {
        Undo::Link(place, made) => {
            let link = handles.handle(place)?.link(&made.name)?;
            let Some(link) = link.filter(|link| made.is_owned(link, &plan.owner)) else {
                return Ok(());
            };
            if let (false, Some((place, peer))) = (made.is_certain, &made.peer) {
                let far = handles.handle(*place)?.link(peer)?;
                if far.is_none_or(|far| link.peer != Some(far.index)) {
                    return Ok(());
                }
            }
            handles.handle(place)?.now(link::delete(&made.name, link.index))
        }
        Undo::Shared(name, undo) if alone => {
            unused(handles, &name)?.map_or(Ok(()), |link| undo(&mut handles.host, &link))
        }
        Undo::Shared(..) => Ok(()),
        Undo::Setting(place, before) => handles.handle(place)?.inside(|| before.ensure()),
        Undo::Step(place, object) => object.remove(&mut At {
            handles,
            place,
            ownership: Ownership::Owned,
            owner: &plan.owner,
            object: &object,
            steps: &plan.steps,
            mode: Mode::Repair,
            undo: &mut Vec::new(),
        }),
    }
}

/// A shared link of the host, if it exists and has no ports.
fn unused(handles: &mut Handles, name: &str) -> Result<Option<Link>> {
    let Some(link) = handles.host.link(name)? else { return Ok(None) };
    let ports = handles.host.dump("list the ports of a bridge", link::ports_of(link.index))?;
    let has_ports = ports.iter().any(|port| Link::read(port).master == Some(link.index));
    Ok(Some(link).filter(|_| !has_ports))
}

pub(crate) fn all_of(errors: Vec<Error>) -> Result<()> {
    let mut errors = errors.into_iter();
    let Some(first) = errors.next() else { return Ok(()) };
    let rest: Vec<String> = errors.map(|error| error.to_string()).collect();
    if rest.is_empty() {
        return Err(first);
    }
    let said = format!("{}; {}", first.reason(), rest.join("; "));
    Err(Error { errno: 0, ..first }.said(said))
}
