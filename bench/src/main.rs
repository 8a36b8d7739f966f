//! Measures plugins against others. `scripts/bench` builds and runs it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bench::case::Case;
use bench::cases::CASES;
use bench::contestant::Contestant;
use bench::measure::{self, Turns};
use bench::results::Results;
use bench::sandboxes::Sandboxes;
use bench::{svg, table};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

/// Measures plugins against others, in turn, in one run.
#[derive(Debug, Parser)]
#[command(name = "scripts/bench")]
struct Arguments {
    /// The directory with this project's binaries
    #[arg(long, value_name = "DIR", default_value = "bin")]
    ours: PathBuf,
    /// A directory with plugins of another project; repeatable
    #[arg(long, value_name = "[LABEL=]DIR")]
    peer: Vec<String>,
    /// Measure only these cases; a name also selects all cases that begin with it and a dash
    #[arg(long, value_name = "CASE,..", value_delimiter = ',')]
    only: Vec<String>,
    /// Measure fewer turns and cases
    #[arg(long)]
    quick: bool,
    /// Measure the cases that need the lab's kernel, which this machine must have
    #[arg(long)]
    lab: bool,
    /// The directory of results.json and results.svg
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Measure nothing: make the table and the picture from results.json
    #[arg(long)]
    report: bool,
}

fn main() -> ExitCode {
    match work(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work(arguments: &Arguments) -> Result<(), String> {
    // Partial results do not replace complete ones.
    let out = arguments.out.as_ref().filter(|_| arguments.only.is_empty() && !arguments.lab);
    let results = match (arguments.report, out) {
        (true, Some(out)) => read(&out.join("results.json"))?,
        (true, None) => return Err("--report needs --out DIR, and no --only or --lab".to_owned()),
        (false, _) => run(arguments)?,
    };
    if let (true, Some(out)) = (arguments.report, out)
        && let Some(under_containerd) = Sandboxes::read(out)?
    {
        under_containerd.write(out)?;
    }
    if let Some(out) = out {
        let text = serde_json::to_string_pretty(&results).map_err(|error| error.to_string())?;
        write(&out.join("results.json"), &(text + "\n"))?;
        write(&out.join("results.svg"), &svg::picture(&results))?;
    }
    let printed = io::stdout().write_all(table::table(&results).as_bytes());
    printed.map_err(|error| format!("print: {error}"))
}

fn run(arguments: &Arguments) -> Result<Results, String> {
    let me = std::env::current_exe().map_err(|error| error.to_string())?;
    let tools = me.parent().unwrap_or(Path::new("."));
    let ours = fs::canonicalize(&arguments.ours)
        .map_err(|error| format!("{}: {error}", arguments.ours.display()))?;
    let mut all = vec![Contestant::ours(ours)];
    for given in &arguments.peer {
        all.push(Contestant::peer(given)?);
    }
    all.push(Contestant::floor(tools.join("floor")));
    let turns = if arguments.quick { Turns::Few } else { Turns::All };
    let chosen = |case: &&Case| measure::is_chosen(case, &arguments.only, turns, arguments.lab);
    let cases: Vec<&'static Case> = CASES.iter().filter(chosen).collect();
    if cases.is_empty() {
        let names: Vec<&str> = CASES.iter().map(|case| case.id).collect();
        return Err(format!("no such case; there are {}", names.join(", ")));
    }
    let mut results = Results::here(&all, arguments.quick);
    let bar = progress(cases.len());
    for case in cases {
        let begun = Instant::now();
        results.rows.extend(measure::measure(case, &all, &tools.join("launch"), &turns, &bar)?);
        bar.inc(1);
        if bar.is_hidden() {
            eprintln!("{}: {:.0} s", case.id, begun.elapsed().as_secs_f64());
        }
    }
    bar.finish_and_clear();
    Ok(results)
}

/// A progress bar, if standard error is a terminal.
fn progress(count: usize) -> ProgressBar {
    let bar = ProgressBar::new(count as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len}, {elapsed}  {wide_msg}") {
        bar.set_style(style.progress_chars("━╸─"));
    }
    // The clock continues during a long turn.
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

fn read(file: &Path) -> Result<Results, String> {
    let say = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let text = fs::read_to_string(file).map_err(|error| say(&error))?;
    serde_json::from_str(&text).map_err(|error| say(&error))
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}
