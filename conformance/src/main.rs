//! `cni-conformance`: judges a directory of CNI plugins.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use conformance::runner::{self, Selection};
use conformance::suite::Suite;
use conformance::{case, ipam, report, requirements};

/// Judges any directory of CNI plugins by the specification and by what operators count on.
#[derive(Debug, Parser)]
#[command(name = "cni-conformance", version)]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Tests plugins; exit status 1 if a requirement failed, 2 if the kit could not do its work
    Run(Box<Run>),
    /// Lists the requirements
    List,
}

#[derive(Debug, Args)]
struct Run {
    /// The folder with the plugins
    #[arg(long, value_name = "DIR")]
    bin_dir: PathBuf,
    /// Further folders for plugins that these call, such as address management plugins
    #[arg(long, value_name = "DIR")]
    path: Vec<PathBuf>,
    /// What the suite is called in the report; the folder if not given
    #[arg(long, value_name = "NAME")]
    label: Option<String>,
    /// Only these plugins
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    plugins: Vec<String>,
    /// A configuration for a plugin the kit does not know, or a profile of it
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Only these versions of the specification
    #[arg(long, value_name = "VERSION", value_delimiter = ',')]
    spec: Vec<String>,
    /// Only the requirements whose id begins so
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    only: Vec<String>,
    /// Also kill the plugins before each of their system calls, which takes minutes
    #[arg(long)]
    crash: bool,
    /// Kill them before every N-th call only
    #[arg(long, value_name = "N", default_value_t = 1)]
    crash_every: usize,
    /// How many cases run at the same time
    #[arg(long, value_name = "N", default_value_t = runner::default_jobs())]
    jobs: usize,
    /// Count what cannot be tested here as failed
    #[arg(long)]
    strict: bool,
    /// Show every case, and every call of those that failed
    #[arg(long, short)]
    verbose: bool,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The kit could not do its work.
const CANNOT: u8 = 2;

fn main() -> ExitCode {
    if ipam::is_meant() {
        return ipam::main();
    }
    if let Some(ended) = case::hidden() {
        return ended;
    }
    let ended = match Arguments::parse().command {
        What::Run(arguments) => run(&arguments),
        What::List => {
            list();
            Ok(ExitCode::SUCCESS)
        }
    };
    ended.unwrap_or_else(|error| {
        eprintln!("cni-conformance: {error}");
        ExitCode::from(CANNOT)
    })
}

fn run(arguments: &Run) -> Result<ExitCode, String> {
    let folder = runner::absolute(&arguments.bin_dir)?;
    let path = arguments.path.iter().map(runner::absolute).collect::<Result<_, _>>()?;
    let read = |file: &PathBuf| {
        fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
    };
    let shown = folder.display().to_string();
    let report = runner::run(&Selection {
        suite: Suite { folder, path },
        label: arguments.label.clone().unwrap_or_else(|| shown.clone()),
        plugins: arguments.plugins.clone(),
        versions: arguments.spec.clone(),
        only: arguments.only.clone(),
        crash: arguments.crash,
        crash_every: arguments.crash_every,
        profiles: arguments.config.iter().map(read).collect::<Result<_, _>>()?,
        jobs: arguments.jobs,
    })?;
    print!("{}", report::table(&report, &shown, arguments.verbose));
    if let Some(file) = &arguments.json {
        write(file, &serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?)?;
    }
    let count = report.count();
    Ok(match () {
        () if count.failed > 0 || (arguments.strict && count.untestable > 0) => ExitCode::FAILURE,
        () if count.broken > 0 => ExitCode::from(CANNOT),
        () => ExitCode::SUCCESS,
    })
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, format!("{text}\n")).map_err(|error| format!("{}: {error}", file.display()))
}

fn list() {
    for requirement in requirements::all() {
        println!("{:<14} {}", requirement.id, requirement.says);
    }
}
