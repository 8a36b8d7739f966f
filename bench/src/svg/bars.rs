//! Horizontal bars with their values.

use std::fmt::Write;

use super::{number, text};

/// The height of a bar's row.
const ROW: f64 = 20.0;
/// The start of the bars, and the length of the longest. The value and the ratio are to its right.
const LABELS: f64 = 158.0;
const LONGEST: f64 = 130.0;

/// A group of bars.
pub(crate) struct Panel {
    pub title: String,
    pub bars: Vec<Bar>,
}

/// A bar.
pub(crate) struct Bar {
    pub label: String,
    pub class: &'static str,
    pub value: f64,
    /// The part of the value that belongs to another, drawn paler.
    pub base: Option<f64>,
    pub note: String,
}

impl Panel {
    pub fn height(&self) -> f64 {
        22.0 + ROW * self.bars.len() as f64
    }

    pub fn draw(&self, body: &mut String, x: f64, y: f64) {
        text(body, "soft", x, y + 12.0, &self.title);
        let most = self.bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
        for (place, bar) in self.bars.iter().enumerate() {
            let top = y + 20.0 + ROW * place as f64;
            let length = (bar.value / most * LONGEST).max(1.0);
            text(body, &format!("label {}-text", bar.class), x, top + 13.0, &bar.label);
            let start = x + LABELS;
            let _ = writeln!(
                body,
                "<rect class=\"{}\" x=\"{start:.1}\" y=\"{:.1}\" width=\"{length:.1}\" \
                 height=\"13\" rx=\"2\"/>",
                bar.class,
                top + 2.5
            );
            if let Some(base) = bar.base {
                let _ = writeln!(
                    body,
                    "<rect class=\"base\" x=\"{start:.1}\" y=\"{:.1}\" width=\"{:.1}\" \
                     height=\"13\"/>",
                    top + 2.5,
                    base / most * LONGEST
                );
            }
            let value = number(bar.value);
            let note = match bar.note.as_str() {
                "" => String::new(),
                note => format!(" <tspan class=\"soft\" dx=\"4\">{note}</tspan>"),
            };
            let _ = writeln!(
                body,
                "<text x=\"{:.1}\" y=\"{:.1}\">{value}{note}</text>",
                start + length + 6.0,
                top + 13.0
            );
        }
    }
}
