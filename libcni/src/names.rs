//! Names that come from outside and end up in paths, links and rules. A value of these types is
//! safe for all three.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::excerpt;
use crate::{Code, Error, Result};

/// Declares a checked string: parsed once, by the rule of the specification, then trusted.
macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and takes a name.
            ///
            /// # Errors
            ///
            /// The specification's code and the rule that was broken.
            pub fn new(name: impl Into<String>) -> Result<$name> {
                let name = name.into();
                $check(&name)?;
                Ok($name(name))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(name: String) -> Result<$name> {
                $name::new(name)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;
            fn from_str(name: &str) -> Result<$name> {
                $name::new(name)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl std::ops::Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_name! {
    /// `CNI_CONTAINERID`: a letter or digit, then letters, digits, `_`, `.` and `-` (spec,
    /// "Parameters").
    ContainerId, check_container_id
}
checked_name! {
    /// A network's `name`: the same characters as a container ID (spec, "Configuration format").
    NetworkName, check_network_name
}
checked_name! {
    /// `CNI_IFNAME`: 1 to 15 bytes, not `.` or `..`, without `/`, `:` and white space (as the
    /// kernel's `dev_valid_name`), nor `%`, which the kernel takes as a pattern.
    IfName, check_ifname
}
checked_name! {
    /// A plugin's `type`: the name of a file in `CNI_PATH`, never a path (CVE-2021-20206).
    PluginType, check_plugin_type
}

/// Whether `text` starts with a letter or digit and goes on with letters, digits, `_`, `.` and `-`.
fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

fn check_container_id(id: &str) -> Result<()> {
    match id {
        "" => Err(Error::new(Code::UNKNOWN_CONTAINER, "missing containerID")),
        id if is_identifier(id) => Ok(()),
        id => Err(Error::new(Code::INVALID_ENVIRONMENT, "invalid characters in containerID")
            .details(excerpt(id))),
    }
}

fn check_network_name(name: &str) -> Result<()> {
    match name {
        "" => Err(Error::config("missing network name")),
        name if is_identifier(name) => Ok(()),
        name => {
            Err(Error::config("invalid characters found in network name").details(excerpt(name)))
        }
    }
}

fn check_ifname(name: &str) -> Result<()> {
    let wrong = |msg| Err(Error::new(Code::INVALID_ENVIRONMENT, msg));
    match name {
        "" => wrong("interface name is empty"),
        name if name.len() > 15 => wrong("interface name is too long").map_err(|error: Error| {
            error.details("interface name should be less than 16 characters")
        }),
        "." | ".." => wrong("interface name is . or .."),
        name if name.contains(['/', ':', '\0']) || name.contains(char::is_whitespace) => {
            wrong("interface name contains / or : or whitespace characters")
        }
        name if name.contains('%') => wrong("interface name contains %").map_err(|error: Error| {
            error.details("the kernel takes it as a pattern such as eth%d, not as a name")
        }),
        _ => Ok(()),
    }
}

fn check_plugin_type(name: &str) -> Result<()> {
    match name {
        "" => Err(Error::config("no plugin name provided")),
        "." | ".." => Err(Error::config(format!("invalid plugin name: {name}"))),
        name if name.contains(['/', '\0']) => {
            Err(Error::config(format!("invalid plugin name: {}", excerpt(name))))
        }
        _ => Ok(()),
    }
}
