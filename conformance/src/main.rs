//! `cni-conformance`: judges a directory of CNI plugins.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use conformance::lab::{self, Lab};
use conformance::runner::{self, Selection};
use conformance::suite::Suite;
use conformance::{case, compare, ipam, report, requirements};

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
    /// Shows what changes if one suite is swapped for another; exit status 1 if something does, 2 if the kit could not do
    /// its work. What this kernel lacks is compared by running all of it in the lab: scripts/lab cni-conformance compare ..
    Compare(Box<Compare>),
    /// Lists the requirements
    List,
}

#[derive(Debug, Args)]
struct Compare {
    /// The folder with the plugins that are in use
    #[arg(long, value_name = "DIR")]
    a: PathBuf,
    /// The folder with those that they would be swapped for
    #[arg(long, value_name = "DIR")]
    b: PathBuf,
    /// Only these plugins
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    plugins: Vec<String>,
    /// These versions of the specification; if not given, the newest that both suites speak
    #[arg(long, value_name = "VERSION", value_delimiter = ',')]
    spec: Vec<String>,
    /// A configuration to compare with: also for a plugin the kit does not know, or a profile of it
    #[arg(long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// How many scenarios run at the same time
    #[arg(long, value_name = "N", default_value_t = runner::default_jobs())]
    jobs: usize,
    /// Also show what only follows from an ADD that fails with one suite, and name what is the same
    #[arg(long)]
    all: bool,
    /// Write the comparison as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
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
    /// Judge what this kernel lacks on another one, by a command that runs another as root in a virtual machine; the
    /// nearest scripts/lab if not given
    #[arg(long, value_name = "COMMAND", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    lab: Option<String>,
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
        What::Compare(arguments) => compare(&arguments),
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
    let lab = arguments.lab.as_deref().map(Lab::find).transpose()?;
    let shown = folder.display().to_string();
    let mut report = runner::run(&Selection {
        suite: Suite { folder, path },
        label: arguments.label.clone().unwrap_or_else(|| shown.clone()),
        plugins: arguments.plugins.clone(),
        versions: arguments.spec.clone(),
        only: arguments.only.clone(),
        crash: arguments.crash,
        profiles: read(&arguments.config)?,
        crash_every: arguments.crash_every,
        jobs: arguments.jobs,
    })?;
    if let Some(lab) = lab {
        lab.fill(&mut report, &lab_arguments(arguments)?)?;
    }
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

/// The arguments with which the kit judges the same in the lab.
fn lab_arguments(arguments: &Run) -> Result<Vec<String>, String> {
    let files = [
        ("--bin-dir", std::slice::from_ref(&arguments.bin_dir)),
        ("--path", arguments.path.as_slice()),
        ("--config", arguments.config.as_slice()),
    ];
    let mut given = Vec::new();
    for (option, paths) in files {
        for path in paths {
            given.extend([option.to_owned(), lab::absolute(path)?]);
        }
    }
    for (option, values) in [("--spec", &arguments.spec), ("--only", &arguments.only)] {
        if !values.is_empty() {
            given.extend([option.to_owned(), values.join(",")]);
        }
    }
    given.extend(arguments.crash.then(|| "--crash".to_owned()));
    Ok(given)
}

fn compare(arguments: &Compare) -> Result<ExitCode, String> {
    let suite =
        |folder| Ok::<_, String>(Suite { folder: runner::absolute(folder)?, path: Vec::new() });
    let comparison = compare::compare(&compare::Selection {
        suites: [suite(&arguments.a)?, suite(&arguments.b)?],
        plugins: arguments.plugins.clone(),
        versions: arguments.spec.clone(),
        profiles: read(&arguments.config)?,
        all: arguments.all,
        jobs: arguments.jobs,
    })?;
    print!("{}", compare::text(&comparison, arguments.all, std::io::stdout().is_terminal()));
    if let Some(file) = &arguments.json {
        write(
            file,
            &serde_json::to_string_pretty(&comparison).map_err(|error| error.to_string())?,
        )?;
    }
    Ok(match () {
        () if !comparison.trouble.is_empty() => ExitCode::from(CANNOT),
        () if comparison.differs() => ExitCode::FAILURE,
        () => ExitCode::SUCCESS,
    })
}

fn read(files: &[PathBuf]) -> Result<Vec<String>, String> {
    let read = |file: &PathBuf| {
        fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
    };
    files.iter().map(read).collect()
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, format!("{text}\n")).map_err(|error| format!("{}: {error}", file.display()))
}

fn list() {
    for requirement in requirements::all() {
        println!("{:<14} {}", requirement.id, requirement.says);
    }
}
