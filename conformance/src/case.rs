//! One case: a requirement, a plugin and a version of the specification, tested in a process of its
//! own.

use serde::{Deserialize, Serialize};

use crate::evidence::{Finding, RecordedCall};
use crate::suite::Suite;

/// The input of a test.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Case {
    /// The ID of the requirement.
    pub requirement: String,
    /// The type of the plugin.
    pub plugin: String,
    /// The version of the specification.
    pub version: String,
    /// The suite with the plugin.
    pub suite: Suite,
    /// The text of the plugin's profile, if the user gave one.
    pub profile: Option<String>,
    /// Long tests run in several parts: the index of this part, counted from 0, and the number of
    /// parts.
    pub part: (usize, usize),
    /// Crash tests kill the plugin before every N-th system call; this is N.
    #[serde(default)]
    pub crash_every: usize,
}

/// The outcome of a case.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CaseOutcome {
    /// The verdict.
    pub verdict: Verdict,
    /// The reason why the test did not run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Whether the test did not run because this kernel does not support a kind of link. Other
    /// kernels may.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lacking: bool,
    /// The release of the lab's kernel, if the test ran in the lab.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub lab: String,
    /// Why the failure is known and accepted; empty for a new failure.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub known: String,
    /// Whose failure it is, if the plugin runs others as delegates.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub whose: String,
    /// The evidence of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<Finding>,
    /// The calls before the failure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<RecordedCall>,
    /// Figures that the test measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The configurations of the profile that were not tested, each with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untested: Vec<(String, String)>,
}

/// The verdict on a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The plugin meets the requirement.
    Passed,
    /// The plugin does not meet the requirement.
    Failed,
    /// The requirement does not apply to this plugin.
    #[serde(rename = "absent")]
    NotApplicable,
    /// This machine cannot run the test.
    Untestable,
    /// The kit failed, not the plugin.
    #[default]
    Broken,
}
