//! A page in Markdown: its sections, and the blocks in them.

use std::fs;
use std::path::{Path, PathBuf};

/// The project's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All pages for readers, by their paths in the project.
pub fn pages() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned()];
    for folder in ["docs", "docs/examples", "docs/plugins"] {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let names = names.filter(|name| name.ends_with(".md"));
        pages.extend(names.map(|name| format!("{folder}/{name}")));
    }
    pages.sort();
    pages
}

/// A heading and the blocks below it; what comes before the first heading of the second level has
/// the empty heading.
pub struct Section {
    pub heading: String,
    pub blocks: Vec<Block>,
}

pub enum Block {
    /// A file to write: JSON after a line that is only a path.
    File { path: String, text: String },
    /// ```` ```sh ````: commands.
    Commands(String),
    /// ```` ```console ````: commands after `# `, each with what it prints.
    Session(Vec<(String, String)>),
    /// Commands that another test runs, and its file: ```` ```sh run by FILE ````.
    Elsewhere(String),
    /// Commands that cannot be run here, and the reason: ```` ```sh shown: REASON ````.
    Shown(String),
}

impl Section {
    pub fn has_commands(&self) -> bool {
        self.blocks.iter().any(|block| matches!(block, Block::Commands(_) | Block::Session(_)))
    }
}

/// The sections of a page.
///
/// # Panics
///
/// If the page has a block that is indented instead of fenced: it would not be run.
pub fn sections(path: &str) -> Vec<Section> {
    let text = fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut sections = vec![Section { heading: String::new(), blocks: Vec::new() }];
    let (mut lines, mut file, mut before) = (text.lines(), None, "");
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix("## ") {
            sections.push(Section { heading: heading.to_owned(), blocks: Vec::new() });
        } else if let Some(kind) = line.strip_prefix("```") {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let block = block(kind, &text, file.take());
            sections.last_mut().unwrap().blocks.extend(block);
        } else if let Some(path) = line.strip_prefix('`').and_then(|it| it.strip_suffix("`:")) {
            file = Some(path.to_owned());
        }
        let is_indented = before.is_empty() && line.starts_with("    ");
        assert!(!is_indented, "{path}: {line:?}: fence the block, so that it is run");
        before = line;
    }
    sections
}

fn block(kind: &str, lines: &[&str], file: Option<String>) -> Option<Block> {
    if let Some((_, reason)) = kind.split_once(" shown: ") {
        return Some(Block::Shown(reason.to_owned()));
    }
    if let Some((_, file)) = kind.split_once(" run by ") {
        return Some(Block::Elsewhere(file.to_owned()));
    }
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    match (kind, file) {
        ("sh", _) => Some(Block::Commands(text)),
        ("console", _) => Some(Block::Session(session(lines))),
        ("json", Some(path)) => Some(Block::File { path, text }),
        ("json" | "text" | "nft" | "ini" | "toml" | "yaml" | "rust", _) => None,
        (other, _) => panic!("{other:?}: no such kind of block"),
    }
}

fn session(lines: &[&str]) -> Vec<(String, String)> {
    let mut calls: Vec<(String, String)> = Vec::new();
    for line in lines {
        match (line.strip_prefix("# "), calls.last_mut()) {
            (Some(command), _) => calls.push((command.to_owned(), String::new())),
            (None, Some((_, printed))) => *printed += &format!("{line}\n"),
            (None, None) => panic!("{line:?}: a session begins with a command, \"# COMMAND\""),
        }
    }
    calls
}

/// Whether a command printed what the page shows. A line `...` stands for any lines, and `...` in
/// a line for any text.
pub fn shows(shown: &str, printed: &str) -> bool {
    let (shown, printed): (Vec<&str>, Vec<&str>) =
        (shown.trim_end().lines().collect(), printed.trim_end().lines().collect());
    lines_fit(&shown, &printed)
}

fn lines_fit(shown: &[&str], printed: &[&str]) -> bool {
    match (shown, printed) {
        ([], []) => true,
        (["...", rest @ ..], _) => {
            (0..=printed.len()).any(|skipped| lines_fit(rest, &printed[skipped..]))
        }
        ([one, rest @ ..], [line, others @ ..]) => line_fits(one, line) && lines_fit(rest, others),
        _ => false,
    }
}

fn line_fits(shown: &str, mut line: &str) -> bool {
    let (first, rest) = shown.split_once("...").map_or((shown, None), |(a, b)| (a, Some(b)));
    let Some(rest) = rest else { return shown.trim_end() == line.trim_end() };
    if !line.starts_with(first) {
        return false;
    }
    line = &line[first.len()..];
    line.char_indices().any(|(at, _)| line_fits(rest, &line[at..])) || rest.is_empty()
}
