//! What a requirement is, and what testing it can end with.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use testbed::Outcome;

use crate::bench::Bench;
use crate::profile::{Kind, Profile};

/// One thing that is asked of a plugin, and the test of it.
#[derive(Debug, Clone, Copy)]
pub struct Requirement {
    /// What it is known by: `S2.ADD.4`. Section and heading of the specification, or the kit's own chapter.
    pub id: &'static str,
    /// Where it is asked for: a section of the specification, a man page, an advisory.
    pub source: &'static str,
    /// What is asked, in one line.
    pub says: &'static str,
    /// How strongly.
    pub level: Level,
    /// Of which plugins.
    pub of: Of,
    /// In which versions of the specification it is tested.
    pub versions: Versions,
    /// The test. It finds the plugin, its configuration and a host of its own on the bench.
    pub test: fn(&Bench) -> Verdict,
}

/// How strongly something is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The specification says *must*, or it follows from what it says.
    Must,
    /// The specification says *should*.
    Should,
    /// The specification is silent, but operators count on it.
    Expected,
}

impl Level {
    /// As it stands in lists.
    pub fn name(self) -> &'static str {
        match self {
            Level::Must => "must",
            Level::Should => "should",
            Level::Expected => "expected",
        }
    }

    /// In a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Level::Must => "must: the specification demands it, or it follows from what it demands",
            Level::Should => "should: the specification recommends it",
            Level::Expected => "expected: the specification is silent, but operators count on it",
        }
    }
}

/// Which plugins a requirement is for.
#[derive(Debug, Clone, Copy)]
pub enum Of {
    /// All.
    All,
    /// Those that make an interface.
    Interfaces,
    /// Those that make an interface and have an address management plugin called.
    Delegating,
    /// Those that manage addresses.
    Ipam,
    /// Those that are called after another one, with its result.
    Chained,
    /// Those whose profile this holds for; the text completes "is for plugins that ..".
    That(fn(&Profile) -> bool, &'static str),
}

impl Of {
    fn holds(self, profile: &Profile) -> bool {
        match self {
            Of::All => true,
            Of::Interfaces => profile.kind == Kind::Interface,
            Of::Delegating => {
                profile.kind == Kind::Interface && profile.config.get("ipam").is_some()
            }
            Of::Ipam => profile.kind == Kind::Ipam,
            Of::Chained => profile.kind == Kind::Chained,
            Of::That(test, _) => test(profile),
        }
    }

    /// Completes "plugins that ..".
    pub fn those(self) -> &'static str {
        match self {
            Of::All => "exist",
            Of::Interfaces => "make an interface",
            Of::Delegating => "have an address management plugin called",
            Of::Ipam => "manage addresses",
            Of::Chained => "are called after another one",
            Of::That(_, those) => those,
        }
    }
}

/// In which versions of the specification, out of those that were asked for and that the plugin speaks, a requirement
/// is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// In each.
    Each,
    /// In each from this one on.
    From(&'static str),
    /// In the newest only, because it does not depend on the version.
    Newest,
}

/// How a test ended.
pub type Verdict = Result<(), Stop>;

/// Why a test did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The plugin does not do what is asked.
    Failed(Finding),
    /// It is not asked of this plugin, for this reason.
    Absent(String),
    /// It cannot be tested on this machine, for this reason.
    Untestable(String),
}

/// The evidence of a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was done.
    pub done: String,
    /// What should have come of it.
    pub expected: String,
    /// What did.
    pub seen: String,
}

/// Where a requirement comes from that no text states.
pub const OPERATORS: &str = "what operators count on";

/// A requirement that the specification states and that does not depend on its version.
pub const fn must(
    id: &'static str,
    source: &'static str,
    says: &'static str,
    of: Of,
    test: fn(&Bench) -> Verdict,
) -> Requirement {
    Requirement { id, source, says, level: Level::Must, of, versions: Versions::Newest, test }
}

/// A requirement that operators count on.
pub const fn expected(
    id: &'static str,
    says: &'static str,
    of: Of,
    test: fn(&Bench) -> Verdict,
) -> Requirement {
    Requirement { level: Level::Expected, ..must(id, OPERATORS, says, of, test) }
}

/// A failure: what was done, what was expected and what was seen.
pub fn failed(done: impl ToString, expected: impl ToString, seen: impl ToString) -> Stop {
    Stop::Failed(Finding {
        done: done.to_string(),
        expected: expected.to_string(),
        seen: seen.to_string(),
    })
}

/// Goes on if `holds`, otherwise it is a failure.
///
/// # Errors
///
/// The failure.
pub fn ensure(
    holds: bool,
    done: impl ToString,
    expected: impl ToString,
    seen: impl ToString,
) -> Verdict {
    if holds { Ok(()) } else { Err(failed(done, expected, seen)) }
}

/// The error a plugin printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its code.
    pub code: u64,
    /// The short message.
    pub msg: String,
    /// The long one, empty if there is none.
    pub details: String,
}

/// What is asked of the outcome of any call.
pub trait Judge {
    /// The call must have succeeded: exit status 0, and nothing but JSON on standard output. [`Value::Null`] if there
    /// is nothing.
    ///
    /// # Errors
    ///
    /// A failure, if it did not.
    fn succeeds(&self) -> Result<Value, Stop>;

    /// The call must have failed as the specification says: an exit status that is not 0, and an error as the only thing
    /// on standard output.
    ///
    /// # Errors
    ///
    /// A failure, if it did not.
    fn fails(&self) -> Result<Told, Stop>;
}

impl Judge for Outcome {
    fn succeeds(&self) -> Result<Value, Stop> {
        ensure(!self.hung, &self.call, "the plugin ends", "it hung, and was ended")?;
        ensure(self.status.success(), &self.call, "success", seen(self))?;
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

    fn fails(&self) -> Result<Told, Stop> {
        ensure(!self.hung, &self.call, "the plugin ends", "it hung, and was ended")?;
        ensure(!self.status.success(), &self.call, "an error", seen(self))?;
        let error: Option<Value> = serde_json::from_str(&self.stdout).ok();
        let text = |key: &str| {
            let value = error.as_ref().and_then(|error| error.get(key));
            value.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let code = error.as_ref().and_then(|error| error.get("code")).and_then(Value::as_u64);
        match code {
            Some(code) if code > 0 && !text("msg").is_empty() => {
                Ok(Told { code, msg: text("msg"), details: text("details") })
            }
            _ => Err(failed(
                &self.call,
                "an error object with `code` and `msg` on standard output",
                seen(self),
            )),
        }
    }
}

/// What can be seen of a call from outside.
pub fn seen(outcome: &Outcome) -> String {
    let Outcome { status, stdout, stderr, .. } = outcome;
    let mut text = status.to_string();
    for (name, printed) in [("standard output", stdout), ("standard error", stderr)] {
        if !printed.is_empty() {
            text.push_str(&format!("; {name}: {}", printed.trim_end()));
        }
    }
    text
}

impl Requirement {
    /// Whether the requirement is for a plugin of this profile; otherwise for which plugins it is.
    ///
    /// # Errors
    ///
    /// "is for plugins that ..".
    pub fn is_for(&self, profile: &Profile) -> Result<(), String> {
        match self.of.holds(profile) {
            true => Ok(()),
            false => Err(format!("is for plugins that {}", self.of.those())),
        }
    }

    /// Those of `versions`, oldest first, that the requirement is tested in.
    pub fn versions_of(&self, versions: &[String]) -> Vec<String> {
        match self.versions {
            Versions::Each => versions.to_vec(),
            Versions::From(first) => versions
                .iter()
                .filter(|version| number(version) >= number(first))
                .cloned()
                .collect(),
            Versions::Newest => versions.last().cloned().into_iter().collect(),
        }
    }
}

/// A version as numbers that compare: `1.0.0` is after `0.4.0`. What is no number counts as 0.
pub fn number(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}
