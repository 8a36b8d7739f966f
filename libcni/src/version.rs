//! Versions of the CNI specification.

use std::fmt;
use std::str::FromStr;

use crate::{Code, Error, Result};

/// Every released version of the specification this crate speaks, oldest first.
pub const SUPPORTED: [Version; 7] = [
    Version::new(0, 1, 0),
    Version::new(0, 2, 0),
    Version::new(0, 3, 0),
    Version::new(0, 3, 1),
    Version::new(0, 4, 0),
    Version::new(1, 0, 0),
    Version::new(1, 1, 0),
];

/// A version of the specification, such as 1.1.0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// The newest version, and the one results have inside this crate.
    pub const CURRENT: Version = Version::new(1, 1, 0);

    /// A version from its parts.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Version {
        Version { major, minor, patch }
    }

    /// Reads a version: one to three numbers between dots, missing ones are 0; an empty text means
    /// 0.1.0.
    ///
    /// ```
    /// use libcni::Version;
    ///
    /// assert_eq!(Version::parse("1.1")?, Version::new(1, 1, 0));
    /// assert_eq!(Version::parse("")?, Version::new(0, 1, 0));
    /// assert!(Version::parse("1.0.x").is_err());
    /// # Ok::<(), libcni::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Code::DECODE_FAILURE`] with what is wrong about the text.
    pub fn parse(text: &str) -> Result<Version> {
        if text.is_empty() {
            return Ok(Version::new(0, 1, 0));
        }
        let bad = |why: &str| {
            Error::new(Code::DECODE_FAILURE, format!("invalid version {text:?}: {why}"))
        };
        let mut parts = [0; 3];
        let mut given = text.split('.');
        for part in &mut parts {
            let Some(number) = given.next() else { break };
            *part = number.parse().map_err(|_| bad(&format!("{number:?} is not a number")))?;
        }
        if given.next().is_some() {
            return Err(bad("too many parts"));
        }
        let [major, minor, patch] = parts;
        Ok(Version { major, minor, patch })
    }
}

impl FromStr for Version {
    type Err = Error;

    /// As [`Version::parse`].
    fn from_str(text: &str) -> Result<Version> {
        Version::parse(text)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}
