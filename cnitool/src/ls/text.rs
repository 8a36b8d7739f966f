//! The output as text. The most important part comes last, where the operator sees it first.

mod attachments;
mod leaks;
mod pools;

use std::env;
use std::io;

use rustix::termios::tcgetwinsize;

use crate::args::Arguments;
use crate::ls::Look;
use crate::ls::remedy::Step;
use crate::tree::{self, Colour};

/// The maximum width of prose, which is also its width if the output is not a terminal.
const PROSE: usize = 100;

/// Formats the whole output.
pub fn of(look: &Look, arguments: &Arguments) -> String {
    let (colours, width) = (tree::are_colours_wanted(), terminal_width());
    let mut parts = vec![match look.is_cache_known {
        true => attachments::of(&look.attached, arguments, colours, width),
        false => "the attachments are unknown: the cache cannot be read\n".to_owned(),
    }];
    if !look.pools.is_empty() {
        parts.push(pools::tree(&look.pools).render(colours));
    }
    parts.push(match look.is_cache_known || !look.leaks.is_empty() {
        true => leaks::tree(&look.leaks).render(colours),
        false => "the leaks are unknown, too\n".to_owned(),
    });
    if !look.remedy.is_empty() {
        let width = width.unwrap_or(PROSE).min(PROSE);
        parts.push(Colour::Bold.paint("remedy", colours) + "\n" + &steps(&look.remedy, width));
    }
    parts.join("\n")
}

/// The width from `COLUMNS` or of the terminal; `None` if the output is not a terminal.
fn terminal_width() -> Option<usize> {
    let configured = env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let asked = || tcgetwinsize(io::stdout()).ok().map(|size| size.ws_col.into());
    configured.or_else(asked).filter(|width| *width > 0)
}

/// Formats each command, followed by its description. Consecutive commands with the same
/// description share one.
fn steps(steps: &[Step], width: usize) -> String {
    let mut text = String::new();
    for same in steps.chunk_by(|a, b| a.about == b.about) {
        let Some(first) = same.first() else { continue };
        for step in same.iter().filter(|step| !step.command.is_empty()) {
            text += &format!("  {}\n", tree::printable(&step.command));
        }
        let indent = if first.command.is_empty() { "  " } else { "      " };
        text += &wrapped(&tree::printable(&first.about), indent, width);
    }
    text
}

/// Wraps a text at words.
fn wrapped(text: &str, indent: &str, width: usize) -> String {
    let (mut lines, mut line) = (String::new(), indent.to_owned());
    for word in text.split_whitespace() {
        let is_empty = line.len() == indent.len();
        if !is_empty && line.chars().count() + 1 + word.chars().count() > width {
            lines += &(line + "\n");
            line = indent.to_owned() + word;
        } else {
            line += if is_empty { "" } else { " " };
            line += word;
        }
    }
    lines + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_wrapped_at_words() {
        assert_eq!(wrapped("one two three", "  ", 9), "  one two\n  three\n");
        assert_eq!(wrapped("incomprehensible", "  ", 9), "  incomprehensible\n");
    }
}
