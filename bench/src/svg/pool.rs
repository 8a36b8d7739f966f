//! host-local by the number of allocated addresses: lines on logarithmic axes.

use std::fmt::Write;

use super::{COLUMN, MARGIN, class, number, text};
use crate::results::{Results, Row};

const HEIGHT: f64 = 170.0;
/// The margin left of the axis, for its numbers, and right of the last position.
const LEFT: f64 = 44.0;
const RIGHT: f64 = 40.0;
/// The height of a line of small text, and the width of a value.
const LINE: f64 = 12.0;
const LINE_END: f64 = 40.0;
/// The position of an empty pool on the logarithmic axis.
const EMPTY: f64 = 200.0;

/// The points of a contestant: allocated addresses, milliseconds.
struct Line {
    label: String,
    points: Vec<(f64, f64)>,
}

/// Draws both charts from `y` on; returns their lower end.
pub fn draw(body: &mut String, results: &Results, y: f64) -> f64 {
    let charts = ["ADD", "DEL"].map(|verb| (verb, lines(results, verb)));
    let most = charts.iter().flat_map(|(_, lines)| lines).map(|line| line.points.len()).max();
    if most.unwrap_or_default() < 2 {
        return y;
    }
    text(body, "section", MARGIN, y + 24.0, "host-local by addresses taken");
    let top = y + 36.0;
    for (place, (verb, lines)) in charts.iter().enumerate() {
        let x = MARGIN + place as f64 * (COLUMN + MARGIN);
        text(body, "soft", x, top + 12.0, &format!("{verb}, milliseconds"));
        Chart::of(lines, x, top + 44.0).draw(body, lines);
    }
    top + 44.0 + HEIGHT + 26.0
}

fn lines(results: &Results, verb: &str) -> Vec<Line> {
    // Cases with other ranges have names that end differently.
    let is_size = |row: &&Row| {
        let size = row.case.strip_prefix("host-local-");
        size.is_some_and(|size| size.bytes().all(|c| c.is_ascii_digit())) && row.verb == verb
    };
    let mut lines: Vec<Line> = Vec::new();
    for row in results.rows.iter().filter(is_size) {
        let taken = f64::from(row.taken.unwrap_or_default()).max(EMPTY);
        for figures in row.figures.iter().filter(|figures| figures.n > 0) {
            let point = (taken, figures.median.max(0.01));
            match lines.iter_mut().find(|line| line.label == figures.label) {
                Some(line) => line.points.push(point),
                None => lines.push(Line { label: figures.label.clone(), points: vec![point] }),
            }
        }
    }
    lines
}

/// The positions.
struct Chart {
    x: f64,
    y: f64,
    /// The logarithms at the ends of the axes.
    across: (f64, f64),
    up: (f64, f64),
}

impl Chart {
    fn of(lines: &[Line], x: f64, y: f64) -> Chart {
        let points = || lines.iter().flat_map(|line| &line.points);
        let low = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::MAX, f64::min).log10();
        let high = |values: &mut dyn Iterator<Item = f64>| values.fold(0.01, f64::max).log10();
        let across = (low(&mut points().map(|p| p.0)), high(&mut points().map(|p| p.0)));
        let up = (low(&mut points().map(|p| p.1)).floor(), high(&mut points().map(|p| p.1)).ceil());
        Chart { x, y, across, up }
    }

    fn place(&self, (taken, time): (f64, f64)) -> (f64, f64) {
        let share =
            |value: f64, (low, high): (f64, f64)| (value.log10() - low) / (high - low).max(0.1);
        let width = COLUMN - LEFT - RIGHT;
        (
            self.x + LEFT + share(taken, self.across) * width,
            self.y + (1.0 - share(time, self.up)) * HEIGHT,
        )
    }

    fn draw(&self, body: &mut String, lines: &[Line]) {
        self.axes(body, lines);
        let mut legend = self.x + LEFT;
        for (number, line) in lines.iter().enumerate() {
            let style = format!("{} nr{number}", class(&line.label));
            let places: Vec<(f64, f64)> = line.points.iter().map(|p| self.place(*p)).collect();
            let path: String = places.iter().map(|(x, y)| format!("{x:.1},{y:.1} ")).collect();
            let _ =
                writeln!(body, "<polyline class=\"line {style}\" points=\"{}\"/>", path.trim_end());
            for (x, y) in &places {
                let _ = writeln!(
                    body,
                    "<circle class=\"{style}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"
                );
            }
            let y = self.y - 18.0;
            let _ = writeln!(
                body,
                "<circle class=\"{style}\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\"/>",
                legend + 4.0
            );
            text(body, "small", legend + 12.0, y + 4.0, &line.label);
            legend += 26.0 + 6.6 * line.label.len() as f64;
        }
        self.ends(body, lines);
    }

    /// The value at the end of each line, to its right, pushed down where it would touch the one
    /// above.
    fn ends(&self, body: &mut String, lines: &[Line]) {
        let mut ends: Vec<_> = lines.iter().filter_map(|line| line.points.last()).collect();
        ends.sort_by(|one, other| other.1.total_cmp(&one.1));
        let mut free: Vec<(f64, f64)> = Vec::new();
        for end in ends {
            let (x, y) = self.place(*end);
            let above = free.iter().filter(|(of, _)| (of - x).abs() < LINE_END).map(|(_, y)| *y);
            let y = above.fold(y + 4.0, f64::max);
            text(body, "small value", x + 7.0, y, &number(end.1));
            free.push((x, y + LINE));
        }
    }

    fn axes(&self, body: &mut String, lines: &[Line]) {
        let (left, right) = (self.x + LEFT, self.x + COLUMN - RIGHT);
        for power in self.up.0 as i32..=self.up.1 as i32 {
            let value = 10_f64.powi(power);
            let (_, y) = self.place((EMPTY, value));
            let _ = writeln!(body, "<path class=\"grid\" d=\"M{left:.1} {y:.1} H{right:.1}\"/>");
            let label = if power < 0 { format!("{value:.1}") } else { format!("{value:.0}") };
            text(body, "small end", left - 6.0, y + 4.0, &label);
        }
        let mut sizes: Vec<f64> = lines.iter().flat_map(|line| &line.points).map(|p| p.0).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        for size in sizes {
            let (x, _) = self.place((size, 1.0));
            text(body, "small middle", x, self.y + HEIGHT + 16.0, &taken(size));
        }
    }
}

/// `1,000`, `1 M`
fn taken(size: f64) -> String {
    match size {
        size if size <= EMPTY => "none".to_owned(),
        size if size >= 1e6 => format!("{:.0} M", size / 1e6),
        size => format!("{:.0},{:03.0}", (size / 1000.0).floor(), size % 1000.0),
    }
}
