//! Runs the same scenarios with two suites and compares the results and the state of the kernel.
//! The differences are what changes if one suite replaces the other.

mod difference;
mod names;
mod part;
mod scenario;
mod show;
mod state;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::described;
use crate::discovery::{self, Plugin};
use crate::isolation::{self, Task};
use crate::kernel_support;
use crate::parallel;
use crate::progress;
use crate::role;
use crate::signals;
use crate::suite::Suite;
use crate::timeout;
use crate::version::numbers;

pub use difference::{Difference, Side};
pub use part::{Aspect, Observation, Part};
pub use scenario::{Scenario, run};
pub use show::text;

/// The name of the scenario with the configuration of the profile, without a variant.
pub const USUAL: &str = "usual";

/// The input of a comparison.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The two suites.
    pub suites: [Suite; 2],
    /// The plugins by type. If empty: all plugins that both suites have and that have a profile.
    pub plugins: Vec<String>,
    /// The versions of the specification. If empty: the newest version that both suites support.
    pub versions: Vec<String>,
    /// The texts of the profiles that the user gave.
    pub profiles: Vec<String>,
    /// Whether to show differences that only follow from another difference.
    pub all: bool,
    /// The number of scenarios that run in parallel.
    pub jobs: usize,
}

/// The result of a comparison.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Comparison {
    /// The directories of the suites.
    pub suites: [String; 2],
    /// The plugins that only one suite has: `(plugin, side)`.
    pub only: Vec<(String, Side)>,
    /// The versions that a plugin supports only in one suite: `(plugin, side, versions)`.
    #[serde(rename = "speaks")]
    pub supports: Vec<(String, Side, Vec<String>)>,
    /// The scenarios that ran.
    pub scenarios: Vec<Compared>,
    /// The scenarios that did not run, with the reason: `(plugin, scenario, why)`. An empty
    /// scenario means all scenarios of the plugin.
    pub not_compared: Vec<(String, String, String)>,
    /// Errors of the kit: `(plugin, scenario, why)`.
    pub trouble: Vec<(String, String, String)>,
    /// The reason why scenarios are missing, if a signal ended the comparison; otherwise empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub incomplete: String,
    /// The exit status, if a signal ended the comparison.
    #[serde(skip)]
    pub status: Option<u8>,
}

/// One scenario with both suites.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Compared {
    /// The type of the plugin.
    pub plugin: String,
    /// The version of the specification.
    pub version: String,
    /// The name of the scenario.
    pub scenario: String,
    /// Whether ADD succeeded, for each suite.
    pub added: [bool; 2],
    /// The differences.
    pub differences: Vec<Difference>,
}

impl Comparison {
    /// Whether there is any difference.
    pub fn differs(&self) -> bool {
        !self.only.is_empty()
            || !self.supports.is_empty()
            || self.scenarios.iter().any(|compared| !compared.differences.is_empty())
    }
}

impl Task for Scenario {
    const NAME: &'static str = "scenario";
    type Answer = Observation;
}

/// A scenario that runs with both suites.
struct Planned {
    plugin: String,
    version: String,
    name: String,
    sides: [Scenario; 2],
}

/// Compares two suites.
///
/// # Errors
///
/// If nothing is selected, or if the kit cannot work on this machine.
pub fn compare(selection: &Selection) -> Result<Comparison, String> {
    let mut described = described::parse_all(&selection.profiles)?;
    let given = described.iter().map(|(name, own)| (name.clone(), own.profile.clone())).collect();
    let [a, b] = &selection.suites;
    let (mut plugins_a, mut plugins_b) =
        (discovery::plugins(a, &given)?, discovery::plugins(b, &given)?);
    for (suite, plugins) in [(a, &mut plugins_a), (b, &mut plugins_b)] {
        role::find_out(suite, plugins, &mut described).iter().for_each(|line| eprintln!("{line}"));
    }
    let chosen =
        |plugin: &&Plugin| selection.plugins.is_empty() || selection.plugins.contains(&plugin.name);
    for name in &selection.plugins {
        let has = |plugins: &[Plugin]| plugins.iter().any(|plugin| plugin.name == *name);
        if !has(&plugins_a) && !has(&plugins_b) {
            return Err(format!(
                "{name}: neither suite has this plugin, or the kit has no profile of it"
            ));
        }
    }
    let needs = plugins_a.iter().filter(chosen).flat_map(|plugin| {
        let variants = plugin.profile.variants.iter().flat_map(|variant| &variant.needs);
        plugin.profile.needs.iter().chain(variants).cloned()
    });
    let missing = kernel_support::missing(needs.collect())?;
    let mut comparison = Comparison {
        suites: selection.suites.each_ref().map(|suite| suite.folder.display().to_string()),
        only: Vec::new(),
        supports: Vec::new(),
        scenarios: Vec::new(),
        not_compared: Vec::new(),
        trouble: Vec::new(),
        incomplete: String::new(),
        status: None,
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
                        comparison.supports.push((plugin.name.clone(), side, more));
                    }
                }
            }
        }
    }
    let mut planned = Vec::new();
    for plugin in plugins_a.iter().filter(chosen) {
        if let Some(other) = plugins_b.iter().find(|other| other.name == plugin.name) {
            let text = described.get(&plugin.name).map(|own| &own.text);
            planned.extend(plan(plugin, other, selection, text, &missing, &mut comparison));
        }
    }
    run_all(planned, selection, &mut comparison);
    Ok(comparison)
}

/// The scenarios of a plugin. The comparison records the scenarios that cannot run.
fn plan(
    a: &Plugin,
    b: &Plugin,
    selection: &Selection,
    profile: Option<&String>,
    missing: &BTreeMap<String, String>,
    comparison: &mut Comparison,
) -> Vec<Planned> {
    let mut not = |scenario: &str, why: &str| {
        comparison.not_compared.push((a.name.clone(), scenario.to_owned(), why.to_owned()));
    };
    if let Some(why) = a.profile.needs.iter().find_map(|kind| missing.get(kind)) {
        not("", why);
        return Vec::new();
    }
    let mut versions: Vec<&String> =
        a.versions.iter().filter(|version| b.versions.contains(version)).collect();
    versions.sort_by_key(|version| numbers(version));
    if selection.versions.is_empty() {
        versions = versions.last().copied().into_iter().collect();
    } else {
        versions.retain(|version| selection.versions.contains(version));
    }
    if versions.is_empty() {
        not("", "the suites have no selected version in common");
    }
    let variants = [None].into_iter().chain(a.profile.variants.iter().map(Some));
    let mut planned = Vec::new();
    for variant in variants {
        let name = variant.map_or(USUAL, |variant| variant.name.as_str());
        if let Some(why) = a.profile.needs_of(variant).find_map(|kind| missing.get(kind)) {
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

/// Runs the scenarios in processes of their own, several in parallel. If a signal arrives, the
/// comparison has the scenarios so far.
fn run_all(planned: Vec<Planned>, selection: &Selection, comparison: &mut Comparison) {
    let count = planned.len();
    let bar = progress::bar(count);
    let all = selection.all;
    let work = move |scenario: Planned| {
        let compared = both(&scenario, all);
        (scenario.plugin, scenario.name, compared)
    };
    let (done, signal) = parallel::run(planned, selection.jobs, work, |(plugin, name, _)| {
        progress::advance(&bar, "scenarios", format!("{plugin} {name}"));
    });
    bar.finish_and_clear();
    let mut ended = 0;
    for (plugin, scenario, compared) in done.into_iter().flatten() {
        ended += 1;
        match compared {
            Ok(compared) => comparison.scenarios.push(compared),
            Err(why) => comparison.trouble.push((plugin, scenario, why)),
        }
    }
    if let Some(signal) = signal {
        comparison.status = Some(signals::status(signal));
        comparison.incomplete =
            format!("the comparison was ended by {signal} after {ended} of {count} scenarios");
    }
}

/// Runs a scenario with both suites. If they differ, it runs a second time, to find out what
/// differs between two runs of one suite.
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

fn once(scenario: &Scenario) -> Result<Observation, String> {
    isolation::run(scenario, timeout::CASE)
}
