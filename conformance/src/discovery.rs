//! The plugins of a suite that can be tested, and the versions that they support.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use testbed::Cni;

use crate::disk::Disk;
use crate::evidence::{cut, describe};
use crate::isolation::{self, Task, broken};
use crate::profile::Profile;
use crate::suite::Suite;
use crate::timeout::{self, scaled};
use crate::version::{VERSIONS, numbers};

/// A plugin that does not answer VERSION within this time counts as supporting all versions.
const DEADLINE: Duration = Duration::from_secs(5);
/// The maximum length of an answer that is shown, in bytes.
const LONGEST: usize = 300;

/// A plugin of a suite that can be tested.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// The type, which is the name of the file.
    pub name: String,
    /// The profile for the tests.
    pub profile: Profile,
    /// The versions that it lists in its answer to VERSION, of those that the kit tests, oldest
    /// first.
    pub versions: Vec<String>,
}

/// The task that asks plugins for the versions that they support. It calls them in namespaces of
/// their own, like a test.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AskVersions {
    suite: Suite,
    plugins: Vec<String>,
}

impl Task for AskVersions {
    const NAME: &'static str = "versions";
    type Answer = BTreeMap<String, Vec<String>>;
}

impl AskVersions {
    /// Asks each plugin.
    pub fn perform(self) -> BTreeMap<String, Vec<String>> {
        let Self { suite, plugins } = self;
        Disk::new([]).unwrap_or_else(|error| broken(&error));
        let ask = |plugin: String| {
            let versions = versions(&suite, &plugin);
            (plugin, versions)
        };
        plugins.into_iter().map(ask).collect()
    }

    fn ask(self) -> Result<BTreeMap<String, Vec<String>>, String> {
        let count = u32::try_from(self.plugins.len()).unwrap_or(1);
        isolation::run(&self, scaled(DEADLINE) * count + timeout::DEADLINE)
    }
}

/// The plugins in the suite's directory that have a profile. Profiles that the user gives with
/// `--config` take precedence over those of the kit.
///
/// # Errors
///
/// If the directory cannot be read, or contains no such plugin.
pub fn plugins(suite: &Suite, given: &BTreeMap<String, Profile>) -> Result<Vec<Plugin>, String> {
    let folder = suite.folder.display();
    let known = Profile::all().filter(|name| !given.contains_key(*name));
    let names: Vec<String> = given.keys().cloned().chain(known.map(str::to_owned)).collect();
    fs::read_dir(&suite.folder).map_err(|error| format!("{folder}: {error}"))?;
    let names: Vec<String> = names.into_iter().filter(|name| suite.has(name)).collect();
    let mut versions = AskVersions { suite: suite.clone(), plugins: names.clone() }.ask()?;
    let mut plugins = Vec::new();
    for name in names {
        let profile = given.get(&name).cloned().or_else(|| Profile::known(&name));
        if let (Some(profile), Some(versions)) = (profile, versions.remove(&name)) {
            plugins.push(Plugin { name, profile, versions });
        }
    }
    if plugins.is_empty() {
        let programs: Vec<String> =
            suite.not_judged(given).into_iter().map(|(name, _)| name).collect();
        let missing: Vec<&str> = given.keys().map(String::as_str).collect();
        return Err(match (missing.as_slice(), programs.as_slice()) {
            ([], []) => format!("{folder}: no program; --config FILE describes a plugin"),
            ([], programs) => format!(
                "{folder}: the kit knows none of these programs: {}; describe yours with \
                 --config FILE, which cni-conformance init writes",
                programs.join(", ")
            ),
            (missing, programs) => format!(
                "{folder}: no program with the name of a \"type\" in the files of --config \
                 ({}); the programs are: {}",
                missing.join(", "),
                programs.join(", ")
            ),
        });
    }
    plugins.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(plugins)
}

/// The versions in the plugin's answer to VERSION, of those that the kit tests. If the answer is
/// invalid, all of them: the requirements on VERSION report the invalid answer.
fn versions(suite: &Suite, plugin: &str) -> Vec<String> {
    match answer(suite, plugin) {
        Answer::Versions(versions) if !versions.is_empty() => versions,
        _ => VERSIONS.map(str::to_owned).to_vec(),
    }
}

/// A program's answer to VERSION.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Answer {
    /// The versions in it that the kit tests, oldest first.
    Versions(Vec<String>),
    /// It has no list of versions: what was seen instead.
    Invalid(String),
}

/// The task that asks one program.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AskProgram {
    suite: Suite,
    name: String,
}

impl Task for AskProgram {
    const NAME: &'static str = "program";
    type Answer = Answer;
}

impl AskProgram {
    /// Asks the program.
    pub fn perform(self) -> Answer {
        Disk::new([]).unwrap_or_else(|error| broken(&error));
        answer(&self.suite, &self.name)
    }
}

/// Asks a program for the versions that it supports, in namespaces of its own.
///
/// # Errors
///
/// If the namespaces cannot be made.
pub fn ask(suite: &Suite, name: &str) -> Result<Answer, String> {
    let task = AskProgram { suite: suite.clone(), name: name.to_owned() };
    isolation::run(&task, scaled(DEADLINE) + timeout::DEADLINE)
}

fn answer(suite: &Suite, plugin: &str) -> Answer {
    let call = Cni::new(plugin).suite(&suite.folder).conf(json!({ "cniVersion": "1.0.0" }));
    let outcome = call.within("VERSION", scaled(DEADLINE));
    let printed: Value = serde_json::from_str(&outcome.stdout).unwrap_or_default();
    let Some(listed) = printed.get("supportedVersions").and_then(Value::as_array) else {
        return Answer::Invalid(cut(&describe(&outcome), LONGEST));
    };
    let known = VERSIONS.iter().filter(|version| listed.contains(&json!(version)));
    let mut versions: Vec<String> = known.map(|version| (*version).to_owned()).collect();
    versions.sort_by_key(|version| numbers(version));
    Answer::Versions(versions)
}
