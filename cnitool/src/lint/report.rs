//! Formats findings: as text in the style of compilers, and as JSON.

use std::borrow::Cow;
use std::cmp::{max, min};
use std::collections::HashSet;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::{Map, Value, json};

use crate::lint::files::File;
use crate::lint::problem::{At, Problem, Severity};
use crate::lint::suggest::count;

/// Formats all findings with excerpts of their files.
pub fn for_people(files: &[File], problems: &[Problem], colour: bool, width: usize) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii).term_width(width);
    let shown = problems.iter().map(|problem| renderer.render(&[group(files, problem)]) + "\n\n");
    shown.collect::<String>() + &summary(files, problems) + "\n"
}

/// The last line: the numbers of files and findings.
pub fn summary(files: &[File], problems: &[Problem]) -> String {
    let read = files.iter().filter(|file| file.is_read()).count();
    if read == 0 && problems.is_empty() {
        return "no network configurations".to_owned();
    }
    let counts = |it: &&Problem| it.severity != Severity::Note;
    let with_problems: HashSet<usize> = problems
        .iter()
        .filter(counts)
        .flat_map(|it| std::iter::once(it.at.spot.file).chain(it.files.iter().copied()))
        .collect();
    let is_bad = |index: usize| with_problems.contains(&index);
    let bad = files.iter().enumerate().filter(|(index, file)| file.is_read() && is_bad(*index));
    let bad = bad.count();
    let found: Vec<String> = [Severity::Error, Severity::Warning, Severity::Note]
        .into_iter()
        .map(|severity| (severity, total(problems, severity)))
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

fn total(problems: &[Problem], severity: Severity) -> usize {
    problems.iter().filter(|it| it.severity == severity).map(|it| it.count).sum()
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
        for marks in together(file, &of_file) {
            group = match snippet(file, &marks) {
                Some(snippet) => group.element(snippet),
                None => group.element(Origin::path(file.shown.as_str())),
            };
        }
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

/// Groups the marks by excerpt: one excerpt for all, unless they are far apart on one line, because
/// an excerpt contains whole lines.
fn together<'a, 'b>(file: &File, marks: &[&'b Mark<'a>]) -> Vec<Vec<&'b Mark<'a>>> {
    let line = |mark: &Mark<'_>| {
        let before = file.text.get(..span(&file.text, mark.1).start).unwrap_or_default();
        before.rfind('\n').map_or(0, |newline| newline + 1)
    };
    let starts = marks.iter().map(|mark| mark.1.spot.start);
    let is_far = starts.clone().max().unwrap_or(0) - starts.min().unwrap_or(0) > FAR;
    let is_one_line = marks.iter().map(|mark| line(mark)).collect::<HashSet<_>>().len() < 2;
    match is_far && is_one_line {
        true => marks.iter().map(|mark| vec![*mark]).collect(),
        false => vec![marks.to_vec()],
    }
}

/// The maximum distance in bytes of marks on one line that are shown together.
const FAR: usize = 100;
/// The maximum length in bytes of an underlined mark.
const MARK: usize = 200;

/// The lines of a file with the marks; `None` if the file is blank.
fn snippet<'a>(
    file: &'a File,
    marks: &[&Mark<'a>],
) -> Option<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let text = file.text.as_str();
    if text.trim().is_empty() {
        return None;
    }
    let marked = |at: &At| {
        let Range { start, end } = span(text, at);
        start..start + head(text.get(start..end).unwrap_or_default(), MARK).len()
    };
    let spans: Vec<Range<usize>> = marks.iter().map(|(_, at, _)| marked(at)).collect();
    let first = spans.iter().map(|span| span.start).min()?;
    let last = spans.iter().map(|span| span.end).max()?;
    let start = text.get(..first)?.rfind('\n').map_or(0, |newline| newline + 1);
    let end = text.get(last..)?.find('\n').map_or(text.len(), |newline| last + newline);
    let line = text.get(..start)?.matches('\n').count() + 1;
    // The replacement has the same length in bytes, and does not control a terminal. The renderer
    // replaces all other control characters.
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

/// The marked part of the text, limited to whole characters and to one line.
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

/// Names and values from files can hold any characters, in any number. A terminal must not
/// interpret them.
fn printable(text: &str) -> String {
    short(text).replace(|c: char| c.is_control(), " ")
}

/// The maximum length of a message in bytes.
const LONGEST: usize = 1000;

/// Shortens a text that is too long to its beginning and end.
fn short(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST {
        return text.into();
    }
    let tail = text.split_at(head(text, text.len() - 200).len()).1;
    format!("{} [..] {tail}", head(text, LONGEST - 200)).into()
}

/// The beginning of a text, with at most this many bytes.
fn head(text: &str, length: usize) -> &str {
    let ends = (0..=min(length, text.len())).rev();
    ends.into_iter().find_map(|end| text.get(..end)).unwrap_or_default()
}

/// Line and column, both from 1, columns in characters.
fn position(text: &str, place: usize) -> (usize, usize) {
    let before = text.get(..place).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

/// Formats all findings as JSON.
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
            ("path", json!(short(&at.path))),
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
                ("message", json!(short(&problem.what))),
                ("label", json!(short(&problem.label))),
                ("why", json!(short(&problem.why))),
                ("help", json!(short(&problem.help))),
                ("related", problem.others.iter().map(related).collect()),
            ]
            .map(|(key, value)| (key.to_owned(), value)),
        );
        if problem.count > 1 {
            let name = |file: &usize| files.get(*file).map(|file| file.shown.as_str());
            let names: Vec<&str> = problem.files.iter().filter_map(name).collect();
            found.insert("count".to_owned(), json!(problem.count));
            found.insert("files".to_owned(), json!(names));
        }
        Value::Object(found)
    };
    let found: Vec<Value> = problems.iter().map(problem).collect();
    format!("{:#}\n", Value::from(found))
}
