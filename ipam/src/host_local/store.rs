//! The reservations of a network: its directory, looked up through the index.

use std::cell::Cell;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::ops::Deref;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use libcni::{Attachment, Context, NetworkName, Result};
use rustix::fs::{Access, access};

use crate::host_local::folder::{Folder, Stamp};
use crate::host_local::holder::Holder;
use crate::host_local::index::{Held, Index, Location, Table};
use crate::host_local::lock;
use crate::host_local::range::RangeSet;

/// The maximum number of times a directory is read while another program changes it without the
/// lock.
const TRIES: usize = 3;

/// A read-only view of a network's reservations.
#[derive(Debug)]
pub struct View {
    /// `None` if the network has no directory, and so no reservations.
    folder: Option<Rc<Folder>>,
    index: Index,
    /// Set when an answer may come from a wrong index.
    doubt: Cell<bool>,
}

/// A network's reservations, for changes. While this value exists, no other plugin changes them.
#[derive(Debug)]
pub struct Reservations {
    view: View,
    folder: Rc<Folder>,
    location: Location,
    /// The directory's stamp, until this process changes something.
    stamp: Option<Stamp>,
    /// Whether the index contains everything that was found and done.
    complete: bool,
    _lock: File,
}

impl View {
    /// Reads without the lock, and creates nothing. Other processes may change the reservations at
    /// any time.
    ///
    /// If the question must be repeated, the first answer is dropped.
    pub fn peek<T>(
        dir: &Path,
        network: &NetworkName,
        question: impl Fn(&View) -> Result<T>,
    ) -> Result<T> {
        let path = dir.join(network.as_str());
        let reading = || format!("read the folder {}", path.display());
        let folder = match Folder::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return question(&View::new(None, Index::new()));
            }
            folder => Rc::new(folder.context(reading)?),
        };
        let stamp = folder.stamp().context(reading)?;
        if let Some(index) = Index::load(&Location::of(dir, network), &stamp, false) {
            let view = View::new(Some(Rc::clone(&folder)), index);
            let answer = question(&view);
            // A process that writes to an index has changed the directory before.
            let same = view.index.is_unchanged() && folder.stamp().context(reading)? == stamp;
            if same && !view.doubt.get() {
                return answer;
            }
        }
        let (index, _) = read(&folder, |_| false).context(reading)?;
        question(&View::new(Some(folder), index))
    }

    fn new(folder: Option<Rc<Folder>>, index: Index) -> View {
        View { folder, index, doubt: Cell::new(false) }
    }

    /// The addresses reserved for an interface of a container or, if there are none, those that old
    /// versions reserved for the container.
    pub fn of_owner(&self, owner: &Attachment) -> Vec<IpAddr> {
        self.held_by(owner).into_iter().map(|(ip, _)| ip).collect()
    }

    /// As [`View::of_owner`], each with its holder.
    pub fn held_by(&self, owner: &Attachment) -> Vec<(IpAddr, Holder)> {
        let table = &self.index.table;
        let exact = |holder: &Holder| matches!(holder, Holder::Attachment(it) if it == owner);
        let held = self.certain(table.of_attachment(owner), exact);
        if !held.is_empty() {
            return held;
        }
        let old =
            |holder: &Holder| matches!(holder, Holder::Container(it) if *it == owner.container);
        self.certain(table.of_container(owner), old)
    }

    /// The addresses of an owner in the index that the files confirm.
    fn certain(
        &self,
        held: io::Result<Held>,
        is_theirs: impl Fn(&Holder) -> bool,
    ) -> Vec<(IpAddr, Holder)> {
        let theirs = |ip| Some((ip, self.holder(ip)?)).filter(|(_, holder)| is_theirs(holder));
        let mut found: Vec<(IpAddr, Holder)> = match held {
            Ok(Held::These(ips)) => {
                let found: Vec<_> = ips.iter().filter_map(|ip| theirs(*ip)).collect();
                if found.len() < ips.len() {
                    self.distrust();
                }
                found
            }
            Ok(Held::Many) => {
                self.all().into_iter().filter(|(_, holder)| is_theirs(holder)).collect()
            }
            Err(_) => {
                self.distrust();
                Vec::new()
            }
        };
        found.sort_by_key(|(ip, _)| *ip);
        found
    }

    /// The holder of an address, from its file; `None` if it is free.
    pub fn holder(&self, ip: IpAddr) -> Option<Holder> {
        self.folder.as_ref()?.holder(ip).filter(|holder| *holder != Holder::Nobody)
    }

    /// The first free address of a set after `last`, wrapping around; from the start if `last` is
    /// not in the set.
    pub fn next_free(&self, set: &RangeSet, last: Option<IpAddr>) -> Option<IpAddr> {
        for (first, last) in set.stretches_after(last) {
            match self.index.table.first_free(first, last) {
                Ok(Some(ip)) => return Some(ip),
                Ok(None) => {}
                Err(_) => self.distrust(),
            }
        }
        if !self.index.from_folder {
            self.distrust();
        }
        None
    }

    /// Every reservation in the files, including those of [`Holder::Nobody`].
    pub fn all(&self) -> Vec<(IpAddr, Holder)> {
        let mut all = Vec::new();
        if let Some(folder) = &self.folder {
            let complete = folder.scan(|ip, holder| all.push((ip, holder.clone())));
            if complete.is_err() {
                self.distrust();
            }
        }
        all.sort_by_key(|(ip, _)| *ip);
        all
    }

    /// The last address assigned from a range set.
    pub fn last(&self, set: usize) -> Result<Option<IpAddr>> {
        self.folder.as_ref().map_or(Ok(None), |folder| folder.last(set))
    }

    /// Describes the holder of an address, for messages.
    pub fn explain(&self, ip: IpAddr) -> String {
        match self.holder(ip) {
            Some(holder) => format!("{ip} is reserved for {holder}"),
            None => format!("{ip} is not reserved"),
        }
    }

    fn distrust(&self) {
        self.doubt.set(true);
    }
}

impl Reservations {
    /// Creates the directory of a network if it is missing, and takes its lock, waiting until
    /// shortly before `deadline`.
    pub fn open(dir: &Path, network: &NetworkName, deadline: Instant) -> Result<Reservations> {
        let folder = dir.join(network.as_str());
        let creating = || format!("create the folder {}", folder.display());
        if let Some(reservations) = Reservations::locked(dir, network, deadline)? {
            return Ok(reservations);
        }
        DirBuilder::new().recursive(true).mode(0o755).create(&folder).context(creating)?;
        let reservations = Reservations::locked(dir, network, deadline)?;
        reservations.ok_or(io::Error::from(ErrorKind::NotFound)).context(creating)
    }

    /// As [`Reservations::open`], but does not create a missing directory, which has no
    /// reservations.
    pub fn open_existing(
        dir: &Path,
        network: &NetworkName,
        deadline: Instant,
    ) -> Result<Option<Reservations>> {
        let reservations = Reservations::locked(dir, network, deadline)?;
        if reservations.is_none() {
            Location::of(dir, network).remove();
        }
        Ok(reservations)
    }

    fn locked(
        dir: &Path,
        network: &NetworkName,
        deadline: Instant,
    ) -> Result<Option<Reservations>> {
        let path = dir.join(network.as_str());
        let reading = || format!("read the folder {}", path.display());
        let Some(lock) = lock::take(&path, deadline)? else { return Ok(None) };
        let folder = Rc::new(Folder::open(&path).context(reading)?);
        let location = Location::of(dir, network);
        let stamp = folder.stamp().context(reading)?;
        let index = Index::load(&location, &stamp, true);
        let complete = index.is_some();
        let view = View::new(Some(Rc::clone(&folder)), index.unwrap_or_else(Index::new));
        let (stamp, _lock) = (Some(stamp), lock);
        let mut reservations = Reservations { view, folder, location, stamp, complete, _lock };
        if !complete {
            reservations.review(|_| false)?;
        }
        Ok(Some(reservations))
    }

    /// Answers a question that decides about a change. If the answer may come from a wrong index,
    /// the question is repeated with an index that was rebuilt from the directory.
    pub fn ask<T>(&mut self, question: impl Fn(&View) -> Result<T>) -> Result<T> {
        self.view.doubt.set(false);
        if self.complete {
            let answer = question(&self.view);
            if !self.view.doubt.get() {
                return answer;
            }
        }
        self.review(|_| false)?;
        question(&self.view)
    }

    /// Rebuilds the index from the directory, and returns the reservations that `pick` selects.
    pub fn review(&mut self, pick: impl Fn(&Holder) -> bool) -> Result<Vec<(IpAddr, Holder)>> {
        self.folder.clean()?;
        let mut picked = Vec::new();
        for _ in 0..TRIES {
            // If the time cannot be set, there will be no index.
            self.stamp = self.folder.set_stamp().ok();
            (self.view.index, picked) =
                read(&self.folder, &pick).context(|| "read the folder of the network")?;
            self.complete = true;
            if self.stamp.is_none() || self.folder.stamp().ok() == self.stamp {
                return Ok(picked);
            }
            self.change();
        }
        Ok(picked)
    }

    /// Reserves an address. Returns false if it is already reserved.
    pub fn reserve(&mut self, ip: IpAddr, owner: &Attachment) -> Result<bool> {
        self.change();
        let mut reserved = self.folder.reserve(ip, owner)?;
        if !reserved && self.folder.holder(ip) == Some(Holder::Nobody) {
            self.folder.release(ip)?;
            reserved = self.folder.reserve(ip, owner)?;
        }
        match reserved {
            true => self.note(|table| {
                table.take(ip)?;
                table.own(&Holder::Attachment(owner.clone()), ip)
            }),
            // The index did not know, or the caller tried the address anyway.
            false => drop(self.review(|_| false)?),
        }
        Ok(reserved)
    }

    /// Releases an address. An address that is already free is not an error.
    pub fn release(&mut self, ip: IpAddr) -> Result<()> {
        match self.folder.holder(ip) {
            Some(holder) => self.release_from(ip, &holder),
            None => Ok(()),
        }
    }

    /// Releases an address whose holder is known.
    pub fn release_from(&mut self, ip: IpAddr, holder: &Holder) -> Result<()> {
        self.change();
        self.folder.release(ip)?;
        self.note(|table| {
            table.free(ip)?;
            table.disown(holder, ip)
        });
        Ok(())
    }

    /// Records the last address assigned from a range set, so that a released address is not reused
    /// at once.
    pub fn set_last(&mut self, set: usize, ip: IpAddr) -> Result<()> {
        self.change();
        self.folder.set_last(set, ip)
    }

    /// From now on the directory differs from the index on disk.
    fn change(&mut self) {
        self.stamp = None;
        self.view.index.from_folder = false;
    }

    /// Records a change in the index. If that fails, the next call that needs the index rebuilds
    /// it.
    fn note(&mut self, what: impl FnOnce(&mut Table) -> io::Result<()>) {
        self.complete &= what(&mut self.view.index.table).is_ok();
    }

    /// Makes the index valid from now on, unless it is incomplete or is valid already.
    fn seal(&mut self) -> io::Result<()> {
        let stamp = match self.stamp {
            _ if !self.complete => return Ok(()),
            Some(_) if self.view.index.table.file().is_some() => return Ok(()),
            Some(stamp) => stamp,
            None => self.folder.set_stamp()?,
        };
        self.view.index.save(&self.location, &stamp)
    }
}

impl Drop for Reservations {
    /// Without an index the next call only takes longer.
    fn drop(&mut self) {
        self.seal().ok();
    }
}

impl Deref for Reservations {
    type Target = View;
    fn deref(&self) -> &View {
        &self.view
    }
}

/// Reads every reservation of a directory, and picks some.
fn read(
    folder: &Folder,
    pick: impl Fn(&Holder) -> bool,
) -> io::Result<(Index, Vec<(IpAddr, Holder)>)> {
    let (mut index, mut picked, mut outcome) = (Index::new(), Vec::new(), Ok(()));
    folder.scan(|ip, holder| {
        if pick(holder) {
            picked.push((ip, holder.clone()));
        }
        if outcome.is_ok() && *holder != Holder::Nobody {
            outcome = index.table.take(ip).and_then(|()| index.table.own(holder, ip));
        }
    })?;
    outcome.map(|()| (index, picked))
}

/// Checks that reservations could be written, as far as possible without writing: in the network's
/// directory, or in its nearest existing parent.
///
/// # Errors
///
/// Returns the reason if they cannot.
pub fn writable(dir: &Path, network: &NetworkName) -> Result<()> {
    let folder = dir.join(network.as_str());
    let there = folder.ancestors().find(|path| fs::metadata(path).is_ok()).unwrap_or(dir);
    let is_folder = fs::metadata(there).and_then(|it| match it.is_dir() {
        true => Ok(()),
        false => Err(ErrorKind::NotADirectory.into()),
    });
    is_folder
        .and_then(|()| Ok(access(there, Access::WRITE_OK | Access::EXEC_OK)?))
        .context(|| format!("write reservations in {}: {}", folder.display(), there.display()))?;
    lock::usable(&folder)
}

#[cfg(test)]
mod tests;
