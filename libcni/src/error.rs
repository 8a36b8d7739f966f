//! The one error of this crate, which is also what a failing plugin prints.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What every fallible call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error codes of the CNI specification (1.1.0, section "Error"); 100 and above belong to plugins.
pub mod code {
    /// The plugin does not speak the configuration's `cniVersion`.
    pub const INCOMPATIBLE_VERSION: u32 = 1;
    /// A field of the configuration has a value the plugin does not support.
    pub const UNSUPPORTED_FIELD: u32 = 2;
    /// The container is unknown or does not exist; nothing is left to clean up.
    pub const UNKNOWN_CONTAINER: u32 = 3;
    /// An environment variable is missing or malformed.
    pub const INVALID_ENVIRONMENT: u32 = 4;
    /// Reading or writing failed, for example of the configuration on stdin.
    pub const IO_FAILURE: u32 = 5;
    /// The configuration, or a version in it, could not be decoded.
    pub const DECODE_FAILURE: u32 = 6;
    /// The configuration was decoded but does not make sense.
    pub const INVALID_CONFIG: u32 = 7;
    /// The network namespace of the container cannot be used.
    pub const INVALID_NETNS: u32 = 8;
    /// The same call may succeed later.
    pub const TRY_AGAIN: u32 = 11;
    /// STATUS: ADD requests cannot be served.
    pub const UNAVAILABLE: u32 = 50;
    /// STATUS: ADD works, but existing containers may have limited connectivity.
    pub const LIMITED_CONNECTIVITY: u32 = 51;
    /// Anything the specification has no code for; the reference suite's number.
    pub const INTERNAL: u32 = 999;
}

/// A CNI error: a code, one line for people, and what is worth knowing beyond it.
///
/// ```
/// use libcni::{Error, code};
///
/// let error = Error::new(code::INVALID_CONFIG, "mtu is larger than the bridge's").details("9000 > 1500");
/// assert_eq!(error.to_string(), "mtu is larger than the bridge's: 9000 > 1500");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// One of [`code`], or a plugin's own from 100 on.
    pub code: u32,
    /// What went wrong, in one line.
    pub msg: String,
    /// What the kernel or another plugin said, and the way out, if there is more to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

impl Error {
    /// An error with a code of [`code`] and a message.
    pub fn new(code: u32, msg: impl Into<String>) -> Error {
        Error { code, msg: msg.into(), details: String::new() }
    }

    /// An error no code of the specification fits ([`code::INTERNAL`]).
    pub fn internal(msg: impl Into<String>) -> Error {
        Error::new(code::INTERNAL, msg)
    }

    /// The configuration was understood and is wrong ([`code::INVALID_CONFIG`]).
    pub fn config(msg: impl Into<String>) -> Error {
        Error::new(code::INVALID_CONFIG, msg)
    }

    /// Sets the details.
    #[must_use]
    pub fn details(mut self, details: impl Into<String>) -> Error {
        self.details = details.into();
        self
    }

    /// Adds a line to the details.
    #[must_use]
    pub fn line(mut self, line: &str) -> Error {
        if !self.details.is_empty() {
            self.details.push('\n');
        }
        self.details.push_str(line);
        self
    }

    /// Puts what was being done in front of the message; the code stays.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Error {
        self.msg = format!("{doing}: {}", self.msg);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.details.as_str() {
            "" => f.write_str(&self.msg),
            details => write!(f, "{}: {details}", self.msg),
        }
    }
}

impl std::error::Error for Error {}

/// Says what was being done when something failed.
pub trait Context<T> {
    /// Puts `doing` in front of the error's message.
    ///
    /// # Errors
    ///
    /// The error this is called on, with the context added.
    fn context<D: fmt::Display>(self, doing: impl FnOnce() -> D) -> Result<T>;
}

impl<T> Context<T> for Result<T> {
    fn context<D: fmt::Display>(self, doing: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| error.context(doing()))
    }
}

impl<T> Context<T> for std::io::Result<T> {
    fn context<D: fmt::Display>(self, doing: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| Error::new(code::IO_FAILURE, format!("{}: {error}", doing())))
    }
}
