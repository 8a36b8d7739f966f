//! Parses a file. Reports text that Go's JSON decoder, and so every runtime, refuses or reads
//! differently than it looks.

mod keys;
mod refused;

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::tokens::{Token, TokenAndRange};
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions, parse_to_ast};

use crate::lint::document::{Member, Node, Value, path_of};
use crate::lint::problem::{At, Problem, Spot};
use crate::lint::suggest::count;

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The result of parsing a file.
pub struct Read {
    /// The text of the file; invalid bytes are replaced.
    pub text: String,
    /// The document; `None` if the text cannot be parsed.
    pub root: Option<Node>,
    pub problems: Vec<Problem>,
}

/// Parses a document.
pub fn read(file: usize, bytes: &[u8]) -> Read {
    let mut problems = Vec::new();
    let text = match text_of(file, bytes) {
        Ok(text) => text.to_owned(),
        Err(problem) => {
            // UTF-16 is not shown, because it is not readable as UTF-8.
            let is_shown = problem.at.spot.end > 0;
            let text = String::from_utf8_lossy(if is_shown { bytes } else { &[] }).into_owned();
            return Read { text, root: None, problems: vec![*problem] };
        }
    };
    let base = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    if base > 0 {
        problems.push(
            Problem::error(
                "byte-order-mark",
                &At::piece(file, 0, base),
                "the file begins with a byte order mark",
            )
            .why(
                "Go's decoder, and so the runtime, refuses it: \"invalid character 'ï' looking for \
                 beginning of value\"",
            )
            .help("save it as UTF-8 without BOM"),
        );
    }
    let json = text.get(base..).unwrap_or_default();
    let parser = Parser { file, base, json };
    let root = parser.parse(&mut problems);
    if let Some(root) = &root {
        keys::check(root, &mut problems);
    }
    Read { text, root, problems }
}

/// The text, or the finding for bytes that are not text.
fn text_of(file: usize, bytes: &[u8]) -> Result<&str, Box<Problem>> {
    let refused = |rule, start, end, what: &str, help: &str| {
        let problem = Problem::error(rule, &At::piece(file, start, end), what);
        Box::new(problem.why("runtimes refuse the file").help(help))
    };
    if bytes.len() > libcni::json::MAX_BYTES {
        let what = format!("the file is larger than {} MiB", libcni::json::MAX_BYTES >> 20);
        return Err(refused("too-large", 0, 0, &what, "is it a network configuration?"));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let what = "the file is in UTF-16, and JSON is UTF-8";
        return Err(refused("not-utf-8", 0, 0, what, "save it as UTF-8 without BOM"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let start = error.valid_up_to();
        let what = format!("byte {} is not UTF-8", start + 1);
        // The position refers to the displayed text, in which a replacement character stands for
        // the byte.
        let at = At::piece(file, start, start + '\u{fffd}'.len_utf8());
        let problem = Problem::error("not-utf-8", &at, what).help("save it as UTF-8");
        Box::new(problem.why(
            "cnitool and the plugins of this suite refuse it, and runtimes in Go read another \
             character",
        ))
    })?;
    if text.trim_start_matches(BYTE_ORDER_MARK).trim().is_empty() {
        let help = "delete it, or write the network into it: containerd fails for all networks if \
                    it cannot read a file";
        return Err(refused("empty", 0, 0, "the file is empty", help));
    }
    Ok(text)
}

struct Parser<'a> {
    file: usize,
    /// The offset of the document in the file.
    base: usize,
    json: &'a str,
}

impl Parser<'_> {
    fn parse(&self, problems: &mut Vec<Problem>) -> Option<Node> {
        // Comments and trailing commas are accepted here, so that other mistakes are found, too.
        let options = ParseOptions {
            allow_comments: true,
            allow_trailing_commas: true,
            allow_loose_object_property_names: false,
            allow_missing_commas: false,
            allow_single_quoted_strings: false,
            allow_hexadecimal_numbers: false,
            allow_unary_plus_numbers: false,
            allow_bare_decimal_point_numbers: false,
            allow_non_finite_numbers: false,
            allow_extended_string_escapes: false,
        };
        let collect =
            CollectOptions { comments: CommentCollectionStrategy::AsTokens, tokens: true };
        let parsed = match parse_to_ast(self.json, &collect, &options) {
            Ok(parsed) => parsed,
            Err(error) => {
                problems
                    .push(refused::explain(&error, self.json, |start, end| self.at(start, end)));
                return None;
            }
        };
        let before = problems.len();
        self.extras(parsed.tokens.as_deref().unwrap_or_default(), problems);
        if problems.len() == before
            && let Err(error) = serde_json::from_str::<serde_json::Value>(self.json)
        {
            problems.push(refused::by_serde(&error, self.json, |start, end| self.at(start, end)));
            return None;
        }
        parsed.value.map(|value| self.node(value, String::new()))
    }

    /// Reports common extensions of JSON: comments and trailing commas.
    fn extras(&self, tokens: &[TokenAndRange<'_>], problems: &mut Vec<Problem>) {
        let is_comment =
            |token: &Token<'_>| matches!(token, Token::CommentLine(_) | Token::CommentBlock(_));
        let mut comments = tokens.iter().filter(|token| is_comment(&token.token)).peekable();
        if let Some(first) = comments.peek().map(|token| token.range()) {
            let others = match comments.count() {
                1 => String::new(),
                several => format!("the first of {several}"),
            };
            problems.push(
                Problem::error("comment", &self.at(first.start, first.end), "JSON has no comments")
                    .label(others)
                    .why("the runtime refuses the file")
                    .help("remove it, or write it as a key: \"_comment\": \"..\""),
            );
        }
        let mut commas = Vec::new();
        let mut rest = tokens.iter().filter(|token| !is_comment(&token.token)).peekable();
        while let Some(token) = rest.next() {
            let next = rest.peek().map(|next| &next.token);
            let closes = matches!(next, Some(Token::CloseBrace | Token::CloseBracket));
            if token.token == Token::Comma && closes {
                commas.push(token.range());
            }
        }
        if let Some(first) = commas.first() {
            let mut problem = Problem::error(
                "trailing-comma",
                &self.at(first.start, first.end),
                match commas.len() {
                    1 => "a trailing comma".to_owned(),
                    several => format!("trailing: {}", count(several, "comma")),
                },
            )
            .why("JSON has commas only between items, and the runtime refuses the file")
            .help("remove it");
            for other in commas.iter().skip(1).take(9) {
                problem = problem.also(&self.at(other.start, other.end), "");
            }
            problems.push(problem);
        }
    }

    fn at(&self, start: usize, end: usize) -> At {
        At::piece(self.file, self.base + start, self.base + end)
    }

    fn node(&self, value: ast::Value<'_>, path: String) -> Node {
        let range = value.range();
        let spot =
            Spot { file: self.file, start: self.base + range.start, end: self.base + range.end };
        let value = match value {
            ast::Value::NullKeyword(_) => Value::Null,
            ast::Value::BooleanLit(it) => Value::Bool(it.value),
            ast::Value::NumberLit(it) => Value::Number(it.value.to_owned()),
            ast::Value::StringLit(it) => Value::Text(it.value.into_owned()),
            ast::Value::Array(it) => {
                let items = it.elements.into_iter().enumerate();
                let item = |(index, item)| self.node(item, format!("{path}[{index}]"));
                Value::List(items.map(item).collect())
            }
            ast::Value::Object(it) => {
                Value::Object(it.properties.into_iter().map(|it| self.member(it, &path)).collect())
            }
        };
        Node { at: At { spot, path }, value }
    }

    fn member(&self, property: ast::ObjectProp<'_>, parent: &str) -> Member {
        let range = property.name.range();
        let key = property.name.into_string();
        let path = path_of(parent, &key);
        let spot =
            Spot { file: self.file, start: self.base + range.start, end: self.base + range.end };
        let key_at = At { spot, path: path.clone() };
        Member { key, key_at, node: self.node(property.value, path) }
    }
}
