//! Reports for a terminal: the failures with their evidence, the tests that could not run, the
//! figures and a table.

mod failures;
mod grid;

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{CaseResult, Claim, Count, Report};
use crate::case::Verdict;
use crate::evidence::cut;
use crate::trial;

/// The number of bytes of a long text that are shown without `--verbose`.
const LONG: usize = 1200;

/// How reports are shown.
#[derive(Debug, Clone, Copy)]
pub struct TableOptions {
    /// Shows all cases and all calls of failures; otherwise only what did not pass.
    pub verbose: bool,
    /// Uses colour.
    pub colour: bool,
    /// The number of characters in a line.
    pub width: usize,
}

/// The style of a piece of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Bold,
    Dim,
    Good,
    Bad,
    Open,
}

impl TableOptions {
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

/// Shows reports as text: each on its own, then a table, with a column for each suite if there are
/// several.
pub fn table(reports: &[Report], shown: TableOptions) -> String {
    let mut text = String::new();
    for report in reports {
        let mut pieces = vec![failures::failures(report, shown)];
        if shown.verbose {
            pieces.push(passed(report, shown));
        }
        pieces.push(untestable(report, shown));
        pieces.push(untested(report, shown));
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

/// The cases that passed or do not apply, one per line.
fn passed(report: &Report, shown: TableOptions) -> String {
    let mut text = String::new();
    for case in &report.cases {
        let CaseResult { requirement, plugin, version, millis, .. } = case;
        let (style, word) = match case.outcome.verdict {
            Verdict::Passed => (Style::Good, "passed"),
            Verdict::NotApplicable => (Style::Dim, "not asked"),
            Verdict::Failed | Verdict::Untestable | Verdict::Broken => continue,
        };
        let word = shown.paint(style, &format!("{word:<9}"));
        let time = if *millis > 0 { format!("{millis} ms") } else { case.outcome.why.clone() };
        let line = format!("{word}  {requirement:<14} {plugin:<12} {version:<6} {time}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// The tests that this machine could not run, by reason.
fn untestable(report: &Report, shown: TableOptions) -> String {
    let mut reasons: Vec<(&str, Vec<&CaseResult>)> = Vec::new();
    for case in report.cases.iter().filter(|case| case.outcome.verdict == Verdict::Untestable) {
        let why = case.outcome.why.as_str();
        if why == trial::BLOCKED {
            continue;
        }
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

/// The configurations of profiles that were not tested, by plugin and reason.
fn untested(report: &Report, shown: TableOptions) -> String {
    let mut reasons: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for (plugin, variant, why) in report.untested() {
        reasons.entry((plugin, why)).or_default().push(format!("\"{variant}\""));
    }
    let mut text = String::new();
    for ((plugin, why), variants) in reasons {
        let head = shown.paint(Style::Open, "not tested");
        let _ = writeln!(
            text,
            "{head}  {plugin} with {}\n  {}",
            visible(&variants.join(", ")),
            visible(why)
        );
    }
    text
}

/// The figures: of each version if all cases are shown, otherwise of the newest version.
fn figures(report: &Report, shown: TableOptions) -> String {
    let mut text = String::new();
    let mut cases = report.cases.iter().peekable();
    while let Some(case) = cases.next() {
        let CaseResult { requirement, plugin, version, part, .. } = case;
        let same = |next: &&&CaseResult| {
            (&next.requirement, &next.plugin, next.part) == (requirement, plugin, *part)
        };
        // One part of a test stands for all.
        if (cases.peek().filter(same).is_some() || *part > 0) && !shown.verbose {
            continue;
        }
        for note in &case.outcome.notes {
            let _ =
                writeln!(text, "  {requirement:<14} {plugin:<12} {version:<6} {}", visible(note));
        }
    }
    match text.is_empty() {
        true => text,
        false => format!("{}\n{text}", shown.paint(Style::Bold, "figures")),
    }
}

/// What the table does not contain: programs that were not tested, and cases that ran in the lab.
fn beside(report: &Report, shown: TableOptions) -> String {
    let mut text = String::new();
    for (name, why) in &report.not_judged {
        let _ = writeln!(text, "{} {name}: {why}", shown.paint(Style::Open, "not judged "));
    }
    for what in &report.fixed {
        let _ = writeln!(text, "{}  {}", shown.paint(Style::Good, "passes now"), visible(what));
    }
    let in_lab = || report.cases.iter().filter(|case| !case.outcome.lab.is_empty());
    if let Some(first) = in_lab().next() {
        let count = many(in_lab().count(), "case");
        let _ = writeln!(text, "in the lab   {count}, on Linux {}", first.outcome.lab);
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

fn summary(report: &Report, shown: TableOptions) -> String {
    let count = report.count();
    let Count { passed, failed, absent, untestable, broken } = count;
    let time =
        if report.seconds > 0.0 { format!(" in {:.1} s", report.seconds) } else { String::new() };
    let part = |style: Style, number: usize, what: &str| {
        let style = if number == 0 { Style::Plain } else { style };
        shown.paint(style, &format!("{number} {what}"))
    };
    let known = report.known_failures();
    let mut parts =
        vec![part(Style::Good, passed, "passed"), part(Style::Bad, failed - known, "failed")];
    if known > 0 {
        parts.push(shown.paint(Style::Open, &many(known, "known failure")));
    }
    let blocked = report.blocked().count();
    if blocked > 0 {
        parts.push(part(Style::Bad, blocked, "not run because ADD fails"));
    }
    let (untestable, broken) = match report.blocked().any(|c| c.outcome.verdict == Verdict::Broken)
    {
        true => (untestable, broken - blocked),
        false => (untestable - blocked, broken),
    };
    if broken > 0 {
        parts.push(part(Style::Bad, broken, "not tested because of an error in the kit"));
    }
    parts.push(part(Style::Open, untestable, "not testable here"));
    let untested = report.untested().len();
    if untested > 0 {
        let untested = format!("{} not tested", many(untested, "configuration"));
        parts.push(shown.paint(Style::Open, &untested));
    }
    let incomplete = match report.incomplete.as_str() {
        "" => String::new(),
        why => shown.paint(Style::Bad, &format!("incomplete: {}\n", visible(why))),
    };
    let claim = Claim::of(report).text();
    format!(
        "claim: {claim}\n{}: {}, {}, {}{time}: {}; {absent} more are not asked of the plugin\n{incomplete}",
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

fn shortened(text: &str, shown: TableOptions) -> String {
    let text = visible(text.trim_end());
    match shown.verbose {
        true => text,
        false => cut(&text, LONG),
    }
}

/// The output of a plugin must not move the cursor.
fn visible(text: &str) -> String {
    let shown = |c: char| match c {
        '\n' | '\t' => c,
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(shown).collect()
}
