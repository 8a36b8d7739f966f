//! The outcomes of a test, and checks of calls.

use serde_json::Value;
use testbed::Outcome;

use crate::evidence::{Finding, describe};
use crate::timeout::{DEADLINE, SLOW_MACHINE, scaled};

/// The outcome of a test.
pub type TestResult = Result<(), NotPassed>;

/// Why a test did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotPassed {
    /// The plugin does not meet the requirement.
    Failed(Finding),
    /// The requirement does not apply to this plugin, for this reason.
    NotApplicable(String),
    /// This machine cannot run the test, for this reason.
    Untestable(String),
}

/// Makes a failure: the action, the expectation and the observation.
pub fn failed(done: impl ToString, expected: impl ToString, seen: impl ToString) -> NotPassed {
    NotPassed::Failed(Finding {
        done: done.to_string(),
        expected: expected.to_string(),
        seen: seen.to_string(),
    })
}

/// Checks that `holds` is true.
///
/// # Errors
///
/// A failure, if it is not.
pub fn ensure(
    holds: bool,
    done: impl ToString,
    expected: impl ToString,
    seen: impl ToString,
) -> TestResult {
    if holds { Ok(()) } else { Err(failed(done, expected, seen)) }
}

/// Checks that the plugin ended before its time limit.
fn ends(outcome: &Outcome) -> TestResult {
    let limit = scaled(DEADLINE).as_secs();
    let seen = format!("the plugin did not end within {limit} s and was killed. {SLOW_MACHINE}");
    ensure(!outcome.hung, &outcome.call, "the plugin ends", seen)
}

/// An error that a plugin printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginError {
    /// The code.
    pub code: u64,
    /// The message.
    pub msg: String,
    /// The details; empty if there are none.
    pub details: String,
}

/// Checks of the outcome of a call.
pub trait OutcomeExt {
    /// Checks that the call succeeded: exit status 0, and only JSON on standard output. Returns
    /// [`Value::Null`] for empty output.
    ///
    /// # Errors
    ///
    /// A failure, if it did not.
    fn succeeds(&self) -> Result<Value, NotPassed>;

    /// Checks that the call failed as the specification defines it: a non-zero exit status, and
    /// only an error on standard output.
    ///
    /// # Errors
    ///
    /// A failure, if it did not.
    fn fails(&self) -> Result<PluginError, NotPassed>;
}

impl OutcomeExt for Outcome {
    fn succeeds(&self) -> Result<Value, NotPassed> {
        ends(self)?;
        ensure(self.status.success(), &self.call, "success", describe(self))?;
        if self.stdout.trim().is_empty() {
            return Ok(Value::Null);
        }
        let printed = serde_json::from_str(&self.stdout);
        printed.map_err(|error| {
            failed(
                &self.call,
                "nothing but JSON on standard output",
                format!("{error} in {:?}", self.stdout),
            )
        })
    }

    fn fails(&self) -> Result<PluginError, NotPassed> {
        ends(self)?;
        ensure(!self.status.success(), &self.call, "an error", describe(self))?;
        let error: Option<Value> = serde_json::from_str(&self.stdout).ok();
        let text = |key: &str| {
            let value = error.as_ref().and_then(|error| error.get(key));
            value.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let code = error.as_ref().and_then(|error| error.get("code")).and_then(Value::as_u64);
        match code {
            Some(code) if code > 0 && !text("msg").is_empty() => {
                Ok(PluginError { code, msg: text("msg"), details: text("details") })
            }
            _ => Err(failed(
                &self.call,
                "an error object with `code` and `msg` on standard output",
                describe(self),
            )),
        }
    }
}
