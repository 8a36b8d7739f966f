//! Settings below `/proc/sys/net`, read and written in the thread's namespace.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Doing, Error, Result};

/// A setting below `/proc/sys/net` (`sysctl(8)`), written from inside its namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sysctl {
    /// The path below `/proc/sys/net`, with slashes: `ipv6/conf/eth0/accept_ra`. Interface names
    /// may contain dots.
    pub key: String,
    /// The wanted value.
    pub value: String,
    /// Whether the attachment works without it: on a kernel that does not have the setting (for
    /// example one without IPv6), or if /proc/sys is read-only.
    pub optional: bool,
}

impl Sysctl {
    /// A setting that the attachment requires.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Sysctl {
        Sysctl { key: key.into(), value: value.into(), optional: false }
    }

    /// A setting that the attachment does not require, if the kernel does not have it or refuses
    /// the write.
    pub fn optional(key: impl Into<String>, value: impl Into<String>) -> Sysctl {
        Sysctl { optional: true, ..Sysctl::new(key, value) }
    }

    /// The link that it configures; `None` for settings of the whole host, such as forwarding.
    pub(crate) fn link(&self) -> Option<&str> {
        let mut parts = self.key.split('/').skip(1);
        let link = parts.next().filter(|part| *part == "conf").and_then(|_| parts.next());
        link.filter(|link| *link != "all")
    }

    fn path(&self) -> Result<PathBuf> {
        let is_plain = self.key.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !is_plain {
            return Err(Error::found(format!("write the sysctl {}", self.key), "invalid name"));
        }
        Ok(Path::new("/proc/sys/net").join(&self.key))
    }

    /// The current value; `None` if the kernel does not have the setting. It is
    /// [`value`](Sysctl::value) if only the blanks between words differ: the kernel writes tabs
    /// between numbers.
    pub(crate) fn read(&self) -> Result<Option<String>> {
        let path = self.path()?;
        // The values are numbers, so one read returns all of it.
        let mut text = [0; 256];
        let read = File::open(&path).and_then(|mut file| file.read(&mut text));
        match read {
            Ok(length) => {
                let text = String::from_utf8_lossy(text.get(..length).unwrap_or_default());
                let is_same = text.split_whitespace().eq(self.value.split_whitespace());
                Ok(Some(if is_same { self.value.as_str() } else { text.trim_end() }.to_owned()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).doing(|| format!("read {}", path.display())),
        }
    }

    /// The whole current value, of any length.
    pub(crate) fn read_all(&self) -> Result<Option<String>> {
        let path = self.path()?;
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim_end().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).doing(|| format!("read {}", path.display())),
        }
    }

    /// Writes it in the thread's namespace, unless it has the value already: other programs may
    /// watch the file.
    pub(crate) fn ensure(&self) -> Result<()> {
        match self.read()? {
            Some(now) if now == self.value => Ok(()),
            None if self.optional => Ok(()),
            _ => self.write(),
        }
    }

    /// As [`write`](Sysctl::write), for a setting that no other program watches.
    ///
    /// The kernel changes some settings only under its lock on links. A process that writes such a
    /// setting retries until the lock is free, which on a busy host takes CPU time from the
    /// processes that hold the lock. So this reads them first.
    pub(crate) fn set(&self) -> Result<()> {
        match self.key.ends_with("/disable_ipv6") {
            true => self.ensure(),
            false => self.write(),
        }
    }

    /// Writes it in the thread's namespace.
    pub(crate) fn write(&self) -> Result<()> {
        let path = self.path()?;
        let written = File::options()
            .write(true)
            .open(&path)
            .and_then(|mut file| file.write_all(self.value.as_bytes()));
        match written {
            Ok(()) => Ok(()),
            Err(error) if self.optional && is_refused(&error) => Ok(()),
            // If /proc/sys is read-only, the right current value is enough.
            Err(_) if self.read()?.is_some_and(|now| now == self.value) => Ok(()),
            Err(error) => Err(self.explain(&error)),
        }
    }

    /// Whether it can be written, as far as can be known without writing it.
    pub(crate) fn is_writable(&self) -> Result<bool> {
        Ok(File::options().write(true).open(self.path()?).is_ok())
    }

    /// The error that ADD would return when it writes the setting in the thread's namespace; `None`
    /// if ADD can write it, or does not need to.
    ///
    /// A link that ADD creates starts with the settings of `default`.
    pub(crate) fn obstacle(&self) -> Result<Option<Error>> {
        if self.optional {
            return Ok(None);
        }
        let found = match (self.read()?, self.link()) {
            (None, Some(link)) => {
                let key = self.key.replacen(&format!("/conf/{link}/"), "/conf/default/", 1);
                Sysctl { key, ..self.clone() }
            }
            _ => self.clone(),
        };
        match found.read()? {
            Some(now) if now == self.value => Ok(None),
            _ => Ok(match File::options().write(true).open(found.path()?) {
                Ok(_) => None,
                Err(error) => Some(self.explain(&error)),
            }),
        }
    }

    fn explain(&self, error: &std::io::Error) -> Error {
        let Sysctl { key, value, .. } = self;
        let errno = error.raw_os_error().unwrap_or_default();
        let action = format!("set the sysctl net/{key} to {value}");
        // Other settings of `default` would change unrelated links.
        let by_hand = match self.link() {
            None => Some(key.clone()),
            Some(_) if key.ends_with("/disable_ipv6") => {
                Some("ipv6/conf/default/disable_ipv6".to_owned())
            }
            Some(_) => None,
        };
        let hint = match (is_refused(error), by_hand) {
            (true, _) if error.kind() == ErrorKind::NotFound => match key.starts_with("ipv6/") {
                true => "This kernel runs without IPv6: give the network no IPv6 addresses, or \
                         boot without ipv6.disable=1."
                    .to_owned(),
                false => String::new(),
            },
            (true, Some(key)) => format!(
                "/proc/sys is read-only for the plugin: run `sysctl -w net/{key}={value}` where it \
                 is writable, before the network is used."
            ),
            (true, None) => "/proc/sys is read-only for the plugin: run it where /proc/sys is \
                             writable."
                .to_owned(),
            (false, _) => String::new(),
        };
        Error::errno(action, errno).hint(hint)
    }
}

/// Whether a setting cannot be written here or does not exist: because /proc/sys is read-only, as
/// in unprivileged containers, or because the kernel was built without it.
fn is_refused(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied
    )
}
