//! The evidence of a failure: the finding, and the calls of the plugin.

use serde::{Deserialize, Serialize};
use testbed::Outcome;

/// The maximum lengths of texts in the evidence, in bytes. With the usual output of plugins nothing
/// is cut.
const LONGEST: usize = 4096;
const LONGEST_OUTPUT: usize = 2048;
const LONGEST_COMMAND: usize = 8192;
/// The numbers of calls that are kept: the first ones show how the test began, the last ones how it
/// failed.
const FIRST_CALLS: usize = 3;
const LAST_CALLS: usize = 6;

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

impl Finding {
    /// The finding with long texts cut in the middle.
    #[must_use]
    pub fn cut(self) -> Finding {
        let [done, expected, seen] =
            [self.done, self.expected, self.seen].map(|text| cut(&text, LONGEST));
        Finding { done, expected, seen }
    }
}

/// The first and the last calls, with long texts cut in the middle.
pub fn cut_calls(calls: Vec<RecordedCall>) -> Vec<RecordedCall> {
    let last = calls.len().saturating_sub(LAST_CALLS).max(FIRST_CALLS);
    let mut kept: Vec<RecordedCall> = Vec::new();
    for (index, call) in calls.into_iter().enumerate() {
        if index == FIRST_CALLS && last > FIRST_CALLS {
            kept.push(RecordedCall::left_out(last - FIRST_CALLS));
        }
        if index < FIRST_CALLS || index >= last {
            let shell = cut(&call.shell, LONGEST_COMMAND);
            let [stdout, stderr] =
                [call.stdout, call.stderr].map(|text| cut(&text, LONGEST_OUTPUT));
            kept.push(RecordedCall { shell, status: call.status, stdout, stderr });
        }
    }
    kept
}

impl RecordedCall {
    /// A line in the place of calls that are not kept.
    fn left_out(count: usize) -> RecordedCall {
        let calls = if count == 1 { "call is" } else { "calls are" };
        RecordedCall {
            shell: format!("# {count} more {calls} left out here"),
            status: String::new(),
            stdout: String::new(),
            stderr: String::new(),
        }
    }
}

/// A text that is at most about `longest` bytes long: a longer one is cut in the middle, because
/// the beginning and the end say most.
pub fn cut(text: &str, longest: usize) -> String {
    if text.len() <= longest {
        return text.to_owned();
    }
    let half = longest / 2;
    let boundary = |at: &usize| text.is_char_boundary(*at);
    let start = (0..=half).rev().find(boundary).unwrap_or(0);
    let end = (text.len() - half..=text.len()).find(boundary).unwrap_or(text.len());
    let [first, last] = [text.get(..start), text.get(end..)].map(Option::unwrap_or_default);
    format!("{first}\n[.. {} bytes are left out here ..]\n{last}", end - start)
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
    use super::{RecordedCall, cut, cut_calls, without_backtrace};

    #[test]
    fn a_long_text_is_cut_in_the_middle_between_characters() {
        assert_eq!(cut("short", 8), "short");
        let text = format!("begin{}end", "\u{e9}".repeat(100));
        let expected = format!(
            "begin{}\n[.. 190 bytes are left out here ..]\n{}end",
            "\u{e9}".repeat(2),
            "\u{e9}".repeat(3)
        );
        assert_eq!(cut(&text, 20), expected);
    }

    #[test]
    fn the_first_and_the_last_calls_are_kept() {
        let call = |number: usize| RecordedCall {
            shell: number.to_string(),
            status: String::new(),
            stdout: "x".repeat(9999),
            stderr: String::new(),
        };
        let kept = cut_calls((0..20).map(call).collect());
        let names: Vec<&str> = kept.iter().map(|call| call.shell.as_str()).collect();
        let gap = "# 11 more calls are left out here";
        assert_eq!(names, ["0", "1", "2", gap, "14", "15", "16", "17", "18", "19"]);
        assert!(kept.iter().all(|call| call.stdout.len() < 5000));
        assert_eq!(cut_calls((0..9).map(call).collect()).len(), 9);
    }

    #[test]
    fn only_the_message_of_a_panic_stays() {
        let message = "the kit failed (3):\nthread 'main' (7) panicked at a.rs:1:2:\nno uplink\n\
                       stack backtrace:\n   0: main";
        assert_eq!(without_backtrace(message), "the kit failed (3):\nno uplink");
    }
}
