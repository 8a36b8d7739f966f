//! The evidence of a failure: the finding, and the calls of the plugin.

use serde::{Deserialize, Serialize};
use testbed::Outcome;

/// The evidence of a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The action.
    pub done: String,
    /// The expectation.
    pub expected: String,
    /// The observation.
    pub seen: String,
}

/// A recorded call of the plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedCall {
    /// The call as a shell command.
    pub shell: String,
    /// The exit status.
    pub status: String,
    /// The standard output.
    pub stdout: String,
    /// The standard error.
    pub stderr: String,
}

/// Describes the outcome of a call: exit status and output.
pub fn describe(outcome: &Outcome) -> String {
    let Outcome { status, stdout, stderr, .. } = outcome;
    let mut text = status.to_string();
    for (name, printed) in [("standard output", stdout), ("standard error", stderr)] {
        if !printed.is_empty() {
            text.push_str(&format!("; {name}: {}", printed.trim_end()));
        }
    }
    text
}
