//! The trial of a plugin before the cases: one plain ADD, CHECK and DEL in each version, with the
//! configuration of the profile. If its ADD fails, most other tests would fail for the same reason.

use serde::{Deserialize, Serialize};

use crate::case::{Case, CaseOutcome, Verdict};
use crate::evidence::{Finding, RecordedCall, cut_calls, without_backtrace};
use crate::fixture::Fixture;
use crate::isolation::{self, Task, broken};
use crate::profile::Profile;
use crate::timeout;
use crate::verdict::{NotPassed, OutcomeExt};

/// The beginning of the ID of a failed trial in a report.
pub const TRIAL: &str = "TRIAL.";
/// Why a case did not run after a trial whose ADD failed.
pub const BLOCKED: &str = "ADD fails with the plain configuration";

/// The task that tries a plugin in one version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trial(pub Case);

impl Task for Trial {
    const NAME: &'static str = "trial";
    type Answer = Option<Failure>;
}

/// Why a trial failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    /// The command that failed: ADD, CHECK or DEL.
    pub verb: String,
    /// The evidence.
    pub finding: Finding,
    /// The calls of the trial.
    pub calls: Vec<RecordedCall>,
}

/// A trial that failed, in a report.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FailedTrial {
    /// The type of the plugin.
    pub plugin: String,
    /// The version of the specification.
    pub version: String,
    /// Whether the user gave the configuration with `--config`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub own_config: bool,
    /// The command that failed; empty if the kit could not prepare the host.
    pub verb: String,
    /// The outcome.
    #[serde(flatten)]
    pub outcome: CaseOutcome,
}

/// The requirements whose tests need no ADD that works.
const WITHOUT_ADD: [&str; 4] = ["S2.VERSION.1", "S2.VERSION.2", "S2.VERSION.3", "S2.VERSION.4"];

/// Whether the tests of a requirement need an ADD that works.
pub fn is_needed_by(requirement: &str) -> bool {
    !WITHOUT_ADD.contains(&requirement)
}

impl Trial {
    /// Runs the trial in namespaces of its own. Returns [`None`] if all calls succeed.
    pub fn run(self) -> Option<FailedTrial> {
        let came = isolation::run(&self, timeout::CASE);
        let Trial(case) = self;
        let (verb, outcome) = match came {
            Ok(None) => return None,
            Ok(Some(Failure { verb, finding, calls })) => {
                let finding = Some(finding);
                let verdict = Verdict::Failed;
                (verb, CaseOutcome { verdict, finding, calls, ..CaseOutcome::default() })
            }
            Err(why) => {
                let why = without_backtrace(&why);
                (String::new(), CaseOutcome { why, ..CaseOutcome::default() })
            }
        };
        let own_config = case.profile.is_some();
        Some(FailedTrial { plugin: case.plugin, version: case.version, own_config, verb, outcome })
    }

    /// Makes the calls, as the task.
    pub fn perform(self) -> Option<Failure> {
        let Trial(case) = self;
        let profile = Profile::of(&case.plugin, case.profile.as_deref());
        let fixture = Fixture::new(case, profile.unwrap_or_else(|error| broken(&error)));
        let (verb, finding) = calls(&fixture).err()?;
        let (calls, _) = fixture.evidence();
        let (finding, calls) = (finding.cut(), cut_calls(calls));
        Some(Failure { verb: verb.to_owned(), finding, calls })
    }
}

fn calls(fixture: &Fixture) -> Result<(), (&'static str, Finding)> {
    let failure = |verb| {
        move |error| match error {
            NotPassed::Failed(finding) => (verb, finding),
            NotPassed::NotApplicable(why) | NotPassed::Untestable(why) => broken(&why),
        }
    };
    let container = fixture.container("a");
    let call = fixture.call(&container);
    let result = call.add().succeeds().map_err(failure("ADD"))?;
    let mut del = call.clone();
    if fixture.is_from("0.4.0") && result.is_object() {
        call.check(&result).succeeds().map_err(failure("CHECK"))?;
        del = del.with(|cni| cni.prev(&result));
    }
    del.del().succeeds().map_err(failure("DEL"))?;
    Ok(())
}

impl FailedTrial {
    /// The ID in a report: `TRIAL.ADD`.
    pub fn id(&self) -> String {
        let verb = if self.verb.is_empty() { "SETUP" } else { &self.verb };
        format!("{TRIAL}{verb}")
    }

    /// Whether the kit could not make the calls.
    pub fn is_broken(&self) -> bool {
        self.verb.is_empty()
    }

    /// Whether the tests of most requirements cannot show anything after this trial.
    pub fn blocks_most(&self) -> bool {
        self.is_broken() || self.verb == "ADD"
    }

    /// Whether the tests of a requirement cannot show anything after this trial.
    pub fn blocks(&self, requirement: &str) -> bool {
        self.is_broken() || (self.verb == "ADD" && is_needed_by(requirement))
    }

    /// The outcome of a case that did not run after this trial.
    pub fn blocked(&self) -> CaseOutcome {
        let verdict = match self.outcome.verdict {
            Verdict::Broken => Verdict::Broken,
            _ => Verdict::Untestable,
        };
        CaseOutcome { verdict, why: BLOCKED.to_owned(), ..CaseOutcome::default() }
    }

    /// How to get a profile with which ADD succeeds.
    pub fn remedy(&self) -> String {
        let plugin = &self.plugin;
        let last = self.outcome.calls.last();
        if last.is_some_and(|call| !call.stdout.trim_start().starts_with('{')) {
            return format!(
                "{plugin} ended without an error object on standard output: correct {plugin}. \
                 --verbose shows its standard error"
            );
        }
        match (self.verb.is_empty(), self.own_config) {
            (true, true) => "correct `setup` in the profile of --config FILE".to_owned(),
            (true, false) => "the kit's own profile does not work on this machine; give another \
                 one with --config FILE"
                .to_owned(),
            (false, true) => format!(
                "correct the configuration in the file of --config until ADD of {plugin} \
                 succeeds; `setup` prepares the host, `env` sets variables, and --path names the \
                 directories of other plugins. `cni-conformance init --plugins {plugin}` looks for \
                 a profile that works"
            ),
            (false, false) => format!(
                "if this {plugin} needs another configuration than the kit's, give it with \
                 --config FILE; --path names the directories of other plugins"
            ),
        }
    }
}
