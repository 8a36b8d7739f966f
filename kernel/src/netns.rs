//! Network namespaces by path.

use std::cell::OnceCell;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use nix::sys::statfs::{NSFS_MAGIC, PROC_SUPER_MAGIC, fstatfs};

use crate::error::{Doing, Error, Result};

/// The file of the namespace this thread is in (`namespaces(7)`).
const OWN: &str = "/proc/thread-self/ns/net";

/// An open network namespace.
#[derive(Debug)]
pub struct Namespace {
    file: File,
    path: String,
    /// The namespace to come back to, opened when this one is first entered. An open namespace stays on one thread, so
    /// it is always the same.
    home: OnceCell<File>,
}

impl Namespace {
    /// The namespace the thread is in: the host's, for a plugin.
    ///
    /// # Errors
    ///
    /// `/proc` cannot be read.
    pub fn current() -> Result<Namespace> {
        let file = File::open(OWN).doing(|| format!("open {OWN}"))?;
        Ok(Namespace { file, path: OWN.to_owned(), home: OnceCell::new() })
    }

    /// Opens the namespace at a path, as container runtimes give it in `CNI_NETNS`.
    ///
    /// # Errors
    ///
    /// [`Error::is_namespace`] is true for all of them: the path is not there, or is no network namespace.
    pub fn open(path: &Path) -> Result<Namespace> {
        let shown = path.display().to_string();
        let action = || format!("open the network namespace {shown}");
        // Not blocking: a path that is a pipe must not hang us.
        let mut options = File::options();
        let file = options.read(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
        let file = file.doing(action).map_err(Error::in_namespace)?;
        let kind = fstatfs(&file).doing(action).map_err(Error::in_namespace)?.filesystem_type();
        if kind != NSFS_MAGIC && kind != PROC_SUPER_MAGIC {
            return Err(Error::found(
                action(),
                "this is no namespace but an ordinary file or folder",
            )
            .hint(
                "give the path of a network namespace, such as /run/netns/NAME or /proc/PID/ns/net",
            )
            .in_namespace());
        }
        Ok(Namespace { file, path: shown, home: OnceCell::new() })
    }

    /// Whether both are the same namespace.
    ///
    /// # Errors
    ///
    /// The kernel would not say.
    pub fn is_same(&self, other: &Namespace) -> Result<bool> {
        let identity = |ns: &Namespace| {
            ns.file
                .metadata()
                .map(|meta| (meta.dev(), meta.ino()))
                .doing(|| format!("look at {}", ns.path))
        };
        Ok(identity(self)? == identity(other)?)
    }

    /// Runs `work` inside the namespace and comes back, whatever `work` returns.
    ///
    /// # Errors
    ///
    /// The namespace could not be entered, or what `work` returned. A thread that cannot come back must not go on
    /// working in the wrong namespace: the process ends.
    pub fn enter<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let home = match self.home.get() {
            Some(home) => home,
            None => {
                let home = File::open(OWN).doing(|| format!("open {OWN}"))?;
                self.home.get_or_init(|| home)
            }
        };
        setns(&self.file, CloneFlags::CLONE_NEWNET)
            .doing(|| format!("enter the network namespace {}", self.path))
            .map_err(Error::in_namespace)?;
        let _return = Return(home);
        work()
    }
}

/// A lock on a network namespace (`flock(2)` on its file): shared by those who make something in it, exclusive for who
/// takes back something shared. It is gone with the process.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    is_held: bool,
}

/// How often, and how long apart, the lock is asked for: some ten times as long as anybody of ours has it exclusively.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(4);

impl Namespace {
    /// Takes the lock, together with others. Whoever can open the file can hold it, so nobody waits for long: without it
    /// the work goes on, and what is shared is then not taken back.
    pub(crate) fn lock_shared(self) -> Lock {
        for _ in 0..TRIES {
            if self.file.try_lock_shared().is_ok() {
                return Lock { file: self.file, is_held: true };
            }
            std::thread::sleep(PAUSE);
        }
        Lock { file: self.file, is_held: false }
    }

    /// Takes the lock alone, as soon as nobody else has it; none if that is not so in time.
    pub(crate) fn lock_exclusive(self, patience: Duration) -> Option<Lock> {
        let deadline = Instant::now() + patience;
        while self.file.try_lock().is_err() {
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(PAUSE);
        }
        Some(Lock { file: self.file, is_held: true })
    }
}

impl Lock {
    /// Whether nobody else has the lock; nobody else gets it then.
    pub(crate) fn try_exclusive(&self) -> bool {
        self.is_held && self.file.try_lock().is_ok()
    }
}

/// Goes back when dropped, also if `work` unwinds.
struct Return<'a>(&'a File);

impl Drop for Return<'_> {
    fn drop(&mut self) {
        if setns(self.0, CloneFlags::CLONE_NEWNET).is_err() {
            std::process::abort();
        }
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
