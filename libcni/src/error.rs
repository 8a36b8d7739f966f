//! The one error of this crate, which is also what a failing plugin prints.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize, Serializer};

use crate::text;

/// The result of every function of this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error code of the CNI specification (1.1.0, section "Error"). Codes from 100 on belong to
/// plugins.
///
/// ```
/// use libcni::Code;
///
/// const NO_UPLINK: Code = Code::new(101);
/// assert_eq!(u32::from(NO_UPLINK), 101);
/// assert_eq!(Code::TRY_AGAIN.to_string(), "11");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(u32);

impl Code {
    /// The plugin does not support the configuration's `cniVersion`.
    pub const INCOMPATIBLE_VERSION: Code = Code(1);
    /// A key of the configuration has a value that the plugin does not support.
    pub const UNSUPPORTED_FIELD: Code = Code(2);
    /// The container is unknown or does not exist; nothing is left to clean up.
    pub const UNKNOWN_CONTAINER: Code = Code(3);
    /// An environment variable is missing or malformed.
    pub const INVALID_ENVIRONMENT: Code = Code(4);
    /// Reading or writing failed, for example of the configuration on stdin.
    pub const IO_FAILURE: Code = Code(5);
    /// The configuration, or a version in it, cannot be decoded.
    pub const DECODE_FAILURE: Code = Code(6);
    /// The configuration can be decoded, but is invalid.
    pub const INVALID_CONFIG: Code = Code(7);
    /// The network namespace of the container cannot be used.
    pub const INVALID_NETNS: Code = Code(8);
    /// The same call may succeed later.
    pub const TRY_AGAIN: Code = Code(11);
    /// STATUS: the plugin cannot serve ADD.
    pub const UNAVAILABLE: Code = Code(50);
    /// STATUS: the plugin can serve ADD, but existing containers may have limited connectivity.
    pub const LIMITED_CONNECTIVITY: Code = Code(51);
    /// Any failure that the specification has no code for; the reference suite uses the same one.
    pub const INTERNAL: Code = Code(999);

    /// The code with this number.
    pub const fn new(number: u32) -> Code {
        Code(number)
    }
}

impl From<u32> for Code {
    fn from(number: u32) -> Code {
        Code(number)
    }
}

impl From<Code> for u32 {
    fn from(code: Code) -> u32 {
        code.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A CNI error: a code, a message of one line, and details.
///
/// ```
/// use libcni::{Code, Error};
///
/// let error = Error::new(Code::INVALID_CONFIG, "mtu is larger than the bridge's");
/// let error = error.details("9000 > 1500");
/// assert_eq!(error.to_string(), "mtu is larger than the bridge's: 9000 > 1500");
/// ```
///
/// As text and as JSON, it contains no control characters except the newlines between lines of
/// details. It shows only the beginning and the end of text that is too long, because messages
/// quote foreign text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Error {
    /// A code of the specification, or a plugin's own.
    pub code: Code,
    /// The message, in one line.
    #[serde(serialize_with = "as_line")]
    pub msg: String,
    /// The reason that the kernel or another plugin gave, and the remedy; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty", serialize_with = "as_lines")]
    pub details: String,
}

fn as_line<S: Serializer>(msg: &str, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&text::line(msg))
}

fn as_lines<S: Serializer>(details: &str, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&text::lines(details))
}

/// The remedy for a lack of memory or of processes.
const SHORTAGE: &str = "The host, or the control group of the runtime, has too little memory or too \
                        many processes at the moment (memory.max and pids.max in cgroups(7)).";

impl Error {
    /// An operation of the operating system failed. The code is [`Code::TRY_AGAIN`] if memory or
    /// processes were short (`ENOMEM`, `EAGAIN` of `fork(2)`), which passes, and
    /// [`Code::IO_FAILURE`] otherwise.
    pub fn io(doing: impl fmt::Display, error: &io::Error) -> Error {
        let msg = format!("{doing}: {error}");
        match error.kind() {
            io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock => Error::shortage(msg),
            _ => Error::new(Code::IO_FAILURE, msg),
        }
    }

    /// The operation failed because memory or processes were short: [`Code::TRY_AGAIN`], with the
    /// remedy as details.
    pub fn shortage(msg: impl Into<String>) -> Error {
        Error::new(Code::TRY_AGAIN, msg).details(SHORTAGE)
    }

    /// An error with a code and a message.
    pub fn new(code: Code, msg: impl Into<String>) -> Error {
        Error { code, msg: msg.into(), details: String::new() }
    }

    /// An error no code of the specification fits ([`Code::INTERNAL`]).
    pub fn internal(msg: impl Into<String>) -> Error {
        Error::new(Code::INTERNAL, msg)
    }

    /// An error of a configuration that can be read, but is invalid ([`Code::INVALID_CONFIG`]).
    pub fn config(msg: impl Into<String>) -> Error {
        Error::new(Code::INVALID_CONFIG, msg)
    }

    /// Replaces the code.
    #[must_use]
    pub fn with_code(mut self, code: Code) -> Error {
        self.code = code;
        self
    }

    /// Replaces the message.
    #[must_use]
    pub fn with_msg(mut self, msg: impl Into<String>) -> Error {
        self.msg = msg.into();
        self
    }

    /// Replaces the details.
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

    /// Prefixes the message with the operation that failed. The code stays.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Error {
        self.msg = format!("{doing}: {}", self.msg);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.details.as_str() {
            "" => f.write_str(&text::line(&self.msg)),
            details => write!(f, "{}: {}", text::line(&self.msg), text::lines(details)),
        }
    }
}

impl std::error::Error for Error {}

/// Adds to an error the operation that failed.
pub trait Context<T> {
    /// Prefixes the message of the error with `doing`.
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

impl<T> Context<T> for io::Result<T> {
    fn context<D: fmt::Display>(self, doing: impl FnOnce() -> D) -> Result<T> {
        self.map_err(|error| Error::io(doing(), &error))
    }
}
