//! The cases of a run: which plugin is tested for which requirement in which versions.

use std::collections::BTreeMap;

use crate::case::{Case, CaseOutcome, Verdict};
use crate::described::Described;
use crate::discovery::Plugin;
use crate::kernel_support;
use crate::requirement::{Level, Requirement};
use crate::suite::Suite;
use crate::whose::Delegate;

/// The input of a run.
#[derive(Debug, Clone)]
pub struct Selection {
    /// The suite to test.
    pub suite: Suite,
    /// The name of the suite in the report.
    pub label: String,
    /// The beginning of a command line that tests the suite again.
    pub command: String,
    /// The plugins by type. If empty: all plugins with a profile.
    pub plugins: Vec<String>,
    /// The versions of the specification. If empty: all versions that the plugin supports.
    pub versions: Vec<String>,
    /// The beginnings of the IDs of requirements. If empty: all requirements.
    pub only: Vec<String>,
    /// The least binding level that is tested.
    pub level: Level,
    /// Whether to run the crash tests, which kill plugins before each system call.
    pub crash: bool,
    /// Crash tests kill before every N-th system call; this is N.
    pub crash_every: usize,
    /// The texts of the profiles that the user gave.
    pub profiles: Vec<String>,
    /// The number of cases that run in parallel.
    pub jobs: usize,
}

/// A case before it runs.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The case.
    pub case: Case,
    /// The outcome, if it is known without running the test.
    pub outcome: Option<CaseOutcome>,
    /// The plugins that the plugin runs as delegates.
    pub delegates: Vec<Delegate>,
}

/// The cases of a requirement and a plugin: one for each version.
pub fn plan(
    plugin: &Plugin,
    requirement: &Requirement,
    selection: &Selection,
    described: Option<&Described>,
    missing: &BTreeMap<String, String>,
) -> Vec<Planned> {
    let mut versions = plugin.versions.clone();
    versions.retain(|version| match selection.versions.is_empty() {
        // 0.3.0 and 0.3.1 differ only in one word of the text.
        true => version != "0.3.0" || plugin.versions.len() == 1,
        false => selection.versions.contains(version),
    });
    let case = |version: &str, part| Case {
        requirement: requirement.id.to_owned(),
        plugin: plugin.name.clone(),
        version: version.to_owned(),
        suite: selection.suite.clone(),
        profile: described.map(|own| own.text.clone()),
        part,
        crash_every: selection.crash_every,
    };
    let not_applicable = |why| {
        let verdict = Verdict::NotApplicable;
        let outcome = Some(CaseOutcome { verdict, why, ..CaseOutcome::default() });
        Planned { case: case("", (0, 1)), outcome, delegates: Vec::new() }
    };
    if let Err(why) = requirement.is_for(&plugin.profile) {
        return vec![not_applicable(why)];
    }
    let tested = requirement.versions_of(&versions);
    if tested.is_empty() {
        let why = "applies to versions that the plugin does not support or that are not selected"
            .to_owned();
        return vec![not_applicable(why)];
    }
    let lack = plugin.profile.needs.iter().find_map(|kind| missing.get_key_value(kind));
    let outcome = lack.map(|(kind, why)| CaseOutcome {
        verdict: Verdict::Untestable,
        why: match kernel_support::is_program(kind) {
            true => why.clone(),
            false => format!("{why}; try --lab"),
        },
        lacking: !kernel_support::is_program(kind),
        ..CaseOutcome::default()
    });
    let parts = if requirement.id.starts_with("CRASH.") { 4 } else { 1 };
    let planned = |version: &String| {
        let parts = (0..parts).map(|part| case(version, (part, parts))).collect::<Vec<_>>();
        parts.into_iter().map(|case| Planned {
            case,
            outcome: outcome.clone(),
            delegates: described.map(|own| own.delegates.clone()).unwrap_or_default(),
        })
    };
    tested.iter().flat_map(planned).collect()
}
