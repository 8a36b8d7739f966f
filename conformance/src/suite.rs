//! The plugins under test: a directory with binaries.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::profile::Profile;

/// A directory on each host with links to all programs of the suite, of its other directories, and
/// to the kit's IPAM plugin.
pub const LINKS: &str = "/run/testbed/kit/plugins";

/// A directory of plugins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Suite {
    /// The directory with the binaries.
    pub folder: PathBuf,
    /// More directories with plugins that these plugins call, such as IPAM plugins.
    pub path: Vec<PathBuf>,
}

impl Suite {
    /// The programs in the directory that are not tested because they have no profile, each with
    /// the reason.
    pub fn not_judged(&self, given: &BTreeMap<String, Profile>) -> Vec<(String, String)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let programs = entries.filter(|entry| is_program(&entry.path()));
        let names = programs.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names
            .filter(|name| !name.starts_with('.'))
            .filter(|name| !given.contains_key(name) && !Profile::all().any(|known| known == name))
            .collect();
        names.sort();
        let with_reason = |name: String| {
            let why = Profile::why_without(&name).to_owned();
            (name, why)
        };
        names.into_iter().map(with_reason).collect()
    }

    /// Whether the directory has a program of that name.
    pub fn has(&self, name: &str) -> bool {
        is_program(&self.folder.join(name))
    }

    /// Makes links to all programs in a directory, such as [`LINKS`]. If two directories have a
    /// program of the same name, the link leads to the first one, as a search in a list of
    /// directories does.
    ///
    /// # Errors
    ///
    /// If a link cannot be made.
    pub fn link_programs(&self, links: &str) -> Result<(), String> {
        fs::create_dir_all(links).map_err(|error| format!("make {links}: {error}"))?;
        for folder in [&self.folder].into_iter().chain(&self.path) {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            for entry in entries.filter(|entry| is_program(&entry.path())) {
                let link = Path::new(links).join(entry.file_name());
                match symlink(entry.path(), &link) {
                    Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                        return Err(format!("make {}: {error}", link.display()));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// The value of `CNI_PATH` for a call with this configuration: always one directory, because
    /// there are plugins that do not expect a list. It is the suite's own, unless the plugin needs
    /// programs that are elsewhere.
    pub fn cni_path(&self, config: &Value) -> String {
        match config.get("ipam").is_some() || !self.path.is_empty() {
            true => LINKS.to_owned(),
            false => self.folder.display().to_string(),
        }
    }

    /// The directories of the suite as a list, as `CNI_PATH` may be: the suite's own, then those of
    /// [`path`](Suite::path).
    pub fn search_path(&self) -> String {
        let folders = [&self.folder].into_iter().chain(&self.path);
        folders.map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(":")
    }

    /// The directory with the program `name`: the suite's own, or one of [`path`](Suite::path).
    pub fn folder_of(&self, name: &str) -> Option<&Path> {
        let mut folders = [&self.folder].into_iter().chain(&self.path);
        folders.find(|folder| is_program(&folder.join(name))).map(PathBuf::as_path)
    }
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
