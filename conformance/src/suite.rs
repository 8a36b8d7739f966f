//! The plugins that are judged: a folder, and what its files say of themselves.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use testbed::Cni;

use crate::bench::{self, patient};
use crate::case::{self, Work};
use crate::profile::Profile;
use crate::requirement::number;
use crate::runner;

/// The versions of the specification that the kit tests.
pub const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// A plugin that has not told its versions by then is taken to speak all.
const DEADLINE: Duration = Duration::from_secs(5);

/// A folder of plugins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Suite {
    /// Where the binaries are.
    pub folder: PathBuf,
    /// Further folders where those are looked for that the plugins call, such as address management plugins.
    pub path: Vec<PathBuf>,
}

/// A plugin of a suite that can be judged.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// Its type: the name of its file.
    pub name: String,
    /// How it is tested.
    pub profile: Profile,
    /// The versions that it says it speaks, of those the kit tests, oldest first.
    pub versions: Vec<String>,
}

impl Suite {
    /// The plugins of the folder that have a profile; `given` ones, from `--config`, come before those the kit knows.
    ///
    /// # Errors
    ///
    /// If the folder cannot be read, or has no such plugin in it.
    pub fn plugins(&self, given: &BTreeMap<String, Profile>) -> Result<Vec<Plugin>, String> {
        let folder = self.folder.display();
        let known = Profile::all().filter(|name| !given.contains_key(*name));
        let names: Vec<String> = given.keys().cloned().chain(known.map(str::to_owned)).collect();
        fs::read_dir(&self.folder).map_err(|error| format!("{folder}: {error}"))?;
        let names: Vec<String> = names.into_iter().filter(|name| self.has(name)).collect();
        let mut versions = self.versions_of(names.clone())?;
        let mut plugins = Vec::new();
        for name in names {
            let profile = given.get(&name).cloned().or_else(|| Profile::known(&name));
            if let (Some(profile), Some(versions)) = (profile, versions.remove(&name)) {
                plugins.push(Plugin { name, profile, versions });
            }
        }
        if plugins.is_empty() {
            return Err(format!(
                "{folder}: no plugin in it that the kit knows; describe yours with --config FILE"
            ));
        }
        plugins.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(plugins)
    }

    /// The programs of the folder that are not judged, and why: those without a profile, neither known nor given.
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

    /// Whether there is a program of that name.
    pub fn has(&self, name: &str) -> bool {
        is_program(&self.folder.join(name))
    }

    /// The folder, then those of [`path`](Suite::path), as `CNI_PATH` has them.
    pub fn search_path(&self) -> String {
        let folders = [&self.folder].into_iter().chain(&self.path);
        folders.map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(":")
    }

    /// The folder that has the program `name`: its own, or one of [`path`](Suite::path).
    pub fn folder_of(&self, name: &str) -> Option<&Path> {
        let mut folders = [&self.folder].into_iter().chain(&self.path);
        folders.find(|folder| is_program(&folder.join(name))).map(PathBuf::as_path)
    }

    /// The versions that plugins speak. They are asked in namespaces of their own, as they are tested.
    fn versions_of(&self, names: Vec<String>) -> Result<BTreeMap<String, Vec<String>>, String> {
        let each = patient(DEADLINE) * u32::try_from(names.len()).unwrap_or(1);
        let patience = each + bench::DEADLINE;
        let work = Work::Versions(self.clone(), names);
        case::answer(&runner::output(work.command()?, patience)?)
    }

    /// What the plugin answers to VERSION, of the versions that the kit tests. All if the answer cannot be understood: the
    /// requirements about VERSION say so.
    pub fn versions(&self, name: &str) -> Vec<String> {
        let all = || VERSIONS.map(str::to_owned).to_vec();
        let call = Cni::new(name).suite(&self.folder).conf(json!({ "cniVersion": "1.0.0" }));
        let outcome = call.within("VERSION", patient(DEADLINE));
        let answer: Value = serde_json::from_str(&outcome.stdout).unwrap_or_default();
        let Some(listed) = answer.get("supportedVersions").and_then(Value::as_array) else {
            return all();
        };
        let mut versions: Vec<String> =
            all().into_iter().filter(|version| listed.contains(&json!(version))).collect();
        versions.sort_by_key(|version| number(version));
        if versions.is_empty() { all() } else { versions }
    }
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
