//! What came of a run: data, and the ways to show it.

mod table;

use std::fs;

use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use crate::case::{Ended, Verdict};
use crate::profile::Kind;
use crate::requirement::{Level, Requirement};
use crate::suite::Plugin;

pub use table::table;

/// What came of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// What the suite is called.
    pub label: String,
    /// The version of the kit.
    pub kit: String,
    /// Where it ran.
    pub machine: Machine,
    /// How long it took, in seconds.
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
    pub version: String,
    /// Which part of the test, counted from 0.
    pub part: usize,
    /// How long it took, in milliseconds.
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
            source: requirement.source.to_owned(),
            says: requirement.says.to_owned(),
            level: requirement.level,
        }
    }
}

impl Count {
    /// Counts verdicts.
    pub fn of<'a>(cases: impl IntoIterator<Item = &'a Judged>) -> Count {
        let mut count = Count::default();
        for case in cases {
            *match case.ended.verdict {
                Verdict::Passed => &mut count.passed,
                Verdict::Failed => &mut count.failed,
                Verdict::Absent => &mut count.absent,
                Verdict::Untestable => &mut count.untestable,
                Verdict::Broken => &mut count.broken,
            } += 1;
        }
        count
    }
}

impl Report {
    /// The cases of a requirement.
    pub fn of<'a>(&'a self, requirement: &'a str) -> impl Iterator<Item = &'a Judged> {
        self.cases.iter().filter(move |case| case.requirement == requirement)
    }

    /// All cases, counted.
    pub fn count(&self) -> Count {
        Count::of(&self.cases)
    }

    /// A command line that repeats one case.
    pub fn repeat(&self, case: &Judged, folder: &str) -> String {
        let spec = match case.version.as_str() {
            "" => String::new(),
            version => format!(" --spec {version}"),
        };
        format!(
            "cni-conformance run --bin-dir {folder} --plugins {} --only {}{spec} --verbose",
            case.plugin, case.requirement
        )
    }
}
