//! The contestants.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::case::{Case, Peers, Variant};

/// A contestant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contestant {
    /// The name in the results.
    pub label: String,
    /// Its kind.
    pub kind: Kind,
}

/// The kind of a contestant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// This project's binaries in a directory.
    Ours(PathBuf),
    /// The binaries of another project in a directory.
    Peer {
        /// The directory.
        folder: PathBuf,
        /// Whether it supports version 1.1.0 of the specification.
        new: bool,
        /// The variant of the case, if any.
        variant: Option<&'static Variant>,
    },
    /// The fewest requests to the kernel that do the job: the program.
    Floor(PathBuf),
}

impl Contestant {
    /// A peer from the command line: `[LABEL=]DIRECTORY`.
    ///
    /// # Errors
    ///
    /// If the directory does not exist.
    pub fn peer(given: &str) -> Result<Contestant, String> {
        let (label, folder) = given.split_once('=').unwrap_or((given, given));
        let folder = fs::canonicalize(folder).map_err(|error| format!("{folder}: {error}"))?;
        let kind = Kind::Peer { new: speaks_new(&folder), folder, variant: None };
        Ok(Contestant { label: label.to_owned(), kind })
    }

    /// The contestants in `all` that support a case, with their variants.
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

/// Whether a directory has the plugins of a case.
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

    /// Whether it is a suite of another project.
    pub fn is_peer(&self) -> bool {
        matches!(self.kind, Kind::Peer { .. })
    }
}

/// The name of this project's plugins in the results.
pub const OURS: &str = "ferrocni";
/// The name of the floor in the results.
pub const FLOOR: &str = "floor";

/// Whether a suite supports version 1.1.0 of the specification, by the answer of its bridge or its
/// loopback.
fn speaks_new(folder: &Path) -> bool {
    ["bridge", "loopback"].iter().any(|plugin| {
        let output = Command::new(folder.join(plugin)).env("CNI_COMMAND", "VERSION").output();
        output.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).contains("\"1.1.0\""))
    })
}
