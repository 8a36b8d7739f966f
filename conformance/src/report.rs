//! The outcome of a run, and the formats to show it.

mod badge;
mod claim;
mod count;
mod digest;
mod group;
mod html;
mod junit;
mod list;
mod portable;
mod sentence;
mod table;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use crate::case::{CaseOutcome, Verdict};
use crate::discovery::Plugin;
use crate::library;
use crate::profile::Kind;
use crate::registry::Registry;
use crate::requirement::{Level, Requirement};
use crate::signals;
use crate::trial::{self, FailedTrial};

pub use badge::badge;
pub use claim::Claim;
pub use count::Count;
pub use digest::differing;
pub use group::{Cause, Group, causes, groups};
pub use html::page;
pub use junit::junit;
pub use list::{explain, list, markdown};
pub use portable::{portable, text};
pub use sentence::Sentence;
pub use table::{TableOptions, table};

/// The outcome of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The name of the suite.
    pub label: String,
    /// The beginning of a command line that tests it again.
    pub command: String,
    /// The version of the kit.
    pub kit: String,
    /// The name of the frozen set of requirements.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub edition: String,
    /// The machine of the run.
    pub machine: Machine,
    /// The duration of the run in seconds; 0 if it is omitted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub seconds: f64,
    /// The plugins that were tested.
    pub plugins: Vec<PluginInfo>,
    /// The requirements that were tested.
    pub requirements: Vec<RequirementInfo>,
    /// The plugins that fail in plain calls, which the kit makes before the cases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_trials: Vec<FailedTrial>,
    /// The outcomes of the cases.
    pub cases: Vec<CaseResult>,
    /// The programs in the directory that were not tested, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_judged: Vec<(String, String)>,
    /// The reason why cases are missing, if the run was interrupted; otherwise empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub incomplete: String,
    /// The known failures that do not fail any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixed: Vec<String>,
    /// The exit status, if a signal interrupted the run.
    #[serde(skip)]
    pub status: Option<u8>,
}

/// The machine of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// The release of the kernel.
    pub kernel: String,
    /// Whether the kit ran as root of the machine; otherwise as root of a user namespace.
    pub root: bool,
}

/// A plugin that was tested.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PluginInfo {
    /// The type.
    pub name: String,
    /// What the plugin does.
    pub kind: Kind,
    /// The SHA-256 digest of the file, so that others know which build was tested.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sha256: String,
    /// The versions of the specification that it supports, of those that the kit tests.
    pub versions: Vec<String>,
    /// Whether the plugin uses the package `skel` of Go's CNI library.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skel: bool,
}

/// A requirement in a report.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RequirementInfo {
    /// The ID.
    pub id: String,
    /// The title of the chapter.
    pub chapter: String,
    /// The source.
    pub source: String,
    /// The statement.
    #[serde(rename = "says")]
    pub statement: String,
    /// The level.
    pub level: Level,
    /// The first version of the specification for which it is tested.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub since: String,
    /// The sentence of the specification, if there is one.
    #[serde(flatten, default)]
    pub sentence: Option<Sentence>,
}

/// The outcome of a case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CaseResult {
    /// The ID of the requirement.
    pub requirement: String,
    /// The type of the plugin.
    pub plugin: String,
    /// The version of the specification; empty if the test did not run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// The part of the test, counted from 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub part: usize,
    /// The duration in milliseconds; 0 if it is omitted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub millis: u64,
    /// The exit status.
    #[serde(flatten)]
    pub outcome: CaseOutcome,
}

impl Machine {
    /// Describes this machine.
    pub fn this() -> Machine {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Machine { kernel: kernel.trim().to_owned(), root: geteuid().is_root() }
    }
}

impl PluginInfo {
    /// Describes a plugin.
    pub fn of(plugin: &Plugin, folder: &Path) -> PluginInfo {
        PluginInfo {
            name: plugin.name.clone(),
            kind: plugin.profile.kind,
            versions: plugin.versions.clone(),
            sha256: digest::sha256(&folder.join(&plugin.name)).unwrap_or_default(),
            skel: library::has_skel(&folder.join(&plugin.name)),
        }
    }
}

impl RequirementInfo {
    /// Describes a requirement.
    pub fn of(requirement: &Requirement, registry: Registry) -> RequirementInfo {
        RequirementInfo {
            id: requirement.id.to_owned(),
            chapter: registry.chapter_of(requirement.id).to_owned(),
            source: requirement.source.to_owned(),
            statement: requirement.statement.to_owned(),
            level: requirement.level,
            since: requirement.since().to_owned(),
            sentence: Sentence::of(requirement.id),
        }
    }
}

impl Report {
    /// Whether the run was interrupted before all cases ended.
    pub fn is_incomplete(&self) -> bool {
        !self.incomplete.is_empty()
    }

    /// The report of a run that a signal interrupted.
    #[must_use]
    pub fn interrupted_by(self, signal: Signal, when: &str) -> Report {
        let incomplete = format!("the run was ended by {signal} {when}");
        Report { incomplete, status: Some(signals::status(signal)), ..self }
    }

    /// The configurations of profiles that were not tested: plugin, name and reason.
    pub fn untested(&self) -> BTreeSet<(&str, &str, &str)> {
        let mut all = BTreeSet::new();
        for case in &self.cases {
            for (name, why) in &case.outcome.untested {
                all.insert((case.plugin.as_str(), name.as_str(), why.as_str()));
            }
        }
        all
    }

    /// The cases of a requirement.
    pub fn of<'a>(&'a self, requirement: &'a str) -> impl Iterator<Item = &'a CaseResult> {
        self.cases.iter().filter(move |case| case.requirement == requirement)
    }

    /// The requirement with that ID.
    pub fn requirement(&self, id: &str) -> Option<&RequirementInfo> {
        self.requirements.iter().find(|requirement_info| requirement_info.id == id)
    }

    /// The trials that failed, as cases.
    pub fn trials(&self) -> Vec<CaseResult> {
        let case = |trial: &FailedTrial| CaseResult {
            requirement: trial.id(),
            plugin: trial.plugin.clone(),
            version: trial.version.clone(),
            part: 0,
            millis: 0,
            outcome: trial.outcome.clone(),
        };
        self.failed_trials.iter().map(case).collect()
    }

    /// The cases that did not run because ADD fails.
    pub fn blocked(&self) -> impl Iterator<Item = &CaseResult> {
        self.cases.iter().filter(|case| case.outcome.why == trial::BLOCKED)
    }

    /// Where a failure comes from, if not from the plugin's own code.
    pub fn origin(&self, case: &CaseResult) -> Option<&'static str> {
        let plugin = self.plugins.iter().find(|plugin| plugin.name == case.plugin)?;
        plugin.skel.then(|| library::of_skel(&case.requirement)).flatten()
    }

    /// The number of failures that are known and accepted.
    pub fn known_failures(&self) -> usize {
        self.cases.iter().filter(|case| !case.outcome.known.is_empty()).count()
    }

    /// Whether there is a failure that is not known, of a plain call or of a requirement that
    /// `counts`.
    pub fn has_new_failure(&self, counts: impl Fn(&RequirementInfo) -> bool) -> bool {
        let is_new =
            |outcome: &CaseOutcome| outcome.verdict == Verdict::Failed && outcome.known.is_empty();
        let counted = |case: &CaseResult| self.requirement(&case.requirement).is_none_or(&counts);
        self.cases.iter().any(|case| is_new(&case.outcome) && counted(case))
            || self.failed_trials.iter().any(|trial| is_new(&trial.outcome))
    }

    /// Why nothing was tested, if no test ran.
    pub fn why_nothing_ran(&self) -> Option<String> {
        let count = self.count();
        let ran = count.passed + count.failed + count.broken > 0 || !self.failed_trials.is_empty();
        if ran || self.is_incomplete() {
            return None;
        }
        let mut whys = BTreeSet::new();
        for verdict in [Verdict::Untestable, Verdict::NotApplicable] {
            if whys.is_empty() {
                let cases = self.cases.iter().filter(|case| case.outcome.verdict == verdict);
                whys.extend(cases.map(|case| format!("{}: {}", case.plugin, case.outcome.why)));
            }
        }
        let whys: Vec<String> = whys.into_iter().collect();
        Some(format!("nothing was tested: {}", whys.join("; ")))
    }

    /// The counts of all cases.
    pub fn count(&self) -> Count {
        Count::of(&self.cases)
    }

    /// A command line that repeats one case.
    pub fn repeat(&self, case: &CaseResult) -> String {
        let spec = match case.version.as_str() {
            "" => String::new(),
            version => format!(" --spec {version}"),
        };
        let Report { command, .. } = self;
        let CaseResult { plugin, requirement, .. } = case;
        format!("{command} --plugins {plugin} --only {requirement}{spec} --verbose")
    }
}

/// The verdict on a requirement that was tested in several cases; [`None`] without cases.
pub fn overall_verdict<'a>(cases: impl IntoIterator<Item = &'a CaseResult>) -> Option<Verdict> {
    let count = Count::of(cases);
    (count.all() > 0).then(|| count.verdict())
}

/// Whether a number is zero, so that the file omits it.
fn is_zero<N: PartialEq + Default>(number: &N) -> bool {
    *number == N::default()
}
