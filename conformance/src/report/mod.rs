//! What came of a run: data, and the ways to show it.

mod group;
mod html;
mod junit;
mod list;
mod portable;
mod table;

use std::fs;

use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use crate::case::{Ended, Verdict};
use crate::profile::Kind;
use crate::requirement::{Level, Requirement};
use crate::requirements;
use crate::suite::Plugin;

pub use group::{Group, groups};
pub use html::page;
pub use junit::junit;
pub use list::{explain, list, markdown};
pub use portable::{portable, text};
pub use table::{Shown, table};

/// What came of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// What the suite is called.
    pub label: String,
    /// The beginning of a command line that judges it again.
    pub command: String,
    /// The version of the kit.
    pub kit: String,
    /// Where it ran.
    pub machine: Machine,
    /// How long it took, in seconds; 0 if that is not told.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub seconds: f64,
    /// What was judged.
    pub plugins: Vec<PluginInfo>,
    /// By what.
    pub requirements: Vec<Asked>,
    /// The verdicts.
    pub cases: Vec<Judged>,
    /// The programs of the folder that were not judged, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_judged: Vec<(String, String)>,
}

/// Where the kit ran.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// The kernel's release.
    pub kernel: String,
    /// Whether as root of the machine, not of a user namespace.
    pub root: bool,
}

/// A plugin that was judged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PluginInfo {
    /// Its type.
    pub name: String,
    /// What it does.
    pub kind: Kind,
    /// The versions of the specification that it speaks, of those the kit tests.
    pub versions: Vec<String>,
}

/// A requirement, as the report shows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Asked {
    /// Its id.
    pub id: String,
    /// The title of its chapter.
    pub chapter: String,
    /// Where it is asked for.
    pub source: String,
    /// What is asked.
    pub says: String,
    /// How strongly.
    pub level: Level,
}

/// A case that was tested.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Judged {
    /// The requirement's id.
    pub requirement: String,
    /// The plugin's type.
    pub plugin: String,
    /// The version of the specification; empty if it was tested in none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Which part of the test, counted from 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub part: usize,
    /// How long it took, in milliseconds; 0 if that is not told.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub millis: u64,
    /// How it ended.
    #[serde(flatten)]
    pub ended: Ended,
}

/// How many cases ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// The plugin does what is asked.
    pub passed: usize,
    /// It does not.
    pub failed: usize,
    /// It is not asked of the plugin.
    pub absent: usize,
    /// It cannot be tested here.
    pub untestable: usize,
    /// The kit failed.
    pub broken: usize,
}

impl Machine {
    /// This machine.
    pub fn this() -> Machine {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Machine { kernel: kernel.trim().to_owned(), root: geteuid().is_root() }
    }
}

impl PluginInfo {
    /// What the report says of a plugin.
    pub fn of(plugin: &Plugin) -> PluginInfo {
        PluginInfo {
            name: plugin.name.clone(),
            kind: plugin.profile.kind,
            versions: plugin.versions.clone(),
        }
    }
}

impl From<&Requirement> for Asked {
    fn from(requirement: &Requirement) -> Asked {
        Asked {
            id: requirement.id.to_owned(),
            chapter: requirements::chapter_of(requirement.id).to_owned(),
            source: requirement.source.to_owned(),
            says: requirement.says.to_owned(),
            level: requirement.level,
        }
    }
}

impl Count {
    /// All of them.
    pub fn all(&self) -> usize {
        self.passed + self.failed + self.absent + self.untestable + self.broken
    }

    /// The verdict on all of them together: the one that a reader has to know of first.
    pub fn verdict(&self) -> Verdict {
        match self {
            Count { failed: 1.., .. } => Verdict::Failed,
            Count { broken: 1.., .. } => Verdict::Broken,
            Count { passed: 1.., .. } => Verdict::Passed,
            Count { untestable: 1.., .. } => Verdict::Untestable,
            _ => Verdict::Absent,
        }
    }

    /// Counts a verdict.
    pub fn add(&mut self, verdict: Verdict) {
        *match verdict {
            Verdict::Passed => &mut self.passed,
            Verdict::Failed => &mut self.failed,
            Verdict::Absent => &mut self.absent,
            Verdict::Untestable => &mut self.untestable,
            Verdict::Broken => &mut self.broken,
        } += 1;
    }

    /// Counts verdicts.
    pub fn of<'a>(cases: impl IntoIterator<Item = &'a Judged>) -> Count {
        let mut count = Count::default();
        cases.into_iter().for_each(|case| count.add(case.ended.verdict));
        count
    }
}

impl Report {
    /// The cases of a requirement.
    pub fn of<'a>(&'a self, requirement: &'a str) -> impl Iterator<Item = &'a Judged> {
        self.cases.iter().filter(move |case| case.requirement == requirement)
    }

    /// The requirement of that id.
    pub fn asked(&self, id: &str) -> Option<&Asked> {
        self.requirements.iter().find(|asked| asked.id == id)
    }

    /// All cases, counted.
    pub fn count(&self) -> Count {
        Count::of(&self.cases)
    }

    /// A command line that repeats one case.
    pub fn repeat(&self, case: &Judged) -> String {
        let spec = match case.version.as_str() {
            "" => String::new(),
            version => format!(" --spec {version}"),
        };
        let Report { command, .. } = self;
        let Judged { plugin, requirement, .. } = case;
        format!("{command} --plugins {plugin} --only {requirement}{spec} --verbose")
    }
}

/// How a requirement stands that was tested in several cases; [`None`] without any.
pub fn standing<'a>(cases: impl IntoIterator<Item = &'a Judged>) -> Option<Verdict> {
    let count = Count::of(cases);
    (count.all() > 0).then(|| count.verdict())
}

/// Whether a figure says nothing.
fn is_zero<N: PartialEq + Default>(number: &N) -> bool {
    *number == N::default()
}
