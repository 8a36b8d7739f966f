//! An error about a kernel object: the action, the object, the kernel's reason, and a remedy.

use std::fmt;
use std::io;

/// The result of every fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed operation on a kernel object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The action, with the object's name: `create bridge cni0`.
    pub action: String,
    /// The error number (`errno(3)`); 0 if the error does not come from the kernel.
    pub errno: i32,
    /// The message of the kernel (netlink extended ack) or of a tool, or what this crate found.
    pub said: String,
    /// The remedy, for the user; empty if none is known.
    pub hint: String,
    pub(crate) namespace: bool,
    pub(crate) unanswered: bool,
}

impl Error {
    /// The kernel answered with an error number.
    pub fn errno(action: impl Into<String>, errno: i32) -> Error {
        Error {
            action: action.into(),
            errno: errno.abs(),
            said: String::new(),
            hint: String::new(),
            namespace: false,
            unanswered: false,
        }
    }

    /// This crate found an invalid state.
    pub fn found(action: impl Into<String>, said: impl Into<String>) -> Error {
        Error { said: said.into(), ..Error::errno(action, 0) }
    }

    /// Adds the remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = hint.into();
        self
    }

    /// Adds the kernel's message.
    #[must_use]
    pub fn said(mut self, said: impl Into<String>) -> Error {
        self.said = said.into();
        self
    }

    /// Marks the error as one about a network namespace itself, not about an object in it.
    #[must_use]
    pub(crate) fn in_namespace(mut self) -> Error {
        self.namespace = true;
        self
    }

    /// Whether a network namespace could not be used.
    pub fn is_namespace(&self) -> bool {
        self.namespace
    }

    /// Marks the error as a lost answer to a request that was sent.
    #[must_use]
    pub(crate) fn without_answer(mut self) -> Error {
        self.unanswered = true;
        self
    }

    /// Whether the request was sent and its answer was lost. The kernel may have carried it out.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.unanswered
    }

    /// Whether the object does not exist. For a removal, that is success.
    pub fn is_gone(&self) -> bool {
        matches!(
            self.errno,
            libc_errno::ENOENT | libc_errno::ENODEV | libc_errno::ESRCH | libc_errno::EADDRNOTAVAIL
        )
    }

    /// Whether the object exists already.
    pub fn is_taken(&self) -> bool {
        self.errno == libc_errno::EEXIST
    }

    /// Whether the kernel lacked memory for the request, or for its answer (`ENOMEM`, `ENOBUFS`).
    /// The same request may succeed later.
    pub fn is_shortage(&self) -> bool {
        matches!(self.errno, libc_errno::ENOMEM | libc_errno::ENOBUFS)
    }

    /// The kernel's part of the message: the reason without the action.
    pub fn reason(&self) -> String {
        let number = match self.errno {
            0 => String::new(),
            errno => io::Error::from_raw_os_error(errno).to_string(),
        };
        match (number.as_str(), self.said.as_str()) {
            ("", said) => said.to_owned(),
            (number, "") => number.to_owned(),
            (number, said) => format!("{said} ({number})"),
        }
    }
}

/// The error numbers on which this crate decides (`errno(3)`, the same on every Linux architecture
/// that it is built for).
pub(crate) mod libc_errno {
    pub(crate) use nix::libc::{EADDRNOTAVAIL, EEXIST, ENOBUFS, ENODEV, ENOENT, ENOMEM, ESRCH};
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.action, self.reason())
    }
}

impl std::error::Error for Error {}

/// Names the action in the error of an operating system call.
pub trait Doing<T> {
    /// Turns the error into one that names `action`.
    ///
    /// # Errors
    ///
    /// Returns the error that it is called on, as [`Error`].
    fn doing<S: Into<String>>(self, action: impl FnOnce() -> S) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing<S: Into<String>>(self, action: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| match error.raw_os_error() {
            Some(errno) => Error::errno(action(), errno),
            None => Error::found(action(), error.to_string()),
        })
    }
}

impl<T> Doing<T> for nix::Result<T> {
    fn doing<S: Into<String>>(self, action: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|errno| Error::errno(action(), errno as i32))
    }
}
