//! The text below a row: the evidence of failures, the reasons why tests could not run, and
//! figures.

use std::fmt::Write;

use super::{class, escaped, untestable_plugins};
use crate::case::Verdict;
use crate::evidence::RecordedCall;
use crate::report::{CaseResult, Group, Report, RequirementInfo, groups};
use crate::trial::TRIAL;

/// Everything about a requirement that the cells do not show; may be empty.
pub(super) fn more(reports: &[Report], requirement_info: &RequirementInfo) -> String {
    let (mut evidence, mut titles) = (String::new(), Vec::new());
    for (index, report) in reports.iter().enumerate() {
        let lost = untestable_plugins(report);
        let mut first = true;
        for (verdict, title) in [
            (Verdict::Failed, "evidence"),
            (Verdict::Broken, "evidence"),
            (Verdict::Untestable, "why not tested"),
        ] {
            let cases = report.of(&requirement_info.id);
            let cases = cases.filter(|case| !lost.contains(&case.plugin.as_str()));
            for group in groups(cases, verdict) {
                // The link of the cell leads to the first one.
                let id = match first {
                    true => format!(" id=\"{}.{index}\"", escaped(&requirement_info.id)),
                    false => String::new(),
                };
                first = false;
                evidence.push_str(&shown(report, &group, &id));
                titles.push(title);
            }
        }
    }
    let figures = figures(reports, requirement_info);
    if !figures.is_empty() {
        titles.push("figures");
    }
    titles.sort_unstable();
    titles.dedup();
    if titles.is_empty() {
        return String::new();
    }
    let title = titles.join(", ");
    let title =
        title.get(..1).unwrap_or_default().to_uppercase() + title.get(1..).unwrap_or_default();
    format!("<details><summary>{title}</summary>{evidence}{figures}</details>")
}

/// The plain calls that fail, with their evidence; may be empty.
pub(super) fn trials(report: &Report) -> String {
    let trials = report.trials();
    let all = [Verdict::Failed, Verdict::Broken].map(|verdict| groups(&trials, verdict));
    all.iter().flatten().map(|group| shown(report, group, "")).collect()
}

/// Cases with the same outcome.
fn shown(report: &Report, group: &Group<'_>, id: &str) -> String {
    let case = group.first;
    let mut text = format!(
        "\n<section class=\"evidence {}\"{id}><h3>{} <span class=\"soft\">{}</span></h3>\n<dl>",
        class(case.outcome.verdict),
        escaped(&report.label),
        escaped(&group.who())
    );
    let mut line = |name: &str, class: &str, what: &str| {
        if !what.is_empty() {
            let _ = write!(text, "<dt>{name}</dt><dd{class}>{}</dd>", escaped(what.trim_end()));
        }
    };
    if let Some(finding) = &case.outcome.finding {
        line("done", "", &finding.done);
        line("expected", "", &finding.expected);
        line("seen", " class=\"said\"", &finding.seen);
    }
    line("why", "", &case.outcome.why);
    line("whose", "", &case.outcome.whose);
    line("library", "", report.origin(case).unwrap_or_default());
    line("known", "", &case.outcome.known);
    if case.requirement.starts_with(TRIAL) {
        let blocked = report.blocked().filter(|blocked| blocked.plugin == case.plugin).count();
        line("follows", "", &format!("{blocked} cases did not run"));
    } else if case.outcome.verdict != Verdict::Untestable {
        line("repeat", " class=\"said\"", &report.repeat(case));
    }
    text.push_str("</dl>\n");
    if !case.outcome.calls.is_empty() {
        text.push_str(&calls(&case.outcome.calls));
    }
    text + "</section>"
}

fn calls(calls: &[RecordedCall]) -> String {
    let title = match calls.len() {
        1 => "The call".to_owned(),
        number => format!("{number} calls"),
    };
    let mut text = format!("<details><summary>{title}, as commands</summary><pre>");
    for RecordedCall { shell, status, stdout, stderr } in calls {
        let _ = writeln!(text, "<b>$ {}</b>", escaped(shell));
        for printed in [stdout, stderr].into_iter().filter(|printed| !printed.trim().is_empty()) {
            let _ = writeln!(text, "{}", escaped(printed.trim_end()));
        }
        let _ = writeln!(text, "{}\n", escaped(status));
    }
    text.truncate(text.trim_end().len());
    text + "</pre></details>\n"
}

/// The figures, in the newest version of each plugin.
fn figures(reports: &[Report], requirement_info: &RequirementInfo) -> String {
    let mut rows = String::new();
    for report in reports {
        let cases: Vec<&CaseResult> = report.of(&requirement_info.id).collect();
        for (index, case) in cases.iter().enumerate() {
            let later = cases.get(index + 1);
            if later.is_some_and(|later| (&later.plugin, later.part) == (&case.plugin, case.part)) {
                continue;
            }
            let untested = case.outcome.untested.iter();
            let untested = untested.map(|(name, why)| format!("\"{name}\" was not tested: {why}"));
            for note in untested.chain(case.outcome.notes.iter().cloned()) {
                let _ = writeln!(
                    rows,
                    "<tr><td>{}</td><td>{} <small>{}</small></td><td>{}</td></tr>",
                    escaped(&report.label),
                    escaped(&case.plugin),
                    escaped(&case.version),
                    escaped(&note)
                );
            }
        }
    }
    match rows.is_empty() {
        true => rows,
        false => format!("<table class=\"figures\"><tbody>\n{rows}</tbody></table>"),
    }
}
