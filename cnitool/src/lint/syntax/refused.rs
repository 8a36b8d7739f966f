//! Explains why a text is not JSON, and suggests the probable correction.

mod quotes;

use jsonc_parser::ParseStringErrorKind as InText;
use jsonc_parser::errors::{ParseError, ParseErrorKind as Kind};

use crate::lint::problem::{At, Problem};

/// The explanation of an error: the mistake, the label of the position, and the remedy.
type Said = (String, &'static str, String);

/// Converts the parser's error to a finding.
pub fn explain(error: &ParseError, json: &str, at: impl Fn(usize, usize) -> At) -> Problem {
    let (range, found) = (error.range(), json.get(error.range().start..).unwrap_or_default());
    let before = json.get(..range.start).unwrap_or_default();
    let problem = |(start, end), (what, label, help): Said| {
        Problem::error("not-json", &at(start, end), what)
            .label(label)
            .why(
                "the runtime cannot read the file; containerd then has no network at all, and \
                 the node stays NotReady",
            )
            .help(help)
    };
    if let Some(said) = not_json_at_all(json) {
        return problem(place(error, json), said);
    }
    if let Some((place, said)) = quotes::missing(json, range.start) {
        return problem(place, said);
    }
    let problem = problem(place(error, json), said(error.kind(), found, before));
    let closes = found.starts_with(['}', ']']) && !before.trim_end().ends_with([':', ',']);
    match quotes::last_opened(before).filter(|_| closes) {
        Some(opened) => problem.also(&at(opened, opened + 1), "opened here"),
        None => problem,
    }
}

/// The marked position: at most one line, and not empty if possible.
fn place(error: &ParseError, json: &str) -> (usize, usize) {
    let range = error.range();
    let end = match error.kind() {
        // Marks only the unclosed brace or bracket, because the range extends to the end of the
        // file.
        Kind::UnterminatedObject | Kind::UnterminatedArray => range.start + 1,
        _ => range.end,
    };
    let line = json.get(range.start..end).unwrap_or_default();
    let line = line.split('\n').next().unwrap_or_default().trim_end_matches('\r');
    let start = range.start.min(json.len());
    if !line.is_empty() {
        return (start, start + line.len());
    }
    // At the end of the file, marks the last character.
    let before = json.get(..start).unwrap_or_default();
    match before.trim_end().char_indices().next_back() {
        Some((last, c)) if start >= json.trim_end().len() => (last, last + c.len_utf8()),
        _ => (start, start),
    }
}

/// Recognizes files of other formats.
fn not_json_at_all(json: &str) -> Option<Said> {
    let start = json.trim_start();
    let line = start.lines().next().unwrap_or_default();
    if start.starts_with("---")
        || (line.contains(": ") || line.ends_with(':')) && starts_a_word(start)
    {
        let help =
            "write it as JSON: { \"cniVersion\": \"1.0.0\", \"name\": .., \"plugins\": [..] }";
        return Some(("this looks like YAML, and not like JSON".to_owned(), "", help.to_owned()));
    }
    (start.starts_with("<<<<<<<") || json.contains("\n<<<<<<< ")).then(|| {
        let help = "resolve the conflict: choose one side, and take out the marks";
        ("a merge left its marks in the file".to_owned(), "", help.to_owned())
    })
}

fn starts_a_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn said(kind: &Kind, found: &str, before: &str) -> Said {
    let first = found.chars().next();
    let is_word = |c: &char| c.is_alphanumeric() || "_-.".contains(*c);
    let word: String = found.chars().take_while(is_word).collect();
    if let Some(said) = first.and_then(of_lookalike) {
        return said;
    }
    match kind {
        Kind::ExpectedStringObjectProperty => {
            (format!("the key {word} needs quotation marks"), "", format!("write \"{word}\""))
        }
        Kind::UnexpectedWord => of_word(&word),
        Kind::UnexpectedCloseBrace | Kind::UnexpectedCloseBracket => closes(first, before),
        Kind::UnexpectedTokenInObject if first == Some(']') => closes(first, before),
        Kind::String(kind) => of_text(kind),
        Kind::NestingDepthExceeded => too_deep(),
        other => {
            let (what, label, help) = phrases(other).unwrap_or((
                "this is no JSON",
                "",
                "objects are { \"key\": value, .. }, lists [ value, .. ]",
            ));
            (what.to_owned(), label, help.to_owned())
        }
    }
}

/// The explanations that do not depend on the text.
fn phrases(kind: &Kind) -> Option<(&'static str, &'static str, &'static str)> {
    Some(match kind {
        Kind::ExpectedComma => {
            ("a comma is missing here", "between this and what follows", "write a comma behind it")
        }
        Kind::ExpectedColonAfterObjectKey => (
            "behind a key, a colon is expected",
            "",
            "is a quotation mark missing at the end of the key, or a colon behind it?",
        ),
        Kind::ExpectedObjectValue => {
            ("a value is expected behind the colon", "", "write one, or take the key out")
        }
        Kind::SingleQuotedStringsNotAllowed => (
            "text is between double quotation marks",
            "not between single ones",
            "write \"..\" instead of '..'",
        ),
        Kind::UnterminatedObject => {
            ("this brace is never closed", "opened here", "write a } where it ends")
        }
        Kind::UnterminatedArray => {
            ("this bracket is never closed", "opened here", "write a ] where it ends")
        }
        Kind::UnterminatedCommentBlock => {
            ("a comment that never ends; JSON has no comments", "", "take it out")
        }
        Kind::MultipleRootJsonValues => (
            "something follows behind the end of the document",
            "",
            "take it out; is there a brace too many before it?",
        ),
        Kind::UnexpectedComma => {
            ("a comma without anything before it", "", "take it out, or write what is missing")
        }
        Kind::UnexpectedColon => (
            "a colon without a key before it",
            "",
            "is a quotation mark or a brace missing before it?",
        ),
        Kind::UnexpectedTokenInObject => (
            "a key between quotation marks is expected here",
            "",
            "objects are { \"key\": value, .. }; is there a comma too many, or a bracket instead \
             of a brace?",
        ),
        Kind::HexadecimalNumbersNotAllowed => {
            ("numbers are decimal", "", "write it in decimal digits")
        }
        Kind::UnaryPlusNumbersNotAllowed => ("numbers have no plus sign", "", "take it out"),
        Kind::BareDecimalPointNumbersNotAllowed => {
            ("a decimal point without digits around it", "", "write 0.5 or 5")
        }
        Kind::NonFiniteNumbersNotAllowed => ("JSON has no such number", "", "write one that ends"),
        _ => return None,
    })
}

/// Recognizes characters that word processors and web pages use instead of ASCII.
fn of_lookalike(c: char) -> Option<Said> {
    let said = |what: &str, help: &str| Some((what.to_owned(), "", help.to_owned()));
    match c {
        '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{2018}' | '\u{2019}' => said(
            "a typographic quotation mark",
            "write plain ones, \"..\": were they pasted from a page or a document?",
        ),
        '\u{a0}' | '\u{200b}' | '\u{feff}' | '\u{2028}' | '\u{2029}' => said(
            "a character that only looks like a space",
            "write a plain space: was it pasted from a page or a document?",
        ),
        _ => None,
    }
}

/// Explains a closing brace or bracket that does not match.
fn closes(closing: Option<char>, before: &str) -> Said {
    let closing = closing.unwrap_or('}');
    let what = match before.trim_end().chars().next_back() {
        Some(':') => "a value is expected behind the colon".to_owned(),
        _ => format!("{closing:?} closes what something else opened").replace('\'', ""),
    };
    (what, "", "braces and brackets are closed in the reverse order".to_owned())
}

/// Explains a word without quotation marks.
fn of_word(word: &str) -> Said {
    let help = match word.to_lowercase().as_str() {
        "true" | "yes" | "on" => "write true".to_owned(),
        "false" | "no" | "off" => "write false".to_owned(),
        "none" | "nil" | "null" | "undefined" => "write null, or take the key out".to_owned(),
        "" => "text needs quotation marks".to_owned(),
        _ => format!("text needs quotation marks: \"{word}\""),
    };
    (format!("{word} is no JSON").trim_start().to_owned(), "", help)
}

fn of_text(kind: &InText) -> Said {
    match kind {
        InText::UnterminatedStringLiteral => (
            "this text never ends".to_owned(),
            "begins here",
            "write the quotation mark at its end".to_owned(),
        ),
        other => (
            format!("in this text: {other}").to_lowercase(),
            "",
            "JSON knows \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\u1234".to_owned(),
        ),
    }
}

fn too_deep() -> Said {
    (
        "the document is nested too deeply".to_owned(),
        "",
        "a network configuration has less than ten levels".to_owned(),
    )
}

/// Converts an error that only the plugins' decoder reports.
pub fn by_serde(error: &serde_json::Error, json: &str, at: impl Fn(usize, usize) -> At) -> Problem {
    let line_start = match error.line().checked_sub(2) {
        None => 0,
        Some(before) => json.match_indices('\n').nth(before).map_or(json.len(), |(at, _)| at + 1),
    };
    let mut start = (line_start + error.column().saturating_sub(1)).min(json.len());
    while !json.is_char_boundary(start) {
        start -= 1;
    }
    let place = format!(" at line {} column {}", error.line(), error.column());
    let why = error.to_string();
    let why = why.strip_suffix(&place).unwrap_or(&why);
    let (what, _, help) = match why.contains("recursion limit") {
        true => too_deep(),
        false => (why.to_owned(), "", "correct what is before this place".to_owned()),
    };
    Problem::error("not-json", &at(start, start), what).why("plugins cannot read it").help(help)
}
