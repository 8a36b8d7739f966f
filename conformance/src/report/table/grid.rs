//! The table: a row for each chapter; a column for each plugin, or for each suite if there are
//! several.

use super::{Style, TableOptions};
use crate::case::Verdict;
use crate::report::{Count, Report, overall_verdict};

/// A column: its title, and its counts for a chapter.
struct Column<'a> {
    title: &'a str,
    report: &'a Report,
    plugin: Option<&'a str>,
}

impl Column<'_> {
    /// The counts of a chapter's requirements by verdict; of all chapters if none is given.
    fn count(&self, chapter: Option<&str>) -> Count {
        let mut count = Count::default();
        let requirement_info = self.report.requirements.iter();
        for requirement_info in requirement_info.filter(|requirement_info| {
            chapter.is_none_or(|title| requirement_info.chapter == title)
        }) {
            let cases = self.report.of(&requirement_info.id);
            let cases = cases.filter(|case| self.plugin.is_none_or(|plugin| case.plugin == plugin));
            if let Some(verdict) = overall_verdict(cases) {
                count.add(verdict);
            }
        }
        count
    }
}

/// A cell: its text and its style.
type Cell = (String, Style);

/// A row of totals: title, number and style.
type Row = (&'static str, fn(&Count) -> usize, Style);

/// The table.
pub(super) fn grid(reports: &[Report], shown: TableOptions) -> String {
    let columns: Vec<Column<'_>> = match reports {
        [report] => {
            let plugins = report.plugins.iter().map(|plugin| plugin.name.as_str());
            plugins.map(|name| Column { title: name, report, plugin: Some(name) }).collect()
        }
        several => several
            .iter()
            .map(|report| Column { title: &report.label, report, plugin: None })
            .collect(),
    };
    let mut chapters: Vec<&str> = Vec::new();
    for requirement_info in reports.iter().flat_map(|report| &report.requirements) {
        if !chapters.contains(&requirement_info.chapter.as_str()) {
            chapters.push(&requirement_info.chapter);
        }
    }
    let first = chapters.iter().map(|title| title.len()).max().unwrap_or(0).max(17);
    let room = shown.width.saturating_sub(first).max(16);
    let mut text = String::new();
    let mut rest = columns.as_slice();
    // Columns that do not fit beside each other are shown below.
    while !rest.is_empty() {
        let mut used = 0;
        let fits = rest.iter().take_while(|column| {
            used += column.title.len().max(7) + 2;
            used <= room
        });
        let (now, later) = rest.split_at(fits.count().max(1).min(rest.len()));
        text.push_str(&block(now, &chapters, first, shown));
        text.push('\n');
        rest = later;
    }
    text
}

fn block(columns: &[Column<'_>], chapters: &[&str], first: usize, shown: TableOptions) -> String {
    let head = columns.iter().map(|column| (column.title.to_owned(), Style::Bold)).collect();
    let mut text = line(columns, ("requirements met", Style::Dim), head, first, shown);
    for chapter in chapters {
        let cells = columns.iter().map(|column| met(&column.count(Some(chapter)))).collect();
        text.push_str(&line(columns, (chapter, Style::Plain), cells, first, shown));
    }
    let rows: [Row; 4] = [
        ("failed", |count| count.failed + count.broken, Style::Bad),
        ("met", |count| count.passed, Style::Good),
        ("not testable here", |count| count.untestable, Style::Open),
        ("not asked", |count| count.absent, Style::Dim),
    ];
    text.push('\n');
    for (name, number, style) in rows {
        let cell = |column: &Column<'_>| match number(&column.count(None)) {
            0 => ("-".to_owned(), Style::Dim),
            some => (some.to_string(), style),
        };
        let cells = columns.iter().map(cell).collect();
        text.push_str(&line(columns, (name, Style::Plain), cells, first, shown));
    }
    text
}

/// "11/12": the requirements that are met, of those that apply and could be tested.
fn met(count: &Count) -> Cell {
    let tested = count.passed + count.failed + count.broken;
    let text = format!("{}/{tested}", count.passed);
    match count.verdict() {
        Verdict::Failed | Verdict::Broken => (text, Style::Bad),
        Verdict::Passed => (text, Style::Plain),
        Verdict::Untestable => ("?".to_owned(), Style::Open),
        Verdict::NotApplicable => ("-".to_owned(), Style::Dim),
    }
}

fn line(
    columns: &[Column<'_>],
    (name, style): (&str, Style),
    cells: Vec<Cell>,
    first: usize,
    shown: TableOptions,
) -> String {
    let mut text = shown.paint(style, &format!("{name:<first$}"));
    for (column, (cell, style)) in columns.iter().zip(cells) {
        let width = column.title.len().max(7) + 2;
        text.push_str(&shown.paint(style, &format!("{cell:>width$}")));
    }
    format!("{}\n", text.trim_end())
}
