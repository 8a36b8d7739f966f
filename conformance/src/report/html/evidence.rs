//! What stands below a row: the evidence of failures, why something could not be tested, and figures.

use std::fmt::Write;

use super::{class, escaped, untestable_plugins};
use crate::bench::Called;
use crate::case::Verdict;
use crate::report::{Asked, Group, Judged, Report, groups};

/// Everything about a requirement that a cell does not say; empty if there is nothing.
pub(super) fn more(reports: &[Report], asked: &Asked) -> String {
    let (mut evidence, mut titles) = (String::new(), Vec::new());
    for (index, report) in reports.iter().enumerate() {
        let lost = untestable_plugins(report);
        let mut first = true;
        for (verdict, title) in [
            (Verdict::Failed, "evidence"),
            (Verdict::Broken, "evidence"),
            (Verdict::Untestable, "why not tested"),
        ] {
            let cases = report.of(&asked.id);
            let cases = cases.filter(|case| !lost.contains(&case.plugin.as_str()));
            for group in groups(cases, verdict) {
                // The cell's link leads to the first.
                let id = match first {
                    true => format!(" id=\"{}.{index}\"", escaped(&asked.id)),
                    false => String::new(),
                };
                first = false;
                evidence.push_str(&shown(report, &group, &id));
                titles.push(title);
            }
        }
    }
    let figures = figures(reports, asked);
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

/// Cases that ended alike.
fn shown(report: &Report, group: &Group<'_>, id: &str) -> String {
    let case = group.first;
    let mut text = format!(
        "\n<section class=\"evidence {}\"{id}><h3>{} <span class=\"soft\">{}</span></h3>\n<dl>",
        class(case.ended.verdict),
        escaped(&report.label),
        escaped(&group.who())
    );
    let mut line = |name: &str, class: &str, what: &str| {
        if !what.is_empty() {
            let _ = write!(text, "<dt>{name}</dt><dd{class}>{}</dd>", escaped(what.trim_end()));
        }
    };
    if let Some(finding) = &case.ended.finding {
        line("done", "", &finding.done);
        line("expected", "", &finding.expected);
        line("seen", " class=\"said\"", &finding.seen);
    }
    line("why", "", &case.ended.why);
    if case.ended.verdict != Verdict::Untestable {
        line("repeat", " class=\"said\"", &report.repeat(case));
    }
    text.push_str("</dl>\n");
    if !case.ended.calls.is_empty() {
        text.push_str(&calls(&case.ended.calls));
    }
    text + "</section>"
}

fn calls(calls: &[Called]) -> String {
    let title = match calls.len() {
        1 => "The call".to_owned(),
        number => format!("The last {number} calls"),
    };
    let mut text = format!("<details><summary>{title}, as commands</summary><pre>");
    for Called { shell, status, stdout, stderr } in calls {
        let _ = writeln!(text, "<b>$ {}</b>", escaped(shell));
        for printed in [stdout, stderr].into_iter().filter(|printed| !printed.trim().is_empty()) {
            let _ = writeln!(text, "{}", escaped(printed.trim_end()));
        }
        let _ = writeln!(text, "{}\n", escaped(status));
    }
    text.truncate(text.trim_end().len());
    text + "</pre></details>\n"
}

/// What was measured, in the newest version each.
fn figures(reports: &[Report], asked: &Asked) -> String {
    let mut rows = String::new();
    for report in reports {
        let cases: Vec<&Judged> = report.of(&asked.id).collect();
        for (index, case) in cases.iter().enumerate() {
            let later = cases.get(index + 1);
            if later.is_some_and(|later| (&later.plugin, later.part) == (&case.plugin, case.part)) {
                continue;
            }
            for note in &case.ended.notes {
                let _ = writeln!(
                    rows,
                    "<tr><td>{}</td><td>{} <small>{}</small></td><td>{}</td></tr>",
                    escaped(&report.label),
                    escaped(&case.plugin),
                    escaped(&case.version),
                    escaped(note)
                );
            }
        }
    }
    match rows.is_empty() {
        true => rows,
        false => format!("<table class=\"figures\"><tbody>\n{rows}</tbody></table>"),
    }
}
