//! Failures that are known before a run: those of an earlier report, and those of a list with
//! reasons. Only other failures fail the run.

use serde::Deserialize;

use crate::case::{CaseOutcome, Verdict};
use crate::report::{CaseResult, Report};

/// Why a failure of the baseline is known.
const IN_BASELINE: &str = "fails in the baseline, too";

/// A known failure of a list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownFailure {
    /// The ID of the requirement.
    pub requirement: String,
    /// The type of the plugin; without it, all plugins.
    pub plugin: Option<String>,
    /// The version of the specification; without it, all versions.
    pub version: Option<String>,
    /// Why the failure is accepted.
    pub reason: String,
}

impl KnownFailure {
    /// Parses a list, which is JSON.
    ///
    /// # Errors
    ///
    /// If the text is not such a list, or if an entry has no reason.
    pub fn parse_list(text: &str) -> Result<Vec<KnownFailure>, String> {
        let list: Vec<KnownFailure> = serde_json::from_str(text).map_err(|error| {
            format!(
                "not a list of known failures: {error}; it looks like \
                 [{{\"requirement\": \"S2.DEL.3\", \"plugin\": \"bridge\", \"reason\": \"..\"}}]"
            )
        })?;
        match list.iter().find(|known| known.reason.trim().is_empty()) {
            Some(known) => Err(format!("the entry for {} has no reason", known.requirement)),
            None => Ok(list),
        }
    }

    fn is_about(&self, requirement: &str, plugin: &str, version: &str) -> bool {
        let is = |own: &Option<String>, other| own.as_deref().is_none_or(|own| own == other);
        self.requirement == requirement && is(&self.plugin, plugin) && is(&self.version, version)
    }

    fn name(&self) -> String {
        let plugin = self.plugin.as_deref().map(|name| format!(" of {name}")).unwrap_or_default();
        let version = self.version.as_deref().map(|v| format!(" in {v}")).unwrap_or_default();
        format!("{}{plugin}{version}", self.requirement)
    }
}

/// Marks the known failures of a report, and names the known failures that do not fail.
pub fn mark(report: &mut Report, list: &[KnownFailure], baseline: Option<&Report>) {
    let old: Vec<CaseResult> = baseline.map(all).unwrap_or_default();
    let old: Vec<&CaseResult> = old.iter().filter(|case| is_failed(&case.outcome)).collect();
    let new = all(report);
    let reason = |id: &str, plugin: &str, version: &str| {
        let listed = list.iter().find(|known| known.is_about(id, plugin, version));
        let is_old = |case: &&&CaseResult| {
            (case.requirement.as_str(), case.plugin.as_str(), case.version.as_str())
                == (id, plugin, version)
        };
        let in_baseline = || old.iter().find(is_old).map(|_| IN_BASELINE.to_owned());
        listed.map(|known| known.reason.clone()).or_else(in_baseline).unwrap_or_default()
    };
    for case in report.cases.iter_mut().filter(|case| is_failed(&case.outcome)) {
        case.outcome.known = reason(&case.requirement, &case.plugin, &case.version);
    }
    for trial in report.failed_trials.iter_mut().filter(|trial| is_failed(&trial.outcome)) {
        trial.outcome.known = reason(&trial.id(), &trial.plugin, &trial.version);
    }
    let passes = |id: &str, is_about: &dyn Fn(&CaseResult) -> bool| {
        let mut cases = new.iter().filter(|case| case.requirement == id && is_about(case));
        let passed = cases.clone().any(|case| case.outcome.verdict == Verdict::Passed);
        passed && !cases.any(|case| is_failed(&case.outcome))
    };
    let of_list = list.iter().filter(|known| {
        let is_about =
            |case: &CaseResult| known.is_about(&case.requirement, &case.plugin, &case.version);
        passes(&known.requirement, &is_about)
    });
    let of_baseline = old.iter().filter(|case| {
        let same =
            |other: &CaseResult| (&other.plugin, &other.version) == (&case.plugin, &case.version);
        passes(&case.requirement, &same)
    });
    let named = |case: &&&CaseResult| {
        format!("{} of {} in {}, of the baseline", case.requirement, case.plugin, case.version)
    };
    report.fixed = of_list
        .map(|known| format!("{} ({})", known.name(), known.reason))
        .chain(of_baseline.map(|case| named(&case)))
        .collect();
    report.fixed.dedup();
}

fn all(report: &Report) -> Vec<CaseResult> {
    report.trials().into_iter().chain(report.cases.iter().cloned()).collect()
}

fn is_failed(outcome: &CaseOutcome) -> bool {
    outcome.verdict == Verdict::Failed
}
