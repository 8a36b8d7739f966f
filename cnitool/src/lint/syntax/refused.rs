//! Explains why a text is not JSON, and suggests the probable correction.

mod quotes;

use jsonc_parser::ParseStringErrorKind as InText;
use jsonc_parser::errors::{ParseError, ParseErrorKind as Kind};

use crate::lint::problem::{At, Problem};

/// The explanation of an error: the mistake, the label of the position, and the remedy.
type Explanation = (String, &'static str, String);

/// Converts the parser's error to a finding.
pub fn explain(error: &ParseError, json: &str, at: impl Fn(usize, usize) -> At) -> Problem {
    let (range, found) = (error.range(), json.get(error.range().start..).unwrap_or_default());
    let before = json.get(..range.start).unwrap_or_default();
    let problem = |(start, end), (what, label, help): Explanation| {
        Problem::error("not-json", &at(start, end), what)
            .label(label)
            .why(
                "the runtime cannot read the file; containerd then has no network at all, and the \
                 node stays NotReady",
            )
            .help(help)
    };
    if let Some(explanation) = not_json_at_all(json) {
        return problem(place(error, json), explanation);
    }
    if let Some((place, explanation)) = quotes::missing(json, range.start) {
        return problem(place, explanation);
    }
    let problem = problem(place(error, json), explanation(error.kind(), found, before));
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
fn not_json_at_all(json: &str) -> Option<Explanation> {
    let start = json.trim_start();
    let line = start.lines().next().unwrap_or_default();
    if start.starts_with("---")
        || (line.contains(": ") || line.ends_with(':')) && starts_a_word(start)
    {
        let help =
            "write it as JSON: { \"cniVersion\": \"1.0.0\", \"name\": .., \"plugins\": [..] }";
        return Some(("this looks like YAML, not JSON".to_owned(), "", help.to_owned()));
    }
    (start.starts_with("<<<<<<<") || json.contains("\n<<<<<<< ")).then(|| {
        let help = "resolve the conflict and remove the marks";
        ("the file contains merge conflict marks".to_owned(), "", help.to_owned())
    })
}

fn starts_a_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn explanation(kind: &Kind, found: &str, before: &str) -> Explanation {
    let first = found.chars().next();
    let is_word = |c: &char| c.is_alphanumeric() || "_-.".contains(*c);
    let word: String = found.chars().take_while(is_word).collect();
    if let Some(explanation) = first.and_then(of_lookalike) {
        return explanation;
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
                "this is not JSON",
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
            ("a comma is missing here", "between this and the next item", "write a comma after it")
        }
        Kind::ExpectedColonAfterObjectKey => (
            "a colon is expected after a key",
            "",
            "is a quotation mark missing at the end of the key, or a colon after it?",
        ),
        Kind::ExpectedObjectValue => {
            ("a value is expected after the colon", "", "write one, or remove the key")
        }
        Kind::SingleQuotedStringsNotAllowed => (
            "text is between double quotation marks",
            "not between single ones",
            "write \"..\" instead of '..'",
        ),
        Kind::UnterminatedObject => {
            ("this brace is not closed", "opened here", "write a } where it ends")
        }
        Kind::UnterminatedArray => {
            ("this bracket is not closed", "opened here", "write a ] where it ends")
        }
        Kind::UnterminatedCommentBlock => {
            ("an unterminated comment; JSON has no comments", "", "remove it")
        }
        Kind::MultipleRootJsonValues => (
            "text after the end of the document",
            "",
            "remove it; is there an extra brace before it?",
        ),
        Kind::UnexpectedComma => {
            ("a comma without an item before it", "", "remove it, or add the missing value")
        }
        Kind::UnexpectedColon => (
            "a colon without a key before it",
            "",
            "is a quotation mark or a brace missing before it?",
        ),
        Kind::UnexpectedTokenInObject => (
            "a key between quotation marks is expected here",
            "",
            "objects are { \"key\": value, .. }; is there an extra comma, or a bracket instead of \
             a brace?",
        ),
        Kind::HexadecimalNumbersNotAllowed => {
            ("numbers are decimal", "", "write it in decimal digits")
        }
        Kind::UnaryPlusNumbersNotAllowed => ("numbers have no plus sign", "", "remove it"),
        Kind::BareDecimalPointNumbersNotAllowed => {
            ("a decimal point without digits around it", "", "write 0.5 or 5")
        }
        Kind::NonFiniteNumbersNotAllowed => {
            ("JSON has no such number", "", "write a finite number")
        }
        _ => return None,
    })
}

/// Recognizes characters that word processors and web pages use instead of ASCII.
fn of_lookalike(c: char) -> Option<Explanation> {
    let explained = |what: &str, help: &str| Some((what.to_owned(), "", help.to_owned()));
    match c {
        '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{2018}' | '\u{2019}' => explained(
            "a typographic quotation mark",
            "write plain ones, \"..\": were they pasted from a page or a document?",
        ),
        '\u{a0}' | '\u{200b}' | '\u{feff}' | '\u{2028}' | '\u{2029}' => explained(
            "a character that only looks like a space",
            "write a plain space: was it pasted from a page or a document?",
        ),
        _ => None,
    }
}

/// Explains a closing brace or bracket that does not match.
fn closes(closing: Option<char>, before: &str) -> Explanation {
    let closing = closing.unwrap_or('}');
    let what = match before.trim_end().chars().next_back() {
        Some(':') => "a value is expected after the colon".to_owned(),
        _ => format!("{closing:?} does not match the last open brace or bracket").replace('\'', ""),
    };
    (what, "", "close braces and brackets in reverse order".to_owned())
}

/// Explains a word without quotation marks.
fn of_word(word: &str) -> Explanation {
    let help = match word.to_lowercase().as_str() {
        "true" | "yes" | "on" => "write true".to_owned(),
        "false" | "no" | "off" => "write false".to_owned(),
        "none" | "nil" | "null" | "undefined" => "write null, or remove the key".to_owned(),
        "" => "text needs quotation marks".to_owned(),
        _ => format!("text needs quotation marks: \"{word}\""),
    };
    (format!("{word} is not JSON").trim_start().to_owned(), "", help)
}

fn of_text(kind: &InText) -> Explanation {
    match kind {
        InText::UnterminatedStringLiteral => (
            "this text is not terminated".to_owned(),
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

fn too_deep() -> Explanation {
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
