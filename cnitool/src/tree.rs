//! Text as a tree.

use std::env;
use std::fmt::Write;
use std::io::{self, IsTerminal};

/// A line and what belongs to it.
pub struct Tree {
    pub line: String,
    pub colour: Colour,
    /// Said behind the line, in parentheses; empty for none.
    pub remark: String,
    pub branches: Vec<Tree>,
}

/// How a line looks on a terminal.
#[derive(Clone, Copy)]
pub enum Colour {
    Plain,
    Bold,
    Cyan,
    Dim,
    Red,
    Yellow,
}

impl Tree {
    /// A line without branches.
    pub fn new(line: &str, colour: Colour) -> Tree {
        Tree { line: line.to_owned(), colour, remark: String::new(), branches: Vec::new() }
    }

    /// The tree as lines.
    pub fn render(&self, colours: bool) -> String {
        let mut text = String::new();
        self.write(&mut text, colours, "", "");
        text
    }

    fn write(&self, text: &mut String, colours: bool, first: &str, others: &str) {
        let line = self.colour.paint(&printable(&self.line), colours);
        let remark = match self.remark.as_str() {
            "" => String::new(),
            remark => Colour::Dim.paint(&format!("  ({})", printable(remark)), colours),
        };
        // Writing to a String cannot fail.
        writeln!(text, "{first}{line}{remark}").ok();
        let mut branches = self.branches.iter().peekable();
        while let Some(branch) = branches.next() {
            let (first, next) =
                if branches.peek().is_some() { ("├─ ", "│  ") } else { ("└─ ", "   ") };
            branch.write(text, colours, &format!("{others}{first}"), &format!("{others}{next}"));
        }
    }
}

impl Colour {
    /// The text in this colour, if colours are wanted.
    pub fn paint(self, text: &str, colours: bool) -> String {
        let number = match self {
            Colour::Bold => 1,
            Colour::Dim => 2,
            Colour::Red => 31,
            Colour::Yellow => 33,
            Colour::Cyan => 36,
            Colour::Plain => return text.to_owned(),
        };
        if colours { format!("\u{1b}[{number}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Whether what is printed goes to a terminal whose user did not forbid colours.
pub fn are_colours_wanted() -> bool {
    let allowed = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    allowed && io::stdout().is_terminal()
}

/// What a plugin says must not steer the terminal.
pub fn printable(text: &str) -> String {
    let escaped = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_only_there_when_wanted() {
        let mut tree = Tree::new("root", Colour::Bold);
        tree.branches
            .push(Tree { remark: "why".to_owned(), ..Tree::new("leaf\u{1b}[2J", Colour::Plain) });
        assert_eq!(tree.render(false), "root\n└─ leaf\\u{1b}[2J  (why)\n");
        assert!(tree.render(true).starts_with("\u{1b}[1mroot\u{1b}[0m\n"));
    }
}
