//! Runs the cases, several in parallel.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::case::{Case, CaseOutcome, Verdict};
use crate::described;
use crate::discovery::{self, Plugin};
use crate::edition;
use crate::evidence::{cut_calls, without_backtrace};
use crate::fixture::Fixture;
use crate::isolation::{self, Task, broken};
use crate::kernel_support;
use crate::parallel;
use crate::plan::{self, Planned, Selection};
use crate::profile::Profile;
use crate::progress;
use crate::registry::Registry;
use crate::report::{CaseResult, Machine, PluginInfo, Report, RequirementInfo};
use crate::requirement::Requirement;
use crate::role;
use crate::suggest;
use crate::timeout;
use crate::trial::{self, FailedTrial, Trial};
use crate::verdict::NotPassed;
use crate::version::numbers;
use crate::whose;

/// The time limit for one part of a crash test, which kills the plugin many times.
const LONG_PATIENCE: Duration = Duration::from_secs(3600);

impl Task for Case {
    const NAME: &'static str = "case";
    type Answer = CaseOutcome;
}

/// Runs the selected cases, with a progress bar if standard error is a terminal.
///
/// # Errors
///
/// If nothing is selected, or if the kit cannot work on this machine.
pub fn run(selection: &Selection, registry: Registry) -> Result<Report, String> {
    let started = Instant::now();
    let mut described = described::parse_all(&selection.profiles)?;
    let given = described.iter().map(|(name, own)| (name.clone(), own.profile.clone())).collect();
    let mut plugins = discovery::plugins(&selection.suite, &given)?;
    are_known(selection, registry, &plugins)?;
    plugins
        .retain(|plugin| selection.plugins.is_empty() || selection.plugins.contains(&plugin.name));
    let roles = role::find_out(&selection.suite, &mut plugins, &mut described);
    roles.iter().for_each(|line| eprintln!("{line}"));
    let chosen: Vec<&Requirement> = registry.all().filter(|r| is_chosen(r, selection)).collect();
    let kinds = plugins.iter().flat_map(|plugin| plugin.profile.needs.clone()).collect();
    let missing = kernel_support::missing(kinds)?;
    let mut planned: Vec<Planned> = plugins
        .iter()
        .flat_map(|plugin| chosen.iter().map(move |requirement| (plugin, *requirement)))
        .flat_map(|(plugin, requirement)| {
            let described = described.get(&plugin.name);
            plan::plan(plugin, requirement, selection, described, &missing)
        })
        .collect();
    let (failed_trials, mut signal) = try_plugins(&planned, selection.jobs);
    block(&mut planned, &failed_trials, !selection.only.is_empty());
    let count = planned.len();
    let mut cases = Vec::new();
    if signal.is_none() {
        (cases, signal) = run_all(planned, selection.jobs);
    }
    let not_judged = match selection.plugins.is_empty() {
        true => selection.suite.not_judged(&given),
        false => Vec::new(),
    };
    let done = cases.len();
    let report = Report {
        label: selection.label.clone(),
        command: selection.command.clone(),
        kit: env!("CARGO_PKG_VERSION").to_owned(),
        edition: edition::NAME.to_owned(),
        machine: Machine::this(),
        seconds: started.elapsed().as_secs_f64(),
        plugins: plugins
            .iter()
            .map(|plugin| PluginInfo::of(plugin, &selection.suite.folder))
            .collect(),
        requirements: chosen
            .iter()
            .map(|requirement| RequirementInfo::of(requirement, registry))
            .collect(),
        failed_trials,
        cases,
        not_judged,
        incomplete: String::new(),
        fixed: Vec::new(),
        status: None,
    };
    Ok(match signal {
        None => report,
        Some(signal) => report.interrupted_by(signal, &format!("after {done} of {count} cases")),
    })
}

/// Tries each plugin in each version before its cases. Returns the trials that failed.
fn try_plugins(planned: &[Planned], jobs: usize) -> (Vec<FailedTrial>, Option<Signal>) {
    let mut trials: Vec<Planned> = Vec::new();
    for new in planned {
        let case = &new.case;
        let is_same = |other: &Planned| {
            (&other.case.plugin, &other.case.version) == (&case.plugin, &case.version)
        };
        let runs = new.outcome.is_none() && trial::is_needed_by(&case.requirement);
        if runs && !trials.iter().any(is_same) {
            trials.push(new.clone());
        }
    }
    let (failed, signal) = parallel::run(trials, jobs, try_plugin, |_| ());
    let mut failed: Vec<FailedTrial> = failed.into_iter().flatten().flatten().collect();
    failed.sort_by_key(|trial| (trial.plugin.clone(), numbers(&trial.version)));
    (failed, signal)
}

fn try_plugin(Planned { case, delegates, .. }: Planned) -> Option<FailedTrial> {
    let mut failed = Trial(case.clone()).run()?;
    failed.outcome.whose = whose::whose(&case, &delegates, |alone| {
        let works = CaseOutcome { verdict: Verdict::Passed, ..CaseOutcome::default() };
        Trial(alone.clone()).run().map_or(works, |failed| failed.outcome)
    });
    Some(failed)
}

/// Gives an outcome to the cases that cannot show anything, because ADD fails. Cases that the user
/// `asked` for run nevertheless, if the kit can run them.
fn block(planned: &mut [Planned], failed: &[FailedTrial], asked: bool) {
    for Planned { case, outcome, .. } in planned {
        let of_it = |trial: &&FailedTrial| {
            (&trial.plugin, &trial.version) == (&case.plugin, &case.version)
                && trial.blocks(&case.requirement)
                && (trial.is_broken() || !asked)
        };
        if let Some(trial) = failed.iter().find(of_it)
            && outcome.is_none()
        {
            *outcome = Some(trial.blocked());
        }
    }
}

/// Checks that the selected plugins and requirements exist.
fn are_known(selection: &Selection, registry: Registry, plugins: &[Plugin]) -> Result<(), String> {
    for name in &selection.plugins {
        if !plugins.iter().any(|plugin| plugin.name == *name) {
            let folder = selection.suite.folder.display();
            let thing = format!("plugin in {folder} with a profile");
            let known = plugins.iter().map(|plugin| plugin.name.as_str());
            let otherwise = "describe it with --config FILE, which cni-conformance init writes";
            return Err(suggest::unknown(name, &thing, known, otherwise));
        }
    }
    for start in &selection.only {
        if !registry.all().any(|requirement| begins(requirement.id, start)) {
            return Err(registry.unknown(start));
        }
    }
    Ok(())
}

fn is_chosen(requirement: &Requirement, selection: &Selection) -> bool {
    if requirement.level > selection.level {
        return false;
    }
    match selection.only.as_slice() {
        [] => selection.crash || !requirement.id.starts_with("CRASH."),
        only => only.iter().any(|start| begins(requirement.id, start)),
    }
}

/// Whether an ID begins with `start`. `S2.ADD.1` does not match `S2.ADD.10`.
fn begins(id: &str, start: &str) -> bool {
    let same = id.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start));
    let rest = id.get(start.len()..).unwrap_or_default();
    same && (rest.is_empty() || rest.starts_with('.') || start.ends_with('.'))
}

/// Runs the cases in processes of their own. If a signal interrupts the run, it returns the
/// outcomes so far, and the other cases end with the kit.
fn run_all(planned: Vec<Planned>, jobs: usize) -> (Vec<CaseResult>, Option<Signal>) {
    let bar = progress::bar(planned.len());
    let mut failed = 0;
    // The longest cases start first, so that the end of the run does not wait for one of them.
    let mut order: Vec<(usize, Planned)> = planned.into_iter().enumerate().collect();
    order.sort_by_key(|(_, planned)| !planned.case.requirement.starts_with("CRASH."));
    let work = |(index, planned)| (index, run_case(planned));
    let (cases, signal) = parallel::run(order, jobs, work, |(_, case): &(usize, CaseResult)| {
        failed += usize::from(case.outcome.verdict == Verdict::Failed);
        let last = format!("{failed} failed  {} of {}", case.requirement, case.plugin);
        progress::advance(&bar, "cases", last);
    });
    bar.finish_and_clear();
    let mut cases: Vec<(usize, CaseResult)> = cases.into_iter().flatten().collect();
    cases.sort_by_key(|(index, _)| *index);
    (cases.into_iter().map(|(_, case)| case).collect(), signal)
}

fn run_case(planned: Planned) -> CaseResult {
    let started = Instant::now();
    let Planned { case, outcome, delegates } = planned;
    let mut outcome = outcome.unwrap_or_else(|| test_apart(&case));
    if outcome.verdict == Verdict::Failed {
        outcome.whose = whose::whose(&case, &delegates, test_apart);
    }
    CaseResult {
        requirement: case.requirement,
        plugin: case.plugin,
        version: case.version,
        part: case.part.0,
        millis: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        outcome,
    }
}

/// Tests a case in a process of its own.
fn test_apart(case: &Case) -> CaseOutcome {
    let patience = match case.requirement.starts_with("CRASH.") {
        true => LONG_PATIENCE,
        false => timeout::CASE,
    };
    isolation::run(case, patience)
        .map_err(|why| without_backtrace(&why))
        .unwrap_or_else(|why| CaseOutcome { why, ..CaseOutcome::default() })
}

/// Performs the test of a case.
pub fn test(case: Case, registry: Registry) -> CaseOutcome {
    let requirement = registry
        .find(&case.requirement)
        .unwrap_or_else(|| broken(&format!("{}: no such requirement", case.requirement)));
    let profile =
        Profile::of(&case.plugin, case.profile.as_deref()).unwrap_or_else(|error| broken(&error));
    // A delegate of a meta-plugin, which is tested alone, can be of another kind.
    if let Err(why) = requirement.is_for(&profile) {
        let verdict = Verdict::NotApplicable;
        return CaseOutcome { verdict, why, ..CaseOutcome::default() };
    }
    let fixture = Fixture::new(case, profile);
    let verdict = (requirement.test)(&fixture);
    let (calls, notes) = fixture.evidence();
    let outcome = CaseOutcome { notes, untested: fixture.untested(), ..CaseOutcome::default() };
    match verdict {
        Ok(()) => CaseOutcome { verdict: Verdict::Passed, ..outcome },
        Err(NotPassed::Failed(finding)) => CaseOutcome {
            verdict: Verdict::Failed,
            finding: Some(finding.cut()),
            calls: cut_calls(calls),
            ..outcome
        },
        Err(NotPassed::NotApplicable(why)) => {
            CaseOutcome { verdict: Verdict::NotApplicable, why, ..outcome }
        }
        Err(NotPassed::Untestable(why)) => {
            CaseOutcome { verdict: Verdict::Untestable, why, ..outcome }
        }
    }
}

/// The default number of parallel cases. Cases also wait for the kernel and for packets, so it is
/// more than the number of processors.
pub fn default_jobs() -> usize {
    2 * thread::available_parallelism().map_or(1, usize::from)
}

/// Makes a path absolute, because plugins run in other working directories.
///
/// # Errors
///
/// If the directory does not exist.
pub fn absolute(folder: &PathBuf) -> Result<PathBuf, String> {
    std::fs::canonicalize(folder).map_err(|error| format!("{}: {error}", folder.display()))
}
