//! Reports for a terminal: the failures with their evidence, what could not be tested, figures, and a table.

mod grid;

use std::fmt::Write;

use super::{Count, Group, Judged, Report, groups};
use crate::case::Verdict;
use crate::requirement::Finding;

/// How much of a long text is shown, in characters.
const LONG: usize = 1200;

/// How reports are shown.
#[derive(Debug, Clone, Copy)]
pub struct Shown {
    /// Every case, and every call of those that failed; otherwise only what did not pass.
    pub verbose: bool,
    /// In colour.
    pub colour: bool,
    /// How many characters a line has.
    pub width: usize,
}

/// How a piece of text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
    Open,
}

impl Shown {
    fn paint(self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Plain => return text.to_owned(),
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Good => "32",
            Style::Bad => "1;31",
            Style::Open => "33",
        };
        match self.colour {
            true => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            false => text.to_owned(),
        }
    }
}

/// Shows reports as text: each on its own, then the table, where several suites are columns.
pub fn table(reports: &[Report], shown: Shown) -> String {
    let mut text = String::new();
    for report in reports {
        let mut pieces = vec![failures(report, shown)];
        if shown.verbose {
            pieces.push(passed(report, shown));
        }
        pieces.push(untestable(report, shown));
        pieces.push(figures(report, shown));
        pieces.retain(|piece| !piece.is_empty());
        if reports.len() > 1 && !pieces.is_empty() {
            let _ =
                writeln!(text, "{}\n", shown.paint(Style::Bold, &format!("= {}", report.label)));
        }
        for piece in &pieces {
            let _ = writeln!(text, "{piece}");
        }
    }
    text.push_str(&grid::grid(reports, shown));
    reports.iter().for_each(|report| text.push_str(&beside(report, shown)));
    reports.iter().for_each(|report| text.push_str(&summary(report, shown)));
    text
}

/// What failed, with the evidence; the same in several plugins or versions once.
fn failures(report: &Report, shown: Shown) -> String {
    let mut text = String::new();
    for verdict in [Verdict::Failed, Verdict::Broken] {
        for group in groups(&report.cases, verdict) {
            let head = match verdict {
                Verdict::Failed => "failed",
                _ => "the kit could not test",
            };
            let id = &group.first.requirement;
            let head = shown.paint(Style::Bad, head);
            let _ = writeln!(text, "{head}  {}  {}", shown.paint(Style::Bold, id), group.who());
            evidence(report, &group, shown, &mut text);
            text.push('\n');
        }
    }
    text
}

fn evidence(report: &Report, group: &Group<'_>, shown: Shown, text: &mut String) {
    let case = group.first;
    let mut line = |name: &str, what: &str| {
        let name = shown.paint(Style::Dim, &format!("{name:<9}"));
        let what = shortened(what, shown).replace('\n', "\n            ");
        let _ = writeln!(text, "  {name} {what}");
    };
    if let Some(asked) = report.asked(&case.requirement) {
        let level = asked.level.name();
        line("asked", &format!("{} ({level}; {})", asked.says, asked.source));
    }
    if let Some(Finding { done, expected, seen }) = &case.ended.finding {
        line("done", done);
        line("expected", expected);
        line("seen", seen);
    }
    if !case.ended.why.is_empty() {
        line("why", &case.ended.why);
    }
    line("repeat", &report.repeat(case));
    if shown.verbose {
        for called in &case.ended.calls {
            let command = shown.paint(Style::Bold, &format!("$ {}", visible(&called.shell)));
            let _ = writeln!(text, "  {command}\n    {}", called.status);
            for line in called.stdout.lines().chain(called.stderr.lines()) {
                let _ = writeln!(text, "    {}", visible(line));
            }
        }
    }
}

/// What passed, or was not asked: a line for each.
fn passed(report: &Report, shown: Shown) -> String {
    let mut text = String::new();
    for case in &report.cases {
        let Judged { requirement, plugin, version, millis, .. } = case;
        let (style, word) = match case.ended.verdict {
            Verdict::Passed => (Style::Good, "passed"),
            Verdict::Absent => (Style::Dim, "not asked"),
            Verdict::Failed | Verdict::Untestable | Verdict::Broken => continue,
        };
        let word = shown.paint(style, &format!("{word:<9}"));
        let time = if *millis > 0 { format!("{millis} ms") } else { case.ended.why.clone() };
        let line = format!("{word}  {requirement:<14} {plugin:<12} {version:<6} {time}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// What could not be tested on this machine, by reason.
fn untestable(report: &Report, shown: Shown) -> String {
    let mut reasons: Vec<(&str, Vec<&Judged>)> = Vec::new();
    for case in report.cases.iter().filter(|case| case.ended.verdict == Verdict::Untestable) {
        let why = case.ended.why.as_str();
        match reasons.iter_mut().find(|(reason, _)| *reason == why) {
            Some((_, cases)) => cases.push(case),
            None => reasons.push((why, vec![case])),
        }
    }
    let mut text = String::new();
    for (why, cases) in reasons {
        let mut ids: Vec<&str> = cases.iter().map(|case| case.requirement.as_str()).collect();
        ids.dedup();
        ids.sort_unstable();
        ids.dedup();
        let mut plugins: Vec<&str> = cases.iter().map(|case| case.plugin.as_str()).collect();
        plugins.sort_unstable();
        plugins.dedup();
        let what = match ids.as_slice() {
            few if few.len() <= 6 || shown.verbose => few.join(", "),
            all => many(all.len(), "requirement"),
        };
        let head = shown.paint(Style::Open, "not testable here");
        let _ = writeln!(text, "{head}  {}: {what}\n  {}", plugins.join(", "), visible(why));
    }
    text
}

/// What was measured. In each version only if every case is asked for, otherwise in the newest.
fn figures(report: &Report, shown: Shown) -> String {
    let mut text = String::new();
    let mut cases = report.cases.iter().peekable();
    while let Some(case) = cases.next() {
        let Judged { requirement, plugin, version, part, .. } = case;
        let same = |next: &&&Judged| {
            (&next.requirement, &next.plugin, next.part) == (requirement, plugin, *part)
        };
        // One part of a test speaks for the others.
        if (cases.peek().filter(same).is_some() || *part > 0) && !shown.verbose {
            continue;
        }
        for note in &case.ended.notes {
            let _ =
                writeln!(text, "  {requirement:<14} {plugin:<12} {version:<6} {}", visible(note));
        }
    }
    match text.is_empty() {
        true => text,
        false => format!("{}\n{text}", shown.paint(Style::Bold, "figures")),
    }
}

/// What the table does not show: programs that were not judged, and cases that were judged in the lab.
fn beside(report: &Report, shown: Shown) -> String {
    let mut text = String::new();
    for (name, why) in &report.not_judged {
        let _ = writeln!(text, "{} {name}: {why}", shown.paint(Style::Open, "not judged "));
    }
    let in_lab = || report.cases.iter().filter(|case| !case.ended.lab.is_empty());
    if let Some(first) = in_lab().next() {
        let count = many(in_lab().count(), "case");
        let _ = writeln!(text, "in the lab   {count}, on Linux {}", first.ended.lab);
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

fn summary(report: &Report, shown: Shown) -> String {
    let count = report.count();
    let Count { passed, failed, absent, untestable, broken } = count;
    let time =
        if report.seconds > 0.0 { format!(" in {:.1} s", report.seconds) } else { String::new() };
    let part = |style: Style, number: usize, what: &str| {
        let style = if number == 0 { Style::Plain } else { style };
        shown.paint(style, &format!("{number} {what}"))
    };
    let mut parts = vec![part(Style::Good, passed, "passed"), part(Style::Bad, failed, "failed")];
    if broken > 0 {
        parts.push(part(Style::Bad, broken, "that the kit could not test"));
    }
    parts.push(part(Style::Open, untestable, "not testable here"));
    format!(
        "{}: {}, {}, {}{time}: {}; {absent} more are not asked of the plugin\n",
        shown.paint(Style::Bold, &report.label),
        many(report.requirements.len(), "requirement"),
        many(report.plugins.len(), "plugin"),
        many(count.all() - absent, "case"),
        parts.join(", ")
    )
}

/// "1 case", "2 cases".
fn many(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn shortened(text: &str, shown: Shown) -> String {
    let text = visible(text.trim_end());
    match text.char_indices().nth(LONG) {
        Some((end, _)) if !shown.verbose => {
            let start = text.get(..end).unwrap_or_default();
            format!("{start}.. (all of it with --verbose)")
        }
        _ => text,
    }
}

/// What a plugin printed must not move the cursor.
fn visible(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c,
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}
