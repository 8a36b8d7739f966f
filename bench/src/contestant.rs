//! Who is measured.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::case::{Case, Peers, Variant};

/// One who is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contestant {
    /// What the results call it.
    pub label: String,
    /// What it is.
    pub kind: Kind,
}

/// What a contestant is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// This project's binaries in a folder.
    Ours(PathBuf),
    /// Somebody else's in a folder.
    Peer {
        /// The folder.
        folder: PathBuf,
        /// Whether it speaks the version 1.1.0 of the specification.
        new: bool,
        /// How it does the case, if not as usual.
        variant: Option<&'static Variant>,
    },
    /// The least that the kernel could be asked for: the program.
    Floor(PathBuf),
}

impl Contestant {
    /// A peer as given on the command line: `[LABEL=]FOLDER`.
    ///
    /// # Errors
    ///
    /// There is no such folder.
    pub fn peer(given: &str) -> Result<Contestant, String> {
        let (label, folder) = given.split_once('=').unwrap_or((given, given));
        let folder = fs::canonicalize(folder).map_err(|error| format!("{folder}: {error}"))?;
        let kind = Kind::Peer { new: speaks_new(&folder), folder, variant: None };
        Ok(Contestant { label: label.to_owned(), kind })
    }

    /// Those of `all` that take part in a case, with their variants.
    pub fn of_case(all: &[Contestant], case: &'static Case) -> Vec<Contestant> {
        let mut found = Vec::new();
        for one in all {
            match &one.kind {
                Kind::Ours(folder) if has(folder, case) => found.push(one.clone()),
                Kind::Peer { folder, new, .. } => {
                    let can = match case.peers {
                        Peers::All => true,
                        Peers::New => *new,
                        Peers::None => false,
                    };
                    if !can || !has(folder, case) {
                        continue;
                    }
                    found.push(one.clone());
                    let variants = case.variants.iter().filter(|_| *new);
                    found.extend(variants.map(|variant| Contestant {
                        label: format!("{} {}", one.label, variant.label),
                        kind: Kind::Peer {
                            folder: folder.clone(),
                            new: *new,
                            variant: Some(variant),
                        },
                    }));
                }
                Kind::Floor(_) if case.floor.is_some() => found.push(one.clone()),
                _ => {}
            }
        }
        found
    }
}

/// Whether a folder has the plugins of a case.
fn has(folder: &Path, case: &Case) -> bool {
    case.chain.iter().all(|(plugin, _)| folder.join(plugin).is_file())
}

impl Contestant {
    /// This project's plugins.
    pub fn ours(folder: PathBuf) -> Contestant {
        Contestant { label: OURS.to_owned(), kind: Kind::Ours(folder) }
    }

    /// The floor, by its program.
    pub fn floor(program: PathBuf) -> Contestant {
        Contestant { label: FLOOR.to_owned(), kind: Kind::Floor(program) }
    }

    /// Whether it is somebody else's.
    pub fn is_peer(&self) -> bool {
        matches!(self.kind, Kind::Peer { .. })
    }
}

/// What the results call this project's plugins.
pub const OURS: &str = "ferrocni";
/// What the results call the floor.
pub const FLOOR: &str = "floor";

/// Whether a suite speaks the version 1.1.0 of the specification: what its bridge says, or its loopback.
fn speaks_new(folder: &Path) -> bool {
    ["bridge", "loopback"].iter().any(|plugin| {
        let output = Command::new(folder.join(plugin)).env("CNI_COMMAND", "VERSION").output();
        output.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains("\"1.1.0\""))
    })
}
