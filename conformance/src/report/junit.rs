//! A report as JUnit XML for CI systems.

use std::fmt::Write;

use super::{CaseResult, Count, Report};
use crate::case::Verdict;

/// The reports: a test suite for each plugin, a test case for each requirement and version.
pub fn junit(reports: &[Report]) -> String {
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned();
    for report in reports {
        for plugin in &report.plugins {
            let trials = report.trials();
            let all = || trials.iter().chain(&report.cases);
            let cases = || all().filter(|case| case.plugin == plugin.name);
            let name = format!("{}.{}", report.label, plugin.name);
            let count = Count::of(cases());
            let known = cases().filter(|case| !case.outcome.known.is_empty()).count();
            let millis: u64 = cases().map(|case| case.millis).sum();
            let _ = writeln!(
                text,
                r#"  <testsuite name="{}" tests="{}" failures="{}" errors="{}" skipped="{}" time="{}">"#,
                escaped(&name),
                count.all(),
                count.failed - known,
                count.broken,
                count.absent + count.untestable + known,
                seconds(millis)
            );
            cases().for_each(|case| text.push_str(&testcase(report, case, &name)));
            text.push_str("  </testsuite>\n");
        }
    }
    for report in reports.iter().filter(|report| report.is_incomplete()) {
        let (label, why) = (escaped(&report.label), escaped(&report.incomplete));
        let _ = writeln!(
            text,
            r#"  <testsuite name="{label}" tests="1" failures="0" errors="1" skipped="0" time="0.000">
    <testcase classname="{label}" name="the run is complete" time="0.000"><error message="{why}"/></testcase>
  </testsuite>"#
        );
    }
    text.push_str("</testsuites>\n");
    text
}

fn testcase(report: &Report, case: &CaseResult, suite: &str) -> String {
    let mut name = case.requirement.clone();
    if !case.version.is_empty() {
        let _ = write!(name, " in {}", case.version);
    }
    if case.part > 0 {
        let _ = write!(name, ", part {}", case.part + 1);
    }
    let statement = report
        .requirement(&case.requirement)
        .map_or("a plain call succeeds", |requirement| requirement.statement.as_str());
    let start = format!(
        r#"    <testcase classname="{}" name="{}: {}" time="{}""#,
        escaped(suite),
        escaped(&name),
        escaped(statement),
        seconds(case.millis)
    );
    let why = escaped(&case.outcome.why);
    let inside = match case.outcome.verdict {
        Verdict::Passed => String::new(),
        Verdict::Failed if !case.outcome.known.is_empty() => {
            format!(r#"<skipped message="known failure: {}"/>"#, escaped(&case.outcome.known))
        }
        Verdict::Failed => failure(report, case),
        Verdict::Broken => format!(r#"<error message="{why}"/>"#),
        Verdict::Untestable => format!(r#"<skipped message="not testable here: {why}"/>"#),
        Verdict::NotApplicable => {
            format!(r#"<skipped message="not asked of the plugin: {why}"/>"#)
        }
    };
    let left_out = case.outcome.untested.iter();
    let left_out = left_out.map(|(variant, why)| format!("\"{variant}\" was not tested: {why}"));
    let figures = left_out.chain(case.outcome.notes.clone()).collect::<Vec<_>>().join("\n");
    match (inside.is_empty(), figures.is_empty()) {
        (true, true) => format!("{start}/>\n"),
        (_, true) => format!("{start}>{inside}</testcase>\n"),
        _ => format!("{start}>{inside}<system-out>{}</system-out></testcase>\n", escaped(&figures)),
    }
}

fn failure(report: &Report, case: &CaseResult) -> String {
    let Some(finding) = &case.outcome.finding else { return "<failure/>".to_owned() };
    let mut text = format!(
        "done: {}\nexpected: {}\nseen: {}\nrepeat: {}\n",
        finding.done,
        finding.expected,
        finding.seen,
        report.repeat(case)
    );
    for called in &case.outcome.calls {
        let _ = writeln!(text, "\n$ {}\n{}", called.shell, called.status);
        text.push_str(&called.stdout);
        text.push_str(&called.stderr);
    }
    let message = format!("expected {}", finding.expected);
    format!(r#"<failure message="{}">{}</failure>"#, escaped(&message), escaped(&text))
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

/// Escapes text for XML, which cannot represent most control characters at all.
fn escaped(text: &str) -> String {
    let mut new = String::new();
    for c in text.chars() {
        match c {
            '&' => new.push_str("&amp;"),
            '<' => new.push_str("&lt;"),
            '>' => new.push_str("&gt;"),
            '"' => new.push_str("&quot;"),
            '\n' => new.push_str("&#10;"),
            '\t' => new.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => new.push('\u{fffd}'),
            c if c.is_control() => new.push('\u{fffd}'),
            c => new.push(c),
        }
    }
    new
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        assert_eq!(
            escaped("a\u{0}<b>\u{1b}[1m & \"c\"\n\u{ffff}"),
            "a\u{fffd}&lt;b&gt;\u{fffd}[1m &amp; &quot;c&quot;&#10;\u{fffd}"
        );
    }
}
