//! The results as a table for the terminal.

use std::fmt::Write;

use super::{Figures, Row, Sandboxes};

/// The table.
pub fn table(results: &Sandboxes) -> String {
    let machine = &results.machine;
    let quick = if results.quick { ", a quick run" } else { "" };
    let mut text = format!(
        "{}, {}, processors: {}, Linux {}, {}{quick}\n",
        results.runtime, machine.processor, machine.cores, machine.kernel, machine.date
    );
    for rows in results.groups() {
        let Some(Row { title, at_once, .. }) = rows.first() else { continue };
        let how = match at_once {
            1 => "one after another".to_owned(),
            many => format!("{many} at once"),
        };
        let _ = writeln!(
            text,
            "\n{title}: {how}\n  {:6} {:24} {:>9} {:>9} {:>9} {:>9} {:>9} {:>6}  ours is",
            "", "ms", "all", "network", "median", "p90", "p99", "turns"
        );
        for row in rows {
            row.figures.iter().for_each(|figures| line(&mut text, row, figures));
        }
    }
    text
}

fn line(text: &mut String, row: &Row, figures: &Figures) {
    let Figures { label, turns, all, median, p90, p99, .. } = figures;
    let network = figures.network.map_or(String::new(), |network| format!("{network:.1}"));
    let note = match (figures.failed.as_str(), figures.ratio) {
        ("", Some(ratio)) => format!("{ratio:.2} x"),
        ("", None) => String::new(),
        (failed, _) => format!("FAILED: {failed}"),
    };
    let _ = writeln!(
        text,
        "  {:6} {label:24} {all:9.1} {network:>9} {median:9.1} {p90:9.1} {p99:9.1} {turns:6}  \
         {note}",
        row.verb
    );
}
