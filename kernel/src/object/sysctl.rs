use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{At, Kind, Mode, Place, Undo};
use crate::error::{Doing, Error, Result};

/// A setting below `/proc/sys/net` (`sysctl(8)`), written from inside the namespace it belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    /// The path below `/proc/sys/net`, with slashes: `ipv6/conf/eth0/accept_ra`. Interface names may hold dots.
    pub key: String,
    /// What it should be.
    pub value: String,
    /// Whether a kernel that has no such setting (one without IPv6, say) is fine.
    pub optional: bool,
}

impl Sysctl {
    /// A setting that the kernel has to have.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Sysctl {
        Sysctl { key: key.into(), value: value.into(), optional: false }
    }

    /// A setting that does not matter where the kernel does not have it.
    pub fn optional(key: impl Into<String>, value: impl Into<String>) -> Sysctl {
        Sysctl { optional: true, ..Sysctl::new(key, value) }
    }

    /// The link it is about; others, such as forwarding, concern the whole machine.
    fn link(&self) -> Option<&str> {
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

    /// What it is now; none if the kernel does not have it.
    pub(crate) fn read(&self) -> Result<Option<String>> {
        let path = self.path()?;
        // They are numbers: one read gives all of it.
        let mut text = [0; 256];
        let read = File::open(&path).and_then(|mut file| file.read(&mut text));
        match read {
            Ok(length) => {
                let text = String::from_utf8_lossy(text.get(..length).unwrap_or_default());
                Ok(Some(text.trim_end().to_owned()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).doing(|| format!("read {}", path.display())),
        }
    }

    /// Writes it in the namespace that the thread is in, unless it is so already: others may watch the file.
    pub(crate) fn ensure(&self) -> Result<()> {
        match self.read()? {
            Some(now) if now == self.value => Ok(()),
            None if self.optional => Ok(()),
            _ => self.write(),
        }
    }

    /// Writes it in the namespace that the thread is in.
    pub(crate) fn write(&self) -> Result<()> {
        let path = self.path()?;
        let written = File::options()
            .write(true)
            .open(&path)
            .and_then(|mut file| file.write_all(self.value.as_bytes()));
        match written {
            Err(error) if self.optional && error.kind() == ErrorKind::NotFound => Ok(()),
            // Where /proc/sys is read-only, what is right already is enough.
            Err(_) if self.read()?.is_some_and(|now| now == self.value) => Ok(()),
            written => {
                let action = || format!("write {} to {}", self.value, path.display());
                written.doing(action).map_err(|error| match error.errno {
                    nix::libc::EROFS => error.hint("/proc/sys is mounted read-only here"),
                    _ => error,
                })
            }
        }
    }
}

impl Kind for Sysctl {
    fn show(&self, place: Place) -> String {
        let prefix = if place == Place::Pod { "nsenter --net=POD " } else { "" };
        format!("{prefix}sysctl -w net/{}={}", self.key, self.value)
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        // A link is there as soon as the object that makes it is applied, and what waits about it (that it come up) is to
        // come after its settings. What concerns others is set only after everything before it succeeded.
        if at.is_shared() {
            at.sides.flush()?;
        }
        // What is this attachment's alone was just made: nobody watches it, and it need not be read first.
        if !at.is_shared() && at.mode == Mode::Add {
            at.side()?.write(self.clone());
            return Ok(());
        }
        let before = at.side()?.inside(|| self.read())?;
        // Others may watch the file.
        if before.as_ref().map_or(self.optional, |before| *before == self.value) {
            return Ok(());
        }
        if let (Some(link), Some(value), true) = (self.link(), before, at.is_shared()) {
            at.undo.push(Undo::SharedSysctl(link.to_owned(), Sysctl { value, ..self.clone() }));
        }
        at.side()?.inside(|| self.write())
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        let now = at.side()?.inside(|| self.read())?;
        Ok(match now {
            Some(now) if now == self.value => vec![],
            Some(now) => {
                vec![format!("sysctl net/{} is {now} instead of {}", self.key, self.value)]
            }
            // The settings of a link go with it; that the link is gone is said by the object that made it.
            None => vec![],
        })
    }
}
