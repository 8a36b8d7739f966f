//! A table whose columns are as wide as their cells.

use crate::tree::{Colour, printable};

/// Rows of cells, each under a heading.
pub struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

/// A cell of one or more lines.
pub struct Cell {
    lines: Vec<String>,
    colour: Colour,
}

/// The number of spaces between two columns.
const GAP: usize = 2;

impl Cell {
    pub fn new(text: &str, colour: Colour) -> Cell {
        Cell::lines([text.to_owned()], colour)
    }

    pub fn lines(lines: impl IntoIterator<Item = String>, colour: Colour) -> Cell {
        Cell { lines: lines.into_iter().map(|line| printable(&line)).collect(), colour }
    }

    fn width(&self) -> usize {
        self.lines.iter().map(|line| width(line)).max().unwrap_or_default()
    }
}

impl Table {
    pub fn new(headings: Vec<&'static str>) -> Table {
        Table { headings, rows: Vec::new() }
    }

    /// Adds a row; it has as many cells as there are headings.
    pub fn add(&mut self, row: Vec<Cell>) {
        self.rows.push(row);
    }

    /// The width of each column.
    fn columns(&self) -> Vec<usize> {
        let column = |(index, heading): (usize, &&str)| {
            let cells = self.rows.iter().filter_map(|row| row.get(index));
            cells.map(Cell::width).max().unwrap_or_default().max(width(heading))
        };
        self.headings.iter().enumerate().map(column).collect()
    }

    pub fn width(&self) -> usize {
        let columns = self.columns();
        columns.iter().sum::<usize>() + GAP * columns.len().saturating_sub(1)
    }

    pub fn render(&self, colours: bool) -> String {
        let columns = self.columns();
        let headings =
            self.headings.iter().map(|heading| Cell::new(heading, Colour::Dim)).collect();
        let mut text = String::new();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let height = row.iter().map(|cell| cell.lines.len()).max().unwrap_or_default();
            for line in 0..height {
                text += &render_line(row, line, &columns, colours);
            }
        }
        text
    }
}

/// Renders one line of a row, without trailing spaces.
fn render_line(row: &[Cell], line: usize, columns: &[usize], colours: bool) -> String {
    let (mut text, mut missing) = (String::new(), 0);
    for (cell, column) in row.iter().zip(columns) {
        if let Some(part) = cell.lines.get(line).filter(|part| !part.is_empty()) {
            text += &" ".repeat(missing);
            text += &cell.colour.paint(part, colours);
            missing = column - width(part) + GAP;
        } else {
            missing += column + GAP;
        }
    }
    text + "\n"
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let mut table = Table::new(vec!["A", "LONG", "C"]);
        let plain = |text: &str| Cell::new(text, Colour::Plain);
        let two = Cell::lines(["x".to_owned(), "yy".to_owned()], Colour::Plain);
        table.add(vec![plain("first"), two, plain("end")]);
        table.add(vec![plain(""), plain("\u{1b}"), plain("")]);
        assert_eq!(table.width(), 5 + 2 + 6 + 2 + 3);
        let text = "A      LONG    C\nfirst  x       end\n       yy\n       \\u{1b}\n";
        assert_eq!(table.render(false), text);
        assert!(table.render(true).starts_with("\u{1b}[2mA\u{1b}[0m      \u{1b}[2mLONG"));
    }
}
