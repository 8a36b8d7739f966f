//! The results as one picture, legible in light and dark mode. Equal results give an equal picture.

mod bars;
mod pool;

use std::fmt::Write;

use crate::contestant::{FLOOR, OURS};
use crate::results::{Figures, Results, Row};

pub(crate) use bars::{Bar, Panel};

/// The width of the picture.
const WIDTH: f64 = 900.0;
/// The margin around everything, and the gap between two columns.
const MARGIN: f64 = 20.0;
/// The width of one of two columns.
const COLUMN: f64 = (WIDTH - 3.0 * MARGIN) / 2.0;

/// The picture.
pub fn picture(results: &Results) -> String {
    let quick = if results.quick { " · a quick run" } else { "" };
    let mut page = Page::new(
        "Time that CNI plugins take",
        "What a network costs a container",
        &[
            &format!("{}{quick}", results.machine),
            "Shorter is better, except where it says per second. Medians; “ours” is ferrocni \
             divided by that row. The floor only makes the kernel objects.",
        ],
    );
    for section in sections(results) {
        page.draw(&section);
    }
    page.y = pool::draw(&mut page.body, results, page.y);
    page.end()
}

/// A picture that grows downwards.
pub(crate) struct Page {
    name: String,
    body: String,
    y: f64,
}

impl Page {
    /// A picture with a name for screen readers, a title, and lines below it.
    pub fn new(name: &str, title: &str, lines: &[&str]) -> Page {
        let mut body = String::new();
        text(&mut body, "title", MARGIN, 34.0, title);
        let mut y = 54.0;
        for line in lines {
            text(&mut body, "soft", MARGIN, y, line);
            y += 17.0;
        }
        Page { name: name.to_owned(), body, y: y - 4.0 }
    }

    /// Draws a section below the others.
    pub fn draw(&mut self, section: &Section) {
        self.y = section.draw(&mut self.body, self.y);
    }

    /// The complete picture.
    pub fn end(self) -> String {
        let Page { name, body, y } = self;
        let height = y + MARGIN / 2.0;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
             <title>{name}</title>\n<style>\n{}</style>\n\
             <rect class=\"page\" width=\"100%\" height=\"100%\" rx=\"8\"/>\n{body}</svg>\n",
            include_str!("svg/style.css")
        )
    }
}

/// Panels side by side, under a heading.
pub(crate) struct Section {
    pub title: String,
    pub panels: Vec<Panel>,
}

impl Section {
    fn draw(&self, body: &mut String, y: f64) -> f64 {
        let drawn: Vec<&Panel> =
            self.panels.iter().filter(|panel| !panel.bars.is_empty()).collect();
        if drawn.is_empty() {
            return y;
        }
        text(body, "section", MARGIN, y + 24.0, &self.title);
        let mut top = y + 36.0;
        for pair in drawn.chunks(2) {
            let heights = pair.iter().enumerate().map(|(place, panel)| {
                panel.draw(body, MARGIN + place as f64 * (COLUMN + MARGIN), top);
                panel.height()
            });
            top += heights.fold(0.0, f64::max) + 12.0;
        }
        top
    }
}

fn sections(results: &Results) -> Vec<Section> {
    let times = |case: &str, verbs: [&str; 2]| {
        verbs.map(|verb| {
            let bars = results.row(case, verb).map(time_bars).unwrap_or_default();
            Panel { title: format!("{verb}, milliseconds"), bars }
        })
    };
    let bursts = |case: &str| {
        ["ADD", "DEL"].map(|verb| {
            let row = results.rows.iter().rfind(|row| row.case == case && row.verb == verb);
            let size = row.and_then(|row| row.burst).map_or(String::new(), |burst| {
                format!(": {} containers, {} at a time", burst.containers, burst.at_once)
            });
            let bars = row.map(burst_bars).unwrap_or_default();
            Panel { title: format!("{verb} per second{size}"), bars }
        })
    };
    let section = |title: &str, panels: [Panel; 2]| Section {
        title: title.to_owned(),
        panels: panels.into(),
    };
    vec![
        section("bridge + host-local", times("bridge", ["ADD", "DEL"])),
        section("bridge + host-local, ipMasq", times("bridge-masq", ["ADD", "DEL"])),
        section("Many at once", bursts("burst")),
        section("Many at once, ipMasq", bursts("burst-masq")),
        section("A process", [start(results), memory(results)]),
    ]
}

fn start(results: &Results) -> Panel {
    let bars = results.row("version", "VERSION").map(time_bars).unwrap_or_default();
    Panel { title: "VERSION, milliseconds".to_owned(), bars }
}

fn memory(results: &Results) -> Panel {
    let row = results.row("bridge", "ADD");
    let bars = row.map(|row| {
        let bar = |figures: &Figures| bar(figures, figures.rss as f64 / 1024.0, None);
        row.figures.iter().filter(|figures| figures.n > 0).map(bar).collect()
    });
    Panel {
        title: "most memory of one, bridge ADD, MiB".to_owned(),
        bars: bars.unwrap_or_default(),
    }
}

fn time_bars(row: &Row) -> Vec<Bar> {
    let of = row.figures.iter().filter(|figures| figures.n > 0);
    of.map(|figures| bar(figures, figures.median, row.ratios.get(&figures.label))).collect()
}

fn burst_bars(row: &Row) -> Vec<Bar> {
    let of = row.figures.iter().filter_map(|figures| Some((figures, figures.per_second?)));
    of.map(|(figures, rate)| bar(figures, rate, row.ratios.get(&figures.label))).collect()
}

fn bar(of: &Figures, value: f64, ratio: Option<&f64>) -> Bar {
    let ratio = ratio.map(|ratio| format!("ours {ratio:.2} ×"));
    Bar {
        label: of.label.clone(),
        class: class(&of.label),
        value,
        base: None,
        note: ratio.unwrap_or_default(),
    }
}

/// The CSS class of a contestant.
fn class(label: &str) -> &'static str {
    match label {
        OURS => "ours",
        FLOOR => "floor",
        _ => "peer",
    }
}

/// A number with its significant digits.
fn number(value: f64) -> String {
    match value {
        value if value < 9.995 => format!("{value:.2}"),
        value if value < 99.95 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

fn text(body: &mut String, class: &str, x: f64, y: f64, said: &str) {
    let said = said.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(body, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{said}</text>");
}
