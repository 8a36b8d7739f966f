//! The results as a table for the terminal.

use std::fmt::Write;

use crate::contestant::OURS;
use crate::results::{Figures, Results, Row};

/// The table.
pub fn table(results: &Results) -> String {
    let machine = &results.machine;
    let mut text = format!(
        "{}, processors: {}, Linux {}, {}{}\n",
        machine.processor,
        machine.cores,
        machine.kernel,
        machine.date,
        if results.quick { ", a quick run" } else { "" }
    );
    for suite in &results.suites {
        let (mib, files) = (suite.bytes as f64 / 1048576.0, suite.files.len());
        let _ = writeln!(text, "{}: {files} binaries, {mib:.1} MiB", suite.label);
    }
    for rows in results.rows.chunk_by(|one, next| one.case == next.case) {
        let title = rows.first().map_or("", |row| row.title.as_str());
        let _ = write!(text, "\n{title}\n");
        match rows.iter().any(|row| row.burst.is_some()) {
            true => bursts(&mut text, rows),
            false => verbs(&mut text, rows),
        }
    }
    text
}

fn verbs(text: &mut String, rows: &[Row]) {
    let _ = writeln!(
        text,
        "  {:7} {:24} {:>9} {:>9} {:>9} {:>9} {:>8} {:>7} {:>8} {:>6} {:>4}  ours is",
        "",
        "ms, memory in KiB",
        "median",
        "p10",
        "p90",
        "cpu",
        "memory",
        "faults",
        "syscalls",
        "execs",
        "n"
    );
    for row in rows {
        for figures in &row.figures {
            let Figures { label, median, p10, p90, cpu, rss, faults, n, .. } = figures;
            let number = |value: Option<usize>| value.map_or(String::new(), |v| v.to_string());
            let (syscalls, execs) = (number(figures.syscalls), number(figures.execs));
            let _ = writeln!(
                text,
                "  {:7} {label:24} {median:9.2} {p10:9.2} {p90:9.2} {cpu:9.2} {rss:8} {faults:7} \
                 {syscalls:>8} {execs:>6} {n:4}  {}",
                row.verb,
                ratio(row, figures)
            );
        }
    }
}

fn bursts(text: &mut String, rows: &[Row]) {
    let _ = writeln!(
        text,
        "  {:7} {:>10} {:>8} {:24} {:>9} {:>9} {:>9} {:>9} {:>8}  ours is",
        "", "containers", "at once", "", "per s", "p50 ms", "p99 ms", "cpu ms", "memory"
    );
    for row in rows {
        let Some(burst) = row.burst else { continue };
        for figures in &row.figures {
            let Figures { label, median, cpu, rss, .. } = figures;
            let (per_second, p99) =
                (figures.per_second.unwrap_or_default(), figures.p99.unwrap_or_default());
            let _ = writeln!(
                text,
                "  {:7} {:>10} {:>8} {label:24} {per_second:9.1} {median:9.2} {p99:9.2} {cpu:9.2} \
                 {rss:8}  {}",
                row.verb,
                burst.containers,
                burst.at_once,
                ratio(row, figures)
            );
        }
    }
}

/// The ratio to another contestant: `0.25 x`. Or why the other has no figure.
fn ratio(row: &Row, of: &Figures) -> String {
    let ratio = row.ratios.get(&of.label).filter(|_| of.label != OURS);
    let failed = of.failed.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    match (ratio, failed.is_empty()) {
        (Some(ratio), true) => format!("{ratio:.2} x"),
        (None, true) => String::new(),
        (_, false) => format!("FAILED: {failed}"),
    }
}
