//! Findings for people, as compilers show theirs, and for programs.

use std::cmp::{max, min};
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::{Map, Value, json};

use crate::lint::files::File;
use crate::lint::problem::{At, Problem, Severity};
use crate::lint::suggest::count;

/// Everything that was found, each with the lines it is about.
pub fn for_people(files: &[File], problems: &[Problem], colour: bool, width: usize) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii).term_width(width);
    let shown = problems.iter().map(|problem| renderer.render(&[group(files, problem)]) + "\n\n");
    shown.collect::<String>() + &summary(files, problems) + "\n"
}

/// How many files there are, and how they are.
pub fn summary(files: &[File], problems: &[Problem]) -> String {
    let read = files.iter().filter(|file| file.is_read()).count();
    if read == 0 && problems.is_empty() {
        return "no network configurations".to_owned();
    }
    let is_bad = |index: usize| {
        let counts = |it: &&Problem| it.severity != Severity::Note;
        problems.iter().filter(counts).any(|problem| problem.at.spot.file == index)
    };
    let bad = files.iter().enumerate().filter(|(index, file)| file.is_read() && is_bad(*index));
    let bad = bad.count();
    let found: Vec<String> = [Severity::Error, Severity::Warning, Severity::Note]
        .into_iter()
        .map(|severity| (severity, problems.iter().filter(|it| it.severity == severity).count()))
        .filter(|(_, number)| *number > 0)
        .map(|(severity, number)| count(number, severity.name()))
        .collect();
    let files = count(read, "file");
    let clean = match read - bad {
        0 => String::new(),
        clean if clean == read && read == 1 => ", clean".to_owned(),
        clean if clean == read => ", all clean".to_owned(),
        clean => format!(", {clean} clean"),
    };
    match found.is_empty() {
        true => format!("{files}{clean}"),
        false => format!("{files}{clean}: {}", found.join(", ")),
    }
}

fn group<'a>(files: &'a [File], problem: &'a Problem) -> Group<'a> {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let title = match problem.at.path.as_str() {
        "" => printable(&problem.what),
        path => printable(&format!("{path}: {}", problem.what)),
    };
    let mut group = Group::with_title(level.primary_title(title));
    let here = (AnnotationKind::Primary, &problem.at, problem.label.as_str());
    let there =
        problem.others.iter().map(|(at, label)| (AnnotationKind::Context, at, label.as_str()));
    let marks: Vec<Mark<'a>> = std::iter::once(here).chain(there).collect();
    let mut shown = Vec::new();
    for (_, at, _) in &marks {
        if shown.contains(&at.spot.file) {
            continue;
        }
        shown.push(at.spot.file);
        let of_file: Vec<_> = marks.iter().filter(|it| it.1.spot.file == at.spot.file).collect();
        let Some(file) = files.get(at.spot.file) else { continue };
        group = match snippet(file, &of_file) {
            Some(snippet) => group.element(snippet),
            None => group.element(Origin::path(file.shown.as_str())),
        };
    }
    if !problem.why.is_empty() {
        group = group.element(Level::NOTE.message(printable(&problem.why)));
    }
    if !problem.help.is_empty() {
        group = group.element(Level::HELP.message(printable(&problem.help)));
    }
    group
}

type Mark<'a> = (AnnotationKind, &'a At, &'a str);

/// The lines of a file that the marks are on; none if there is nothing to be seen.
fn snippet<'a>(
    file: &'a File,
    marks: &[&Mark<'a>],
) -> Option<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let text = file.text.as_str();
    if text.trim().is_empty() {
        return None;
    }
    let spans: Vec<Range<usize>> = marks.iter().map(|(_, at, _)| span(text, at)).collect();
    let first = spans.iter().map(|span| span.start).min()?;
    let last = spans.iter().map(|span| span.end).max()?;
    let start = text.get(..first)?.rfind('\n').map_or(0, |newline| newline + 1);
    let end = text.get(last..)?.find('\n').map_or(text.len(), |newline| last + newline);
    let line = text.get(..start)?.matches('\n').count() + 1;
    // What is as long in bytes and no command to a terminal; others than these are the renderer's.
    let is_command = |c: char| ('\u{80}'..='\u{9f}').contains(&c);
    let source = text.get(start..end)?.replace(is_command, "\u{b7}");
    let mut snippet = Snippet::source(source).path(file.shown.as_str()).line_start(line);
    for ((kind, _, label), span) in marks.iter().zip(spans) {
        let mut annotation = kind.span(span.start - start..span.end - start);
        if !label.is_empty() {
            annotation = annotation.label(printable(label));
        }
        snippet = snippet.annotation(annotation);
    }
    Some(snippet)
}

/// What is marked: within the text, between characters, and no more than a line.
fn span(text: &str, at: &At) -> Range<usize> {
    let within = |mut place: usize| {
        place = min(place, text.len());
        while !text.is_char_boundary(place) {
            place -= 1;
        }
        place
    };
    let start = within(at.spot.start);
    let end = max(within(at.spot.end), start);
    let line = text.get(start..end).unwrap_or_default();
    let line = line.split('\n').next().unwrap_or_default().trim_end();
    start..start + line.len()
}

/// Names and values from files can hold anything; a terminal should not act on it.
fn printable(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

/// Line and column, both from 1, columns in characters.
fn position(text: &str, place: usize) -> (usize, usize) {
    let before = text.get(..place).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// Everything that was found, for programs.
pub fn for_programs(files: &[File], problems: &[Problem]) -> String {
    let place = |at: &At| -> Map<String, Value> {
        let Some(file) = files.get(at.spot.file) else { return Map::new() };
        let span = span(&file.text, at);
        let (line, column) = position(&file.text, span.start);
        let (end_line, end_column) = position(&file.text, span.end);
        [
            ("file", json!(file.shown)),
            ("line", json!(line)),
            ("column", json!(column)),
            ("endLine", json!(end_line)),
            ("endColumn", json!(end_column)),
            ("path", json!(at.path)),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into_iter()
        .collect()
    };
    let problem = |problem: &Problem| {
        let related = |(at, label): &(At, String)| {
            let mut other = place(at);
            other.insert("message".to_owned(), json!(label));
            Value::Object(other)
        };
        let mut found = place(&problem.at);
        found.extend(
            [
                ("severity", json!(problem.severity.name())),
                ("rule", json!(problem.rule)),
                ("message", json!(problem.what)),
                ("label", json!(problem.label)),
                ("why", json!(problem.why)),
                ("help", json!(problem.help)),
                ("related", problem.others.iter().map(related).collect()),
            ]
            .map(|(key, value)| (key.to_owned(), value)),
        );
        Value::Object(found)
    };
    let found: Vec<Value> = problems.iter().map(problem).collect();
    format!("{:#}\n", Value::from(found))
}
