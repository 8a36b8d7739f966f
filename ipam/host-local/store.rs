//! Who holds which address: a network's folder, looked up in its index.

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

/// How often a folder is read that somebody changes without the lock meanwhile.
const TRIES: usize = 3;

/// What is reserved in a network, to look at.
#[derive(Debug)]
pub struct View {
    /// None if the network has none: then nothing is reserved.
    folder: Option<Rc<Folder>>,
    index: Index,
    /// Set by an answer that a wrong index may have led to.
    doubt: Cell<bool>,
}

/// What is reserved in a network, to change. While it lives, nobody else changes it.
#[derive(Debug)]
pub struct Reservations {
    view: View,
    folder: Rc<Folder>,
    location: Location,
    /// The folder's, as long as we change nothing.
    stamp: Option<Stamp>,
    /// Whether the index says all that was found and done.
    complete: bool,
    _lock: File,
}

impl View {
    /// Looks without the lock, making nothing. Others may change what was seen at any time.
    ///
    /// If it has to be asked twice, what is answered first is forgotten.
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
            // Whoever writes to an index has changed the folder before.
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

    /// The addresses reserved for an interface of a container or, if there are none, those that old versions reserved
    /// for the container.
    pub fn of_owner(&self, owner: &Attachment) -> Vec<IpAddr> {
        self.held_by(owner).into_iter().map(|(ip, _)| ip).collect()
    }

    /// As [`View::of_owner`], each with what its file says.
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

    /// What the index says an owner holds, as far as the files say so too.
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

    /// Who an address is reserved for, by its file; none if it is free.
    pub fn holder(&self, ip: IpAddr) -> Option<Holder> {
        self.folder.as_ref()?.holder(ip).filter(|holder| *holder != Holder::Nobody)
    }

    /// The first free address of a set behind `last`, going round; from the start if `last` is not in the set.
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

    /// Every reservation by the files, also those of [`Holder::Nobody`].
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

    /// The address that was last handed out of a range set.
    pub fn last(&self, set: usize) -> Result<Option<IpAddr>> {
        self.folder.as_ref().map_or(Ok(None), |folder| folder.last(set))
    }

    /// Says whose an address is, for messages.
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
    /// Makes the folder of a network if need be, and takes its lock, waiting for it until shortly before `deadline`.
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

    /// As [`Reservations::open`], but where there is no folder, nothing is reserved and nothing is made.
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

    /// Asks something that decides what is done. Where a wrong index may have led to the answer, it is asked again with one
    /// that was made from the folder.
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

    /// Makes the index anew from the folder, and says which reservations are to be picked.
    pub fn review(&mut self, pick: impl Fn(&Holder) -> bool) -> Result<Vec<(IpAddr, Holder)>> {
        self.folder.clean()?;
        let mut picked = Vec::new();
        for _ in 0..TRIES {
            // Where no time can be set, there will be no index.
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

    /// Reserves an address. False if somebody has it already.
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
            // The index did not say so, or we were asked to try all the same.
            false => drop(self.review(|_| false)?),
        }
        Ok(reserved)
    }

    /// Gives an address back. That it is free already is no error.
    pub fn release(&mut self, ip: IpAddr) -> Result<()> {
        match self.folder.holder(ip) {
            Some(holder) => self.release_from(ip, &holder),
            None => Ok(()),
        }
    }

    /// Gives an address back whose holder is known.
    pub fn release_from(&mut self, ip: IpAddr, holder: &Holder) -> Result<()> {
        self.change();
        self.folder.release(ip)?;
        self.note(|table| {
            table.free(ip)?;
            table.disown(holder, ip)
        });
        Ok(())
    }

    /// Remembers what was last handed out of a range set, so that an address that is given back is not reused at once.
    pub fn set_last(&mut self, set: usize, ip: IpAddr) -> Result<()> {
        self.change();
        self.folder.set_last(set, ip)
    }

    /// From now on the folder is another than the index on disk says.
    fn change(&mut self) {
        self.stamp = None;
        self.view.index.from_folder = false;
    }

    /// Says in the index what was done. If that fails, it is made anew by whoever needs it next.
    fn note(&mut self, what: impl FnOnce(&mut Table) -> io::Result<()>) {
        self.complete &= what(&mut self.view.index.table).is_ok();
    }

    /// Has the index believed from now on, if it is worth it.
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
    /// Without an index the next call takes longer, and that is all.
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

/// Reads every reservation of a folder, and picks some.
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

/// Whether reservations could be written, as far as it can be told without writing: the network's folder, or the nearest
/// one above it that is there.
///
/// # Errors
///
/// Why not.
pub fn writable(dir: &Path, network: &NetworkName) -> Result<()> {
    let folder = dir.join(network.as_str());
    let there = folder.ancestors().find(|path| fs::metadata(path).is_ok()).unwrap_or(dir);
    let is_folder = fs::metadata(there).and_then(|it| match it.is_dir() {
        true => Ok(()),
        false => Err(ErrorKind::NotADirectory.into()),
    });
    is_folder
        .and_then(|()| Ok(access(there, Access::WRITE_OK | Access::EXEC_OK)?))
        .context(|| format!("write reservations in {}: {}", folder.display(), there.display()))
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
