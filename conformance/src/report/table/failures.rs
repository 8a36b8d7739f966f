//! The failures with their evidence. A failure of several plugins or versions is shown once, and the
//! failures that follow from another one are only named below it.

use std::fmt::Write;

use super::{Style, TableOptions, many, shortened, visible};
use crate::case::Verdict;
use crate::evidence::Finding;
use crate::report::{CaseResult, Cause, Report, Sentence, causes, groups};
use crate::requirement::Level;
use crate::trial::{self, TRIAL};

/// The number of requirements that are named.
const NAMED: usize = 6;

pub(super) fn failures(report: &Report, shown: TableOptions) -> String {
    let trials = report.trials();
    let mut text = String::new();
    for verdict in [Verdict::Failed, Verdict::Broken] {
        let head = match verdict {
            Verdict::Failed => "failed",
            _ => "the kit could not test",
        };
        let is_new = |case: &&CaseResult| case.outcome.known.is_empty();
        let cases = report.cases.iter().filter(|case| case.outcome.why != trial::BLOCKED);
        let (cases, trials) = (cases.filter(is_new), trials.iter().filter(is_new));
        let all = groups(trials, verdict).into_iter().chain(groups(cases, verdict));
        for cause in causes(all) {
            let id = &cause.group.first.requirement;
            let level = report.requirement(id).map(|requirement| requirement.level);
            let is_advice = verdict == Verdict::Failed && level.is_some_and(|l| l != Level::Must);
            let head = match is_advice {
                true => shown.paint(Style::Open, "advice"),
                false => shown.paint(Style::Bad, head),
            };
            let id = shown.paint(Style::Bold, id);
            let _ = writeln!(text, "{head}  {id}  {}", cause.group.who());
            evidence(report, &cause, shown, &mut text);
            text.push('\n');
        }
    }
    text + &known(report, shown)
}

/// The known failures, one in a line with its reason.
fn known(report: &Report, shown: TableOptions) -> String {
    let trials = report.trials();
    let cases = trials.iter().chain(&report.cases);
    let mut text = String::new();
    for group in groups(cases.filter(|case| !case.outcome.known.is_empty()), Verdict::Failed) {
        let CaseResult { requirement, outcome, .. } = group.first;
        let head = shown.paint(Style::Open, "known ");
        let why = visible(&outcome.known);
        let _ = writeln!(text, "{head}  {requirement}  {}: {why}", group.who());
    }
    text
}

fn evidence(report: &Report, cause: &Cause<'_>, shown: TableOptions, text: &mut String) {
    let case = cause.group.first;
    let mut line = |name: &str, what: &str| {
        let name = shown.paint(Style::Dim, &format!("{name:<9}"));
        let what = shortened(what, shown).replace('\n', "\n            ");
        let _ = writeln!(text, "  {name} {what}");
    };
    if let Some(requirement_info) = report.requirement(&case.requirement) {
        let level = requirement_info.level.name();
        line(
            "asked",
            &format!("{} ({level}; {})", requirement_info.statement, requirement_info.source),
        );
    }
    let sentence = report.requirement(&case.requirement).and_then(|info| info.sentence.as_ref());
    if let Some(Sentence { quote, link, .. }) = sentence {
        line("text", &format!("\"{quote}\"\n{link}"));
    }
    if let Some(Finding { done, expected, seen }) = &case.outcome.finding {
        line("done", done);
        line("expected", expected);
        line("seen", seen);
    }
    if !case.outcome.why.is_empty() {
        line("why", &case.outcome.why);
    }
    if !case.outcome.whose.is_empty() {
        line("whose", &case.outcome.whose);
    }
    if let Some(origin) = report.origin(case) {
        line("library", origin);
    }
    let is_trial = case.requirement.starts_with(TRIAL);
    if let Some(call) = case.outcome.calls.last().filter(|_| is_trial) {
        line("call", &call.shell);
    }
    let follows = follows(report, cause, shown);
    if !follows.is_empty() {
        line("follows", &follows);
    }
    match remedy(report, case) {
        Some(remedy) => line("remedy", &remedy),
        None if is_trial => {}
        None => line("repeat", &report.repeat(case)),
    }
    if shown.verbose {
        for called in &case.outcome.calls {
            let command = shown.paint(Style::Bold, &format!("$ {}", visible(&called.shell)));
            let _ = writeln!(text, "  {command}\n    {}", called.status);
            for line in called.stdout.lines().chain(called.stderr.lines()) {
                let _ = writeln!(text, "    {}", visible(line));
            }
        }
    }
}

/// The failures that follow from this one, and the cases that did not run because of it.
fn follows(report: &Report, cause: &Cause<'_>, shown: TableOptions) -> String {
    let mut parts = Vec::new();
    if !cause.consequences.is_empty() {
        parts.push(named(&cause.consequences, "failure", shown));
    }
    let is_same = |case: &&CaseResult, blocked: &CaseResult| {
        (&case.plugin, &case.version) == (&blocked.plugin, &blocked.version)
    };
    if cause.group.first.requirement.starts_with(TRIAL) {
        let cases = &cause.group.cases;
        let blocked = report.blocked().filter(|b| cases.iter().any(|case| is_same(case, b)));
        match blocked.count() {
            0 => {}
            count => parts.push(format!("{} did not run", many(count, "case"))),
        }
    }
    parts.join("; ")
}

/// The remedy for a failed trial.
fn remedy(report: &Report, case: &CaseResult) -> Option<String> {
    let mut trials = report.failed_trials.iter().filter(|trial| trial.id() == case.requirement);
    let trial = trials.find(|t| (&t.plugin, &t.version) == (&case.plugin, &case.version))?;
    trial.blocks_most().then(|| trial.remedy())
}

/// "7 failures of S2.ADD.1, S2.DEL.3".
fn named(cases: &[&CaseResult], what: &str, shown: TableOptions) -> String {
    let mut ids: Vec<&str> = cases.iter().map(|case| case.requirement.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let count = many(cases.len(), what);
    match ids.get(..NAMED) {
        Some(first) if ids.len() > NAMED && !shown.verbose => {
            format!("{count} of {} and {} more", first.join(", "), ids.len() - NAMED)
        }
        _ => format!("{count} of {}", ids.join(", ")),
    }
}
