//! A report as JUnit's XML, which many CI systems show.

use std::fmt::Write;

use super::{Count, Judged, Report};
use crate::case::Verdict;

/// The reports: a suite of theirs is a plugin, a case a requirement in a version.
pub fn junit(reports: &[Report]) -> String {
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned();
    for report in reports {
        for plugin in &report.plugins {
            let cases = || report.cases.iter().filter(|case| case.plugin == plugin.name);
            let name = format!("{}.{}", report.label, plugin.name);
            let count = Count::of(cases());
            let millis: u64 = cases().map(|case| case.millis).sum();
            let _ = writeln!(
                text,
                r#"  <testsuite name="{}" tests="{}" failures="{}" errors="{}" skipped="{}" time="{}">"#,
                escaped(&name),
                count.all(),
                count.failed,
                count.broken,
                count.absent + count.untestable,
                seconds(millis)
            );
            cases().for_each(|case| text.push_str(&testcase(report, case, &name)));
            text.push_str("  </testsuite>\n");
        }
    }
    text.push_str("</testsuites>\n");
    text
}

fn testcase(report: &Report, case: &Judged, suite: &str) -> String {
    let mut name = case.requirement.clone();
    if !case.version.is_empty() {
        let _ = write!(name, " in {}", case.version);
    }
    if case.part > 0 {
        let _ = write!(name, ", part {}", case.part + 1);
    }
    let says = report.asked(&case.requirement).map_or("", |asked| asked.says.as_str());
    let start = format!(
        r#"    <testcase classname="{}" name="{}: {}" time="{}""#,
        escaped(suite),
        escaped(&name),
        escaped(says),
        seconds(case.millis)
    );
    let why = escaped(&case.ended.why);
    let inside = match case.ended.verdict {
        Verdict::Passed => String::new(),
        Verdict::Failed => failure(report, case),
        Verdict::Broken => format!(r#"<error message="{why}"/>"#),
        Verdict::Untestable => format!(r#"<skipped message="not testable here: {why}"/>"#),
        Verdict::Absent => format!(r#"<skipped message="not asked of the plugin: {why}"/>"#),
    };
    let figures = case.ended.notes.join("\n");
    match (inside.is_empty(), figures.is_empty()) {
        (true, true) => format!("{start}/>\n"),
        (_, true) => format!("{start}>{inside}</testcase>\n"),
        _ => format!("{start}>{inside}<system-out>{}</system-out></testcase>\n", escaped(&figures)),
    }
}

fn failure(report: &Report, case: &Judged) -> String {
    let Some(finding) = &case.ended.finding else { return "<failure/>".to_owned() };
    let mut text = format!(
        "done: {}\nexpected: {}\nseen: {}\nrepeat: {}\n",
        finding.done,
        finding.expected,
        finding.seen,
        report.repeat(case)
    );
    for called in &case.ended.calls {
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

/// Text for XML, where most control characters cannot be at all, not even in another notation.
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
