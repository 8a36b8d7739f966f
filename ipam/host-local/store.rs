//! Who holds which address: the files of a network's folder, in the reference's layout.
//!
//! | file | content |
//! |---|---|
//! | an address, as in `10.1.2.5` or `2001:db8::5` | the container ID, CR LF, the interface name; or, by old versions, the ID alone |
//! | `last_reserved_ip.0`, `.1`, ... | the address that was last handed out of the first, second, ... range set |
//! | `lock` | nothing; whoever changes something here holds `flock(2)` on it |
//! | `.draft` | what is being written, complete before it gets one of the names above |
//!
//! Other files are left alone. The types below promise nothing about how they look things up: today they read the folder.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use libcni::{Attachment, ContainerId, Context, IfName, NetworkName, Result};
use nix::fcntl::OFlag;
use nix::unistd::{AccessFlags, access};

use crate::host_local::lock;
use crate::host_local::range::RangeSet;

/// Between the container ID and the interface name in a reservation's file.
const LINE_BREAK: &str = "\r\n";

/// The largest file that is read: an ID and a name are far shorter.
const MAX_BYTES: u64 = 4096;

/// Who an address is reserved for, by the content of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// The interface of a container.
    Attachment(Attachment),
    /// A container, in the form of old versions, which did not write the interface.
    Container(ContainerId),
    /// Something else, such as a file made by hand, a folder or a symlink. The address is taken, by none of ours.
    Other,
    /// Nobody: an empty file. Its writer was killed before it wrote, since no writer is at work while we hold the lock.
    Nobody,
}

/// What is reserved in a network, to look at.
#[derive(Debug)]
pub struct View {
    folder: PathBuf,
    taken: BTreeMap<IpAddr, Holder>,
}

/// What is reserved in a network, to change. While it lives, nobody else changes it.
#[derive(Debug)]
pub struct Reservations {
    view: View,
    _lock: File,
}

impl View {
    /// Looks without the lock, making nothing. Others may change what was seen at any time.
    pub fn peek(dir: &Path, network: &NetworkName) -> Result<View> {
        let folder = dir.join(network.as_str());
        let taken = scan(&folder).context(|| format!("read the folder {}", folder.display()))?;
        Ok(View { folder, taken })
    }

    /// The addresses reserved for an interface of a container or, if there are none, those that old versions reserved
    /// for the container.
    pub fn of_owner(&self, owner: &Attachment) -> Vec<IpAddr> {
        let held = |is_theirs: &dyn Fn(&Holder) -> bool| -> Vec<IpAddr> {
            self.taken.iter().filter(|(_, holder)| is_theirs(holder)).map(|(ip, _)| *ip).collect()
        };
        let exact = held(&|holder| matches!(holder, Holder::Attachment(it) if it == owner));
        if !exact.is_empty() {
            return exact;
        }
        held(&|holder| matches!(holder, Holder::Container(it) if *it == owner.container))
    }

    /// Who an address is reserved for; none if it is free.
    pub fn holder(&self, ip: IpAddr) -> Option<&Holder> {
        self.taken.get(&ip).filter(|holder| **holder != Holder::Nobody)
    }

    /// The first free address of a set behind `last`, going round; from the start if `last` is not in the set.
    pub fn next_free(&self, set: &RangeSet, last: Option<IpAddr>) -> Option<IpAddr> {
        set.iter_after(last).find(|ip| self.holder(*ip).is_none())
    }

    /// Every reservation, also those of [`Holder::Nobody`].
    pub fn all(&self) -> impl Iterator<Item = (IpAddr, &Holder)> {
        self.taken.iter().map(|(ip, holder)| (*ip, holder))
    }

    /// The address that was last handed out of a range set.
    pub fn last(&self, set: usize) -> Result<Option<IpAddr>> {
        let path = self.folder.join(last_name(set));
        match read(&path) {
            Ok(text) => Ok(String::from_utf8(text).ok().and_then(|text| text.parse().ok())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context(|| format!("read {}", path.display())),
        }
    }

    /// Says whose an address is, for messages.
    pub fn explain(&self, ip: IpAddr) -> String {
        match self.holder(ip) {
            Some(holder) => format!("{ip} is reserved for {holder}"),
            None => format!("{ip} is not reserved"),
        }
    }

    fn path(&self, ip: IpAddr) -> PathBuf {
        self.folder.join(ip.to_string())
    }
}

impl Reservations {
    /// Makes the folder of a network if need be, and takes its lock, waiting for it until shortly before `deadline`.
    pub fn open(dir: &Path, network: &NetworkName, deadline: Instant) -> Result<Reservations> {
        let folder = dir.join(network.as_str());
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&folder)
            .context(|| format!("create the folder {}", folder.display()))?;
        Reservations::locked(dir, network, deadline)
    }

    /// As [`Reservations::open`], but where there is no folder, nothing is reserved and nothing is made.
    pub fn open_existing(
        dir: &Path,
        network: &NetworkName,
        deadline: Instant,
    ) -> Result<Option<Reservations>> {
        let folder = dir.join(network.as_str());
        match fs::metadata(&folder) {
            Ok(_) => Reservations::locked(dir, network, deadline).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context(|| format!("look at {}", folder.display())),
        }
    }

    fn locked(dir: &Path, network: &NetworkName, deadline: Instant) -> Result<Reservations> {
        let lock = lock::take(&dir.join(network.as_str()), deadline)?;
        let reservations = Reservations { view: View::peek(dir, network)?, _lock: lock };
        remove(&reservations.draft_path())?;
        Ok(reservations)
    }

    /// Reserves an address. False if somebody has it already.
    pub fn reserve(&mut self, ip: IpAddr, owner: &Attachment) -> Result<bool> {
        match self.view.taken.get(&ip) {
            Some(Holder::Nobody) => self.release(ip)?,
            Some(_) => return Ok(false),
            None => {}
        }
        let path = self.view.path(ip);
        let draft = self.draft(&format!("{}{LINE_BREAK}{}", owner.container, owner.ifname))?;
        // A link does what a rename does not: it fails where there is a file, even one made without the lock.
        let linked = fs::hard_link(&draft, &path);
        remove(&draft)?;
        let (holder, reserved) = match linked {
            Ok(()) => (Holder::Attachment(owner.clone()), true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => (Holder::Other, false),
            Err(error) => return Err(error).context(|| format!("create {}", path.display())),
        };
        self.view.taken.insert(ip, holder);
        Ok(reserved)
    }

    /// Gives an address back. That it is free already is no error.
    pub fn release(&mut self, ip: IpAddr) -> Result<()> {
        remove(&self.view.path(ip))?;
        self.view.taken.remove(&ip);
        Ok(())
    }

    /// Remembers what was last handed out of a range set, so that an address that is given back is not reused at once.
    pub fn set_last(&mut self, set: usize, ip: IpAddr) -> Result<()> {
        let path = self.view.folder.join(last_name(set));
        let draft = self.draft(&ip.to_string())?;
        let renamed = fs::rename(&draft, &path);
        if renamed.is_err() {
            remove(&draft)?;
        }
        renamed.context(|| format!("write {}", path.display()))
    }

    /// A complete file under a name that means nothing to anybody, to be given its name in one step.
    fn draft(&self, content: &str) -> Result<PathBuf> {
        let path = self.draft_path();
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(content.as_bytes()));
        if let Err(error) = written {
            remove(&path)?;
            return Err(error).context(|| format!("write {}", path.display()));
        }
        Ok(path)
    }

    fn draft_path(&self) -> PathBuf {
        self.view.folder.join(".draft")
    }
}

impl Deref for Reservations {
    type Target = View;
    fn deref(&self) -> &View {
        &self.view
    }
}

impl Holder {
    /// Whether this is the interface of a container, or by an old file the container.
    pub fn is(&self, owner: &Attachment) -> bool {
        match self {
            Holder::Attachment(it) => it == owner,
            Holder::Container(id) => *id == owner.container,
            Holder::Other | Holder::Nobody => false,
        }
    }

    fn parse(content: &[u8]) -> Holder {
        let Ok(text) = std::str::from_utf8(content) else { return Holder::Other };
        let text = text.trim();
        if text.is_empty() {
            return Holder::Nobody;
        }
        let parsed = match text.split_once(LINE_BREAK) {
            Some((container, ifname)) => ContainerId::new(container).and_then(|container| {
                Ok(Holder::Attachment(Attachment { container, ifname: IfName::new(ifname)? }))
            }),
            None => ContainerId::new(text).map(Holder::Container),
        };
        parsed.unwrap_or(Holder::Other)
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Holder::Attachment(it) => write!(f, "{} of container {}", it.ifname, it.container),
            Holder::Container(id) => write!(f, "container {id}"),
            Holder::Other => f.write_str("a file that names no container"),
            Holder::Nobody => f.write_str("nobody"),
        }
    }
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
        .and_then(|()| Ok(access(there, AccessFlags::W_OK | AccessFlags::X_OK)?))
        .context(|| format!("write reservations in {}: {}", folder.display(), there.display()))
}

/// Reads every reservation of a folder; none if it is not there.
fn scan(folder: &Path) -> io::Result<BTreeMap<IpAddr, Holder>> {
    let mut taken = BTreeMap::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(taken),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let name = entry?.file_name();
        let Some(ip) = name.to_str().and_then(address) else { continue };
        let holder = match read(&folder.join(&name)) {
            Ok(content) => Holder::parse(&content),
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(_) => Holder::Other,
        };
        taken.insert(ip, holder);
    }
    Ok(taken)
}

/// The address a file stands for: the name has to be the one we would give, for one address has one file.
fn address(name: &str) -> Option<IpAddr> {
    let ip: IpAddr = name.parse().ok()?;
    (ip.to_canonical().to_string() == name).then_some(ip)
}

/// Reads a file, following no symlink and waiting for no FIFO.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut content = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut content)?;
    Ok(content)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn last_name(set: usize) -> String {
    format!("last_reserved_ip.{set}")
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
