//! Reports as one page for a browser: a row for each requirement, a column for each suite. It needs nothing but itself.

mod evidence;
mod head;

use std::fmt::Write;

use super::{Asked, Count, Judged, Report, standing};
use crate::case::Verdict;

/// The page.
pub fn page(reports: &[Report]) -> String {
    let labels: Vec<&str> = reports.iter().map(|report| report.label.as_str()).collect();
    let mut body = head::head(reports);
    let rows = rows(reports);
    body.push_str(&filter(&rows));
    body.push_str(&board(reports, &rows));
    let template = include_str!("html/page.html");
    // What is from outside goes in last: a mark in it stays as it is.
    template
        .replace("{style}", include_str!("html/page.css"))
        .replace("{script}", include_str!("html/page.js"))
        .replace("{title}", &escaped(&labels.join(", ")).replace('{', "&#123;"))
        .replace("{body}", &body)
}

/// A requirement on the board.
struct Row<'a> {
    asked: &'a Asked,
    /// How it stands in each suite; [`None`] where it is not in the report.
    counts: Vec<Option<Count>>,
    /// Whether something could not be tested of a plugin that could be tested otherwise.
    is_open: bool,
}

impl Row<'_> {
    fn verdicts(&self) -> impl Iterator<Item = Option<Verdict>> {
        self.counts.iter().map(|count| count.map(|count| count.verdict()))
    }

    fn is_failed(&self) -> bool {
        self.verdicts().any(|v| matches!(v, Some(Verdict::Failed | Verdict::Broken)))
    }

    fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether one suite does what another does not.
    fn is_differing(&self) -> bool {
        let mut known = self.verdicts().flatten();
        let first = known.next();
        known.any(|verdict| Some(verdict) != first)
    }

    fn classes(&self) -> String {
        let all = [
            ("failed", self.is_failed()),
            ("differing", self.is_differing()),
            ("open", self.is_open()),
        ];
        all.iter()
            .filter(|(_, holds)| *holds)
            .fold(String::new(), |text, (name, _)| text + " " + name)
    }
}

/// The requirements of all reports, each once, those of a chapter together.
fn rows(reports: &[Report]) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for asked in reports.iter().flat_map(|report| &report.requirements) {
        if rows.iter().any(|row| row.asked.id == asked.id) {
            continue;
        }
        let counts: Vec<Option<Count>> =
            reports.iter().map(|report| count(report, asked)).collect();
        let is_open = counts.iter().flatten().any(|count| count.untestable > 0);
        let row = Row { asked, counts, is_open };
        let last = rows.iter().rposition(|row| row.asked.chapter == asked.chapter);
        rows.insert(last.map_or(rows.len(), |last| last + 1), row);
    }
    rows
}

/// How a requirement stands in a suite. Plugins of which nothing could be tested do not count beside others: the head of
/// the page tells about them.
fn count(report: &Report, asked: &Asked) -> Option<Count> {
    let lost = untestable_plugins(report);
    let is_lost = |case: &&Judged| lost.contains(&case.plugin.as_str());
    let tested = Count::of(report.of(&asked.id).filter(|case| !is_lost(case)));
    match tested.all() - tested.absent {
        0 => {
            let all = Count::of(report.of(&asked.id));
            (all.all() > 0).then_some(all)
        }
        _ => Some(tested),
    }
}

/// The plugins of which nothing could be tested.
fn untestable_plugins(report: &Report) -> Vec<&str> {
    let is_lost = |plugin: &&str| {
        let count = Count::of(report.cases.iter().filter(|case| case.plugin == *plugin));
        count.verdict() == Verdict::Untestable
    };
    report.plugins.iter().map(|plugin| plugin.name.as_str()).filter(is_lost).collect()
}

/// Choices that work without a script.
fn filter<'a>(rows: &[Row<'a>]) -> String {
    let count = |holds: fn(&Row<'a>) -> bool| rows.iter().filter(|row| holds(row)).count();
    let mut choices =
        vec![("only-all", "All", rows.len()), ("only-failed", "Failures", count(Row::is_failed))];
    if rows.first().is_some_and(|row| row.counts.len() > 1) {
        choices.push(("only-differing", "Differing", count(Row::is_differing)));
    }
    choices.push(("only-open", "Not tested", count(Row::is_open)));
    let mut text = "<fieldset aria-label=\"Requirements that are shown\">\n".to_owned();
    for (id, name, number) in choices {
        let checked = if id == "only-all" { " checked" } else { "" };
        let _ = writeln!(
            text,
            "<input type=\"radio\" name=\"only\" id=\"{id}\"{checked}><label for=\"{id}\">{name} <b>{number}</b></label>"
        );
    }
    text + "</fieldset>\n"
}

fn board(reports: &[Report], rows: &[Row<'_>]) -> String {
    let columns = reports.len();
    let width = if columns > 4 { 7 } else { 10 };
    let mut text = format!(
        "<table class=\"board\" style=\"--column: {width}rem\">\n<thead><tr><th class=\"what\">Requirement</th>"
    );
    for report in reports {
        let _ = write!(text, "<th class=\"column\" scope=\"col\">{}</th>", escaped(&report.label));
    }
    text.push_str("</tr></thead>\n");
    for chapter in rows.chunk_by(|a, b| a.asked.chapter == b.asked.chapter) {
        let classes: String = chapter.iter().map(Row::classes).collect();
        let mut classes: Vec<&str> = classes.split_whitespace().collect();
        classes.sort_unstable();
        classes.dedup();
        let title = chapter.first().map_or("", |row| row.asked.chapter.as_str());
        let _ = writeln!(
            text,
            "<tbody class=\"{}\">\n<tr class=\"chapter\"><th colspan=\"{}\" scope=\"rowgroup\"><h3>{} <span class=\"soft\">{}</span></h3></th></tr>",
            classes.join(" "),
            columns + 1,
            escaped(title),
            chapter.len()
        );
        chapter.iter().for_each(|row| text.push_str(&requirement(reports, row)));
        text.push_str("</tbody>\n");
    }
    text + "</table>\n<p class=\"nothing\">No requirement is like that.</p>\n"
}

fn requirement(reports: &[Report], row: &Row<'_>) -> String {
    let Asked { id, says, source, level, .. } = row.asked;
    let (id, level, classes) = (escaped(id), level.name(), row.classes());
    let more = evidence::more(reports, row.asked);
    let mut text = format!(
        "<tr class=\"asked{classes}\" id=\"{id}\"><th scope=\"row\"><code class=\"id\"><a href=\"#{id}\">{id}</a></code><span class=\"level {level}\">{level}</span><small>{}</small><p>{}</p></th>",
        escaped(source),
        prose(says)
    );
    for (index, (report, count)) in reports.iter().zip(&row.counts).enumerate() {
        let label = escaped(&report.label);
        let evidence = format!("{id}.{index}");
        let is_there = more.contains(&format!(" id=\"{evidence}\""));
        let cell = cell(count.as_ref(), is_there.then_some(&evidence));
        let _ = write!(text, "<td data-suite=\"{label}\">{cell}</td>");
    }
    text.push_str("</tr>\n");
    if !more.is_empty() {
        let columns = reports.len() + 1;
        let _ = writeln!(
            text,
            "<tr class=\"more{classes}\"><td colspan=\"{columns}\">{more}</td></tr>"
        );
    }
    text
}

/// How a requirement stands in a suite: a sign, and in words. It leads to the evidence, if there is some.
fn cell(count: Option<&Count>, evidence: Option<&str>) -> String {
    let Some(count) = count else {
        return "<span class=\"cell unknown\"><b>·</b>not in the report</span>".to_owned();
    };
    let asked = count.all() - count.absent;
    let of = |number: usize| match asked {
        1 => String::new(),
        _ => format!(" {number} of {asked}"),
    };
    let untested = match count.untestable {
        0 => String::new(),
        number => format!("<small>{number} not tested</small>"),
    };
    let verdict = count.verdict();
    let (sign, words) = match verdict {
        Verdict::Passed => ("✓", format!("pass{untested}")),
        Verdict::Failed => ("✗", format!("fail{}{untested}", of(count.failed))),
        Verdict::Broken => ("!", format!("kit failed{}", of(count.broken))),
        Verdict::Untestable => ("?", "untestable".to_owned()),
        Verdict::Absent => ("–", "not asked".to_owned()),
    };
    let inside = format!("<b aria-hidden=\"true\">{sign}</b><span>{words}</span>");
    let class = class(verdict);
    match evidence {
        None => format!("<span class=\"cell {class}\">{inside}</span>"),
        Some(id) => format!("<a class=\"cell {class}\" href=\"#{id}\">{inside}</a>"),
    }
}

/// What a verdict is called in the style.
fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "failed",
        Verdict::Absent => "absent",
        Verdict::Untestable => "untestable",
        Verdict::Broken => "broken",
    }
}

/// The requirements of a report by how they stand, of all plugins or one.
fn standings(report: &Report, plugin: Option<&str>) -> Count {
    let mut count = Count::default();
    for asked in &report.requirements {
        let cases = report.of(&asked.id);
        let cases = cases.filter(|case| plugin.is_none_or(|plugin| case.plugin == plugin));
        if let Some(verdict) = standing(cases) {
            count.add(verdict);
        }
    }
    count
}

/// Text that may stand anywhere in the page. Control characters, which a plugin may print, are shown as what they are: not
/// readable.
fn escaped(text: &str) -> String {
    let mut new = String::new();
    for c in text.chars() {
        match c {
            '&' => new.push_str("&amp;"),
            '<' => new.push_str("&lt;"),
            '>' => new.push_str("&gt;"),
            '"' => new.push_str("&quot;"),
            '\'' => new.push_str("&#39;"),
            '\n' | '\t' => new.push(c),
            c if c.is_control() => new.push('\u{fffd}'),
            c => new.push(c),
        }
    }
    new
}

/// The same for a sentence, where names stand between backquotes.
fn prose(text: &str) -> String {
    let mark = |(index, part): (usize, &str)| match index % 2 {
        0 => escaped(part),
        _ => format!("<code>{}</code>", escaped(part)),
    };
    text.split('`').enumerate().map(mark).collect()
}
