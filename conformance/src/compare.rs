//! The same scenarios with two suites, and what differs in results and kernel state: what changes if plugins are swapped.

mod difference;
mod names;
mod scenario;
mod show;
mod state;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde::{Deserialize, Serialize};

use crate::case::{self, Work};
use crate::profile::Profile;
use crate::requirement::number;
use crate::runner;
use crate::suite::{Plugin, Suite};

pub use difference::{Difference, Side};
pub use scenario::{Part, Scenario, Seen, What, run};
pub use show::text;

/// What is called as the profile has it, without a variant.
pub const USUAL: &str = "usual";

/// What shall be compared.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The suites.
    pub suites: [Suite; 2],
    /// The plugins by type; all that both have and the kit knows, if empty.
    pub plugins: Vec<String>,
    /// The versions of the specification; the newest that both speak, if empty.
    pub versions: Vec<String>,
    /// The texts of further profiles.
    pub profiles: Vec<String>,
    /// Whether also what only follows from another difference is compared.
    pub all: bool,
    /// How many scenarios run at the same time.
    pub jobs: usize,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Comparison {
    /// The folders of the suites.
    pub suites: [String; 2],
    /// Plugins that only one of them has: `(plugin, side)`.
    pub only: Vec<(String, Side)>,
    /// Plugins that speak versions with one suite that they do not speak with the other: `(plugin, side, versions)`.
    pub speaks: Vec<(String, Side, Vec<String>)>,
    /// The scenarios that were run.
    pub scenarios: Vec<Compared>,
    /// What was not, and why: `(plugin, scenario, why)`. Without a scenario it is all of the plugin's.
    pub not_compared: Vec<(String, String, String)>,
    /// What the kit could not do: `(plugin, scenario, why)`.
    pub trouble: Vec<(String, String, String)>,
}

/// A scenario with both suites.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Compared {
    /// The plugin's type.
    pub plugin: String,
    /// The version of the specification.
    pub version: String,
    /// The scenario's name.
    pub scenario: String,
    /// Whether ADD succeeded, with each.
    pub added: [bool; 2],
    /// What differs.
    pub differences: Vec<Difference>,
}

impl Comparison {
    /// Whether there is any difference.
    pub fn differs(&self) -> bool {
        !self.only.is_empty()
            || !self.speaks.is_empty()
            || self.scenarios.iter().any(|compared| !compared.differences.is_empty())
    }
}

/// A scenario that shall be run with both suites.
struct Planned {
    plugin: String,
    version: String,
    name: String,
    sides: [Scenario; 2],
}

/// Compares.
///
/// # Errors
///
/// If there is nothing to compare, or the kit cannot work on this machine.
pub fn compare(selection: &Selection) -> Result<Comparison, String> {
    let described = Profile::parse_all(&selection.profiles)?;
    let given =
        described.iter().map(|(name, (_, profile))| (name.clone(), profile.clone())).collect();
    let [a, b] = &selection.suites;
    let (plugins_a, plugins_b) = (a.plugins(&given)?, b.plugins(&given)?);
    let chosen =
        |plugin: &&Plugin| selection.plugins.is_empty() || selection.plugins.contains(&plugin.name);
    for name in &selection.plugins {
        let has = |plugins: &[Plugin]| plugins.iter().any(|plugin| plugin.name == *name);
        if !has(&plugins_a) && !has(&plugins_b) {
            return Err(format!("{name}: neither suite has it, or the kit does not know it"));
        }
    }
    let needs = plugins_a.iter().filter(chosen).flat_map(|plugin| {
        let variants = plugin.profile.variants.iter().flat_map(|variant| &variant.needs);
        plugin.profile.needs.iter().chain(variants).cloned()
    });
    let lacks = runner::lacks(needs.collect())?;
    let mut comparison = Comparison {
        suites: selection.suites.each_ref().map(|suite| suite.folder.display().to_string()),
        only: Vec::new(),
        speaks: Vec::new(),
        scenarios: Vec::new(),
        not_compared: Vec::new(),
        trouble: Vec::new(),
    };
    for (mine, others, side) in
        [(&plugins_a, &plugins_b, Side::A), (&plugins_b, &plugins_a, Side::B)]
    {
        for plugin in mine.iter().filter(chosen) {
            match others.iter().find(|other| other.name == plugin.name) {
                None => comparison.only.push((plugin.name.clone(), side)),
                Some(other) => {
                    let more =
                        plugin.versions.iter().filter(|version| !other.versions.contains(version));
                    let more: Vec<String> = more.cloned().collect();
                    if !more.is_empty() {
                        comparison.speaks.push((plugin.name.clone(), side, more));
                    }
                }
            }
        }
    }
    let mut planned = Vec::new();
    for plugin in plugins_a.iter().filter(chosen) {
        if let Some(other) = plugins_b.iter().find(|other| other.name == plugin.name) {
            let text = described.get(&plugin.name).map(|(text, _)| text);
            planned.extend(plan(plugin, other, selection, text, &lacks, &mut comparison));
        }
    }
    run_all(&planned, selection, &mut comparison);
    Ok(comparison)
}

/// The scenarios of a plugin. Those that cannot be run are written down.
fn plan(
    a: &Plugin,
    b: &Plugin,
    selection: &Selection,
    profile: Option<&String>,
    lacks: &BTreeMap<String, String>,
    comparison: &mut Comparison,
) -> Vec<Planned> {
    let mut not = |scenario: &str, why: &str| {
        // That is an option of `run`; this can be started in the lab as a whole.
        let why = why.trim_end_matches(runner::TRY_LAB).to_owned();
        comparison.not_compared.push((a.name.clone(), scenario.to_owned(), why));
    };
    if let Some(why) = a.profile.needs.iter().find_map(|kind| lacks.get(kind)) {
        not("", why);
        return Vec::new();
    }
    let mut versions: Vec<&String> =
        a.versions.iter().filter(|version| b.versions.contains(version)).collect();
    versions.sort_by_key(|version| number(version));
    if selection.versions.is_empty() {
        versions = versions.last().copied().into_iter().collect();
    } else {
        versions.retain(|version| selection.versions.contains(version));
    }
    if versions.is_empty() {
        not("", "the suites do not both speak a version that was asked for");
    }
    let variants = [None].into_iter().chain(a.profile.variants.iter().map(Some));
    let mut planned = Vec::new();
    for variant in variants {
        let name = variant.map_or(USUAL, |variant| variant.name.as_str());
        if let Some(why) = a.profile.needs_of(variant).find_map(|kind| lacks.get(kind)) {
            not(name, why);
            continue;
        }
        planned.extend(versions.iter().map(|version| Planned {
            plugin: a.name.clone(),
            version: (*version).clone(),
            name: name.to_owned(),
            sides: selection.suites.each_ref().map(|suite| Scenario {
                plugin: a.name.clone(),
                version: (*version).clone(),
                suite: suite.clone(),
                profile: profile.cloned(),
                variant: variant.map(|variant| variant.name.clone()),
            }),
        }));
    }
    planned
}

/// Runs the scenarios, several at a time, in processes of their own.
fn run_all(planned: &[Planned], selection: &Selection, comparison: &mut Comparison) {
    let queue: Mutex<VecDeque<(usize, &Planned)>> =
        Mutex::new(planned.iter().enumerate().collect());
    let done = Mutex::new(BTreeMap::new());
    let bar = runner::progress(planned.len());
    thread::scope(|scope| {
        for _ in 0..selection.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((at, scenario)) = next else { break };
                    bar.set_message(format!("{} {}", scenario.plugin, scenario.name));
                    let came = both(scenario, selection.all);
                    bar.inc(1);
                    done.lock().unwrap_or_else(PoisonError::into_inner).insert(at, came);
                }
            });
        }
    });
    bar.finish_and_clear();
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (scenario, came) in planned.iter().zip(done.into_values()) {
        match came {
            Ok(compared) => comparison.scenarios.push(compared),
            Err(why) => {
                comparison.trouble.push((scenario.plugin.clone(), scenario.name.clone(), why));
            }
        }
    }
}

/// Runs a scenario with both suites; a second time if they differ, to find out what differs anyway.
fn both(planned: &Planned, all: bool) -> Result<Compared, String> {
    let [a, b] = planned.sides.each_ref().map(|scenario| once(scenario).map(|seen| vec![seen]));
    let (mut a, mut b) = (a?, b?);
    if a != b {
        let [again_a, again_b] = planned.sides.each_ref().map(once);
        a.push(again_a?);
        b.push(again_b?);
    }
    let mut differences = difference::between(&a, &b);
    let added = [&a, &b].map(|seen| seen.iter().all(|seen| seen.added));
    if let (Some(a), Some(b), false) = (a.first(), b.first(), all) {
        differences = difference::without_consequences(differences, a, b);
    }
    Ok(Compared {
        plugin: planned.plugin.clone(),
        version: planned.version.clone(),
        scenario: planned.name.clone(),
        added,
        differences,
    })
}

fn once(scenario: &Scenario) -> Result<Seen, String> {
    let command = Work::Scenario(scenario.clone()).command()?;
    let output = runner::output(command, runner::PATIENCE)?;
    case::answer(&output)
}
