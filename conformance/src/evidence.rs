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

/// The message of a process of the kit that failed, without what the compiler's library adds.
pub fn without_backtrace(message: &str) -> String {
    let (message, _) = message.split_once("stack backtrace:").unwrap_or((message, ""));
    let added = ["thread '", "note: run with", "note: Some details"];
    let lines = message.lines().filter(|line| !added.iter().any(|start| line.starts_with(start)));
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::without_backtrace;

    #[test]
    fn only_the_message_of_a_panic_stays() {
        let message = "the kit failed (3):\nthread 'main' (7) panicked at a.rs:1:2:\nno uplink\n\
                       stack backtrace:\n   0: main";
        assert_eq!(without_backtrace(message), "the kit failed (3):\nno uplink");
    }
}
