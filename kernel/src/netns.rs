//! Network namespaces by path.

use std::cell::OnceCell;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::sched::{CloneFlags, setns};
use nix::sys::statfs::{NSFS_MAGIC, PROC_SUPER_MAGIC, fstatfs};
use serde::Serialize;

use crate::error::{Doing, Error, Result};

/// The file of the namespace this thread is in (`namespaces(7)`).
pub(crate) const OWN: &str = "/proc/thread-self/ns/net";

/// The namespace an object is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The host's namespace, in which the plugin was started.
    Host,
    /// The container's namespace.
    Pod,
}

/// An open network namespace.
#[derive(Debug)]
pub struct Namespace {
    file: File,
    path: String,
    /// The namespace to return to, opened when this one is first entered. An open namespace stays
    /// on one thread, so it is always the same.
    home: OnceCell<File>,
}

impl Namespace {
    /// The thread's namespace, which is the host's for a plugin.
    ///
    /// # Errors
    ///
    /// Returns an error if `/proc` cannot be read.
    pub fn current() -> Result<Namespace> {
        let file = File::open(OWN).doing(|| format!("open {OWN}"))?;
        Ok(Namespace { file, path: OWN.to_owned(), home: OnceCell::new() })
    }

    /// Opens the namespace at a path, as container runtimes give it in `CNI_NETNS`.
    ///
    /// # Errors
    ///
    /// Returns an error, for which [`Error::is_namespace`] is true, if the path does not exist or
    /// is not a network namespace.
    pub fn open(path: &Path) -> Result<Namespace> {
        let shown = path.display().to_string();
        let action = || format!("open the network namespace {shown}");
        // Not blocking: opening a path that is a pipe must not hang.
        let mut options = File::options();
        let file = options.read(true).custom_flags(nix::libc::O_NONBLOCK).open(path);
        let file = file.doing(action).map_err(Error::in_namespace)?;
        let kind = fstatfs(&file).doing(action).map_err(Error::in_namespace)?.filesystem_type();
        if kind != NSFS_MAGIC && kind != PROC_SUPER_MAGIC {
            return Err(Error::found(
                action(),
                "this is a file or directory, not a network namespace",
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
    /// Returns an error if the kernel refuses.
    pub fn is_same(&self, other: &Namespace) -> Result<bool> {
        let identity = |ns: &Namespace| {
            ns.file
                .metadata()
                .map(|meta| (meta.dev(), meta.ino()))
                .doing(|| format!("look at {}", ns.path))
        };
        Ok(identity(self)? == identity(other)?)
    }

    /// Runs `work` inside the namespace and returns to the former one, whatever `work` returns.
    ///
    /// # Errors
    ///
    /// Returns an error if the namespace cannot be entered, or the error of `work`. A thread that
    /// cannot return must not continue in the wrong namespace, so the process ends.
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

/// Returns to the namespace when dropped, also if `work` unwinds.
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
