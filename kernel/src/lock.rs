//! Locks between the calls on a host, which only the user that the plugins run as can take.
//!
//! The locks are open file description locks (`fcntl_locking(2)`) on single bytes of one empty
//! file. One open file holds all locks of a call, and the kernel releases them when the call ends,
//! for whatever reason. An unprivileged user can open neither the file nor its directory, and
//! therefore cannot block a call.
//!
//! The offsets of the bytes depend on the host's network namespace, so hosts that share a file
//! system do not wait for each other.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::unistd::geteuid;

use crate::error::{Doing, Error, Result};
use crate::netns::OWN;
use crate::owner::Owner;

/// The directories of the file. The second is used if the first cannot be, because `/run` is
/// read-only or, in a user namespace, belongs to another user.
const FOLDERS: [&str; 2] = ["/run/ferrocni", "/var/lib/cni/networks/.ferrocni"];
/// The file's name.
const FILE: &str = "lock";
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(2);
/// How long a call waits for another that rolls back shared objects, which takes some 20 ms. After
/// that it continues without the lock.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longer than an ADD usually takes, also on a busy host. An ADD that waits for a DHCP server takes
/// minutes.
const USUAL: Duration = Duration::from_secs(5);
/// A bit that is set in the offsets of attachments, and not in those of hosts.
const ATTACHMENTS: u64 = 1 << 62;

/// The open lock file. Closing it releases every lock on it.
#[derive(Debug)]
pub(crate) struct Locks {
    /// `None` if there is no file that only this user can open. Then no lock is taken.
    file: Option<File>,
    /// The inode number of the host's network namespace.
    host: u64,
}

/// The lock on the shared objects of a host.
#[derive(Debug)]
pub(crate) struct HostLock<'a> {
    locks: &'a Locks,
    is_held: bool,
}

/// The exclusive right of a caller outside the plugins to work on an attachment. It ends when this
/// is dropped.
#[derive(Debug)]
pub struct Turn {
    _locks: Locks,
}

impl Turn {
    /// Waits for the right; `None` if it does not become available in time.
    ///
    /// # Errors
    ///
    /// Returns an error if `/proc` cannot be read.
    pub fn take(owner: &Owner, patience: Duration) -> Result<Option<Turn>> {
        // No network can have such a name. The called plugin locks another byte, so it does not
        // wait for this one.
        let network = format!("turn {}", owner.network);
        let locks = Locks::open()?;
        let place = locks.place_of(&Owner { network, ..owner.clone() });
        match locks.wait(place, Kind::Exclusive, patience) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            _ => Ok(Some(Turn { _locks: locks })),
        }
    }
}

/// The mode of a lock.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Shared,
    Exclusive,
    None,
}

impl Locks {
    /// Opens the lock file of the host whose network namespace the thread is in.
    ///
    /// # Errors
    ///
    /// Returns an error if `/proc` cannot be read.
    pub(crate) fn open() -> Result<Locks> {
        let host = fs::metadata(OWN).doing(|| format!("look at {OWN}"))?.ino();
        Ok(Locks { file: FOLDERS.iter().find_map(|folder| open(Path::new(folder)).ok()), host })
    }

    /// Whether locks can be taken. Without locks, no shared object is rolled back.
    pub(crate) fn are_usable(&self) -> bool {
        self.file.is_some()
    }

    /// Waits until no other call creates the attachment of `owner`, and excludes other calls until
    /// this is dropped. If the other call takes long, `look` may find a reason not to wait for its
    /// end.
    ///
    /// # Errors
    ///
    /// Returns the error of `look`, or an error if another call still creates the attachment
    /// shortly before `deadline`.
    pub(crate) fn take_attachment(
        &self,
        owner: &Owner,
        deadline: Instant,
        look: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let left = deadline.saturating_duration_since(Instant::now());
        let (place, patience) = (self.place_of(owner), left - left / 10);
        let taken = match self.wait(place, Kind::Exclusive, patience.min(USUAL)) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                look()?;
                self.wait(place, Kind::Exclusive, patience.saturating_sub(USUAL))
            }
            taken => taken,
        };
        match taken {
            // Without a lock, the kernel still refuses the second of two links.
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(Error::found(
                format!("attach {owner}"),
                "another ADD of the same attachment is still in progress",
            )
            .hint("wait until it has ended, then DEL the attachment and ADD it again")),
            _ => Ok(()),
        }
    }

    /// Takes the host's lock, shared, for a call that creates or uses shared objects.
    pub(crate) fn share_host(&self) -> HostLock<'_> {
        let is_held = self.wait(self.host_place(), Kind::Shared, PATIENCE).is_ok();
        HostLock { locks: self, is_held }
    }

    /// Takes the host's lock exclusively, to delete a shared object. `None` if other calls hold it
    /// until `patience` ends.
    pub(crate) fn take_host(&self, patience: Duration) -> Option<HostLock<'_>> {
        self.wait(self.host_place(), Kind::Exclusive, patience).ok()?;
        Some(HostLock { locks: self, is_held: true })
    }

    fn place_of(&self, owner: &Owner) -> u64 {
        ATTACHMENTS | (owner.lock_number(self.host) & (ATTACHMENTS - 1))
    }

    fn host_place(&self) -> u64 {
        self.host & (ATTACHMENTS - 1)
    }

    fn wait(&self, place: u64, kind: Kind, patience: Duration) -> io::Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            match self.set(place, kind) {
                Err(error)
                    if error.kind() == ErrorKind::WouldBlock && Instant::now() < deadline =>
                {
                    thread::sleep(PAUSE);
                }
                done => return done,
            }
        }
    }

    /// Locks or releases a byte without waiting. Returns [`ErrorKind::WouldBlock`] if another call
    /// holds the lock.
    fn set(&self, place: u64, kind: Kind) -> io::Result<()> {
        let Some(file) = &self.file else { return Err(ErrorKind::Unsupported.into()) };
        let kind = match kind {
            Kind::Shared => libc::F_RDLCK,
            Kind::Exclusive => libc::F_WRLCK,
            Kind::None => libc::F_UNLCK,
        };
        let lock = libc::flock {
            l_type: kind as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: place as libc::off_t,
            l_len: 1,
            l_pid: 0,
        };
        Ok(fcntl(file, FcntlArg::F_OFD_SETLK(&lock)).map(drop)?)
    }
}

impl HostLock<'_> {
    /// Makes the lock exclusive if no other call holds it. Returns whether it is exclusive; then no
    /// other call can take it.
    pub(crate) fn try_exclusive(&self) -> bool {
        self.is_held && self.locks.set(self.locks.host_place(), Kind::Exclusive).is_ok()
    }
}

impl Drop for HostLock<'_> {
    fn drop(&mut self) {
        if self.is_held {
            // Releasing a held lock does not fail. If it did, the kernel would release the lock
            // when the call ends.
            self.locks.set(self.locks.host_place(), Kind::None).ok();
        }
    }
}

/// Opens the lock file in a directory, and creates both if necessary.
fn open(folder: &Path) -> io::Result<File> {
    let path = folder.join(FILE);
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = match options.open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if let Some(parent) = folder.parent() {
                DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
            }
            match DirBuilder::new().mode(0o700).create(folder) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            let found = fs::symlink_metadata(folder)?;
            if !found.is_dir() || found.uid() != geteuid().as_raw() || found.mode() & 0o022 != 0 {
                return Err(ErrorKind::PermissionDenied.into());
            }
            options.create(true).mode(0o600).open(&path)?
        }
        file => file?,
    };
    // Another user who can open the file can also lock it.
    let found = file.metadata()?;
    match found.is_file() && found.uid() == geteuid().as_raw() && found.mode() & 0o077 == 0 {
        true => Ok(file),
        false => Err(ErrorKind::PermissionDenied.into()),
    }
}
