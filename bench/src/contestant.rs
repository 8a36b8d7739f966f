//! Who is measured.

use std::path::{Path, PathBuf};

use crate::case::{Case, Peers};

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
    /// Somebody else's in a folder, with more keys for the first plugin.
    Peer {
        /// The folder.
        folder: PathBuf,
        /// Whether it speaks the version 1.1.0 of the specification.
        new: bool,
        /// The keys.
        keys: &'static str,
    },
    /// The least that the kernel could be asked for: the program.
    Floor(PathBuf),
}

impl Contestant {
    /// A peer as given on the command line: `[LABEL=]FOLDER`.
    pub fn peer(given: &str) -> Contestant {
        let last = given.rsplit('/').find(|part| !part.is_empty()).unwrap_or(given);
        let (label, folder) = given.split_once('=').unwrap_or((last, given));
        let kind =
            Kind::Peer { folder: PathBuf::from(folder), new: !label.ends_with("1.1.1"), keys: "" };
        Contestant { label: label.to_owned(), kind }
    }

    /// Those of `all` that take part in a case, with their variants.
    pub fn of_case(all: &[Contestant], case: &Case) -> Vec<Contestant> {
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
                    found.extend(variants.map(|(name, keys)| Contestant {
                        label: format!("{} {name}", one.label),
                        kind: Kind::Peer { folder: folder.clone(), new: *new, keys },
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
