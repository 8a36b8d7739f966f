//! Reports as one self-contained HTML page: a row for each requirement, a column for each suite.

mod evidence;
mod head;

use std::fmt::Write;

use super::{CaseResult, Count, Report, RequirementInfo, Sentence, overall_verdict};
use crate::case::Verdict;
use crate::source::REPOSITORY;

/// The page.
pub fn page(reports: &[Report]) -> String {
    let labels: Vec<&str> = reports.iter().map(|report| report.label.as_str()).collect();
    let mut body = head::head(reports);
    let rows = rows(reports);
    body.push_str(&filter(&rows, reports));
    body.push_str(&board(reports, &rows));
    let template = include_str!("html/page.html");
    // Text from outside is inserted last, so that placeholders in it are not replaced.
    template
        .replace("{style}", include_str!("html/page.css"))
        .replace("{script}", include_str!("html/page.js"))
        .replace("{title}", &escaped(&labels.join(", ")).replace('{', "&#123;"))
        .replace("{body}", &body)
}

/// A requirement in the table.
struct Row<'a> {
    requirement_info: &'a RequirementInfo,
    /// The verdict in each suite; [`None`] if the report does not contain the requirement.
    counts: Vec<Option<Count>>,
    /// Whether a test could not run for a plugin that could be tested otherwise.
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

    /// Whether the suites have different verdicts.
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

/// The requirements of all reports, each once, ordered by chapter.
fn rows(reports: &[Report]) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for requirement_info in reports.iter().flat_map(|report| &report.requirements) {
        if rows.iter().any(|row| row.requirement_info.id == requirement_info.id) {
            continue;
        }
        let counts: Vec<Option<Count>> =
            reports.iter().map(|report| count(report, requirement_info)).collect();
        let cases = || reports.iter().flat_map(|report| report.of(&requirement_info.id));
        let is_open = counts.iter().flatten().any(|count| count.untestable > 0)
            || cases().any(|case| !case.outcome.untested.is_empty());
        let row = Row { requirement_info, counts, is_open };
        let last =
            rows.iter().rposition(|row| row.requirement_info.chapter == requirement_info.chapter);
        rows.insert(last.map_or(rows.len(), |last| last + 1), row);
    }
    rows
}

/// The verdict on a requirement in a suite. Plugins that could not be tested at all do not count;
/// the head of the page lists them.
fn count(report: &Report, requirement_info: &RequirementInfo) -> Option<Count> {
    let lost = untestable_plugins(report);
    let is_lost = |case: &&CaseResult| lost.contains(&case.plugin.as_str());
    let tested = Count::of(report.of(&requirement_info.id).filter(|case| !is_lost(case)));
    match tested.all() - tested.absent {
        0 => {
            let all = Count::of(report.of(&requirement_info.id));
            (all.all() > 0).then_some(all)
        }
        _ => Some(tested),
    }
}

/// The plugins that could not be tested at all.
fn untestable_plugins(report: &Report) -> Vec<&str> {
    let is_lost = |plugin: &&str| {
        let count = Count::of(report.cases.iter().filter(|case| case.plugin == *plugin));
        count.verdict() == Verdict::Untestable
    };
    report.plugins.iter().map(|plugin| plugin.name.as_str()).filter(is_lost).collect()
}

/// Filters that work without a script.
fn filter<'a>(rows: &[Row<'a>], reports: &[Report]) -> String {
    let count = |holds: fn(&Row<'a>) -> bool| rows.iter().filter(|row| holds(row)).count();
    let mut choices =
        vec![("only-all", "All", rows.len()), ("only-failed", "Failures", count(Row::is_failed))];
    if rows.first().is_some_and(|row| row.counts.len() > 1) {
        choices.push(("only-differing", "Differing", count(Row::is_differing)));
    }
    choices.push(("only-open", "Not tested", count(Row::is_open)));
    let checked_id = if rows.iter().any(Row::is_failed) { "only-failed" } else { "only-all" };
    let mut text = "<fieldset aria-label=\"Requirements that are shown\">\n".to_owned();
    for (id, name, number) in choices {
        let checked = if id == checked_id { " checked" } else { "" };
        let more = if id == "only-open" { plugins_not_tested(reports) } else { String::new() };
        let _ = writeln!(
            text,
            "<input type=\"radio\" name=\"only\" id=\"{id}\"{checked}><label for=\"{id}\">{name} \
             <b>{number}</b>{more}</label>"
        );
    }
    text + "</fieldset>\n"
}

/// The text beside the number of requirements that were not tested for some plugin: the plugins
/// that could not be tested at all.
fn plugins_not_tested(reports: &[Report]) -> String {
    let mut lost: Vec<&str> = reports.iter().flat_map(untestable_plugins).collect();
    lost.sort_unstable();
    lost.dedup();
    match lost.len() {
        0 => String::new(),
        1 => " and 1 plugin".to_owned(),
        number => format!(" and {number} plugins"),
    }
}

fn board(reports: &[Report], rows: &[Row<'_>]) -> String {
    let columns = reports.len();
    let width = if columns > 4 { 7 } else { 10 };
    let mut text = format!(
        "<table class=\"board\" style=\"--column: {width}rem\">\n<thead><tr><th \
         class=\"what\">Requirement</th>"
    );
    for report in reports {
        let _ = write!(text, "<th class=\"column\" scope=\"col\">{}</th>", escaped(&report.label));
    }
    text.push_str("</tr></thead>\n");
    for chapter in rows.chunk_by(|a, b| a.requirement_info.chapter == b.requirement_info.chapter) {
        let classes: String = chapter.iter().map(Row::classes).collect();
        let mut classes: Vec<&str> = classes.split_whitespace().collect();
        classes.sort_unstable();
        classes.dedup();
        let title = chapter.first().map_or("", |row| row.requirement_info.chapter.as_str());
        let _ = writeln!(
            text,
            "<tbody class=\"{}\">\n<tr class=\"chapter\"><th colspan=\"{}\" \
             scope=\"rowgroup\"><h3>{} <span class=\"soft\">{}</span></h3></th></tr>",
            classes.join(" "),
            columns + 1,
            escaped(title),
            chapter.len()
        );
        chapter.iter().for_each(|row| text.push_str(&requirement(reports, row)));
        text.push_str("</tbody>\n");
    }
    text + "</table>\n<p class=\"nothing\">No requirement matches.</p>\n"
}

fn requirement(reports: &[Report], row: &Row<'_>) -> String {
    let RequirementInfo { id, statement, source, level, sentence, .. } = row.requirement_info;
    let (id, level, classes) = (escaped(id), level.name(), row.classes());
    let more = evidence::more(reports, row.requirement_info);
    let mut text = format!(
        "<tr class=\"asked{classes}\" id=\"{id}\"><th scope=\"row\"><code class=\"id\"><a \
         href=\"#{id}\">{id}</a></code><span class=\"level \
         {level}\">{level}</span><small>{}</small><p>{}</p>{}</th>",
        escaped(source),
        prose(statement),
        sentence.as_ref().map(quoted).unwrap_or_default()
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

/// The sentence of the specification. A report may come from anyone, so only links to the
/// specification become links.
fn quoted(sentence: &Sentence) -> String {
    let Sentence { link, word, quote, follows } = sentence;
    let word = if word == "-" { String::new() } else { format!(" <b>{}</b>", escaped(word)) };
    let follows = if follows.is_empty() { String::new() } else { format!("; {}", prose(follows)) };
    let quote = format!("\u{201c}{}\u{201d}", prose(quote));
    let quote = match link.starts_with(REPOSITORY) {
        true => format!("<a href=\"{}\">{quote}</a>", escaped(link)),
        false => quote,
    };
    format!("<p class=\"sentence\">{quote}{word}{follows}</p>")
}

/// The cell of a requirement and a suite: a sign and a text, with a link to the evidence, if any.
fn cell(count: Option<&Count>, evidence: Option<&str>) -> String {
    let Some(count) = count else {
        return "<span class=\"cell unknown\"><b>·</b>not in the report</span>".to_owned();
    };
    let requirement_info = count.all() - count.absent;
    let of = |number: usize| match requirement_info {
        1 => String::new(),
        _ => format!(" {number} of {requirement_info}"),
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
        Verdict::NotApplicable => ("–", "not asked".to_owned()),
    };
    let inside = format!("<b aria-hidden=\"true\">{sign}</b><span>{words}</span>");
    let class = class(verdict);
    match evidence {
        None => format!("<span class=\"cell {class}\">{inside}</span>"),
        Some(id) => format!("<a class=\"cell {class}\" href=\"#{id}\">{inside}</a>"),
    }
}

/// The CSS class of a verdict.
fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "failed",
        Verdict::NotApplicable => "absent",
        Verdict::Untestable => "untestable",
        Verdict::Broken => "broken",
    }
}

/// The counts of the requirements of a report by verdict, for all plugins or one.
fn standings(report: &Report, plugin: Option<&str>) -> Count {
    let mut count = Count::default();
    for requirement_info in &report.requirements {
        let cases = report.of(&requirement_info.id);
        let cases = cases.filter(|case| plugin.is_none_or(|plugin| case.plugin == plugin));
        if let Some(verdict) = overall_verdict(cases) {
            count.add(verdict);
        }
    }
    count
}

/// Escapes text for HTML. Control characters in a plugin's output become visible replacement
/// characters.
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

/// Escapes a sentence with names in backquotes.
fn prose(text: &str) -> String {
    let mark = |(index, part): (usize, &str)| match index % 2 {
        0 => escaped(part),
        _ => format!("<code>{}</code>", escaped(part)),
    };
    text.split('`').enumerate().map(mark).collect()
}
