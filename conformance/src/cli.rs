//! The arguments of the command.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand};
use conformance::runner;
use conformance::suite::VERSIONS;

/// Judges any directory of CNI plugins by the specification and by what operators count on.
#[derive(Debug, Parser)]
#[command(name = "cni-conformance", version, after_help = STATUS)]
pub struct Arguments {
    /// What is to be done.
    #[command(subcommand)]
    pub command: What,
}

const STATUS: &str = "\
Exit status:
  0  every requirement that was tested is met
  1  one is not; with --strict also: one could not be tested here
  2  the kit could not do its work, or was called in a wrong way

Everything runs in namespaces of its own, as root or as an ordinary user, and changes nothing on the machine.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Tests plugins
    Run(Box<Run>),
    /// Shows what changes if one suite is swapped for another; exit status 1 if something does, 2 if the kit could not do
    /// its work. What this kernel lacks is compared by running all of it in the lab: scripts/lab cni-conformance compare ..
    Compare(Box<Compare>),
    /// Shows reports that `run --json` wrote: several suites beside each other
    Report(Show),
    /// Lists the requirements
    List(List),
    /// Tells what is to be known of a requirement
    Explain(Explain),
}

/// What `run` is told.
#[derive(Debug, Args)]
#[command(after_help = STATUS)]
pub struct Run {
    /// The folder with the plugins
    #[arg(long, value_name = "DIR")]
    pub bin_dir: PathBuf,
    /// Further folders for plugins that these call, such as address management plugins
    #[arg(long, value_name = "DIR")]
    pub path: Vec<PathBuf>,
    /// What the suite is called in the report; the folder if not given
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
    /// Only these plugins
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    pub plugins: Vec<String>,
    /// A configuration for a plugin the kit does not know, or a profile of it
    #[arg(long, value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// Only these versions of the specification
    #[arg(long, value_name = "VERSION", value_delimiter = ',', value_parser = PossibleValuesParser::new(VERSIONS))]
    pub spec: Vec<String>,
    /// Only the requirements whose id begins so: S2.ADD, or S2.ADD.1
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Also kill the plugins before each of their system calls, which takes minutes
    #[arg(long)]
    pub crash: bool,
    /// Kill them before every N-th call only
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub crash_every: usize,
    /// How many cases run at the same time
    #[arg(long, value_name = "N", default_value_t = runner::default_jobs())]
    pub jobs: usize,
    /// Judge what this kernel lacks on another one, by a command that runs another as root in a virtual machine; the
    /// nearest scripts/lab if not given
    #[arg(long, value_name = "COMMAND", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub lab: Option<String>,
    /// Count what cannot be tested here as failed
    #[arg(long)]
    pub strict: bool,
    /// Show every case, and every call of those that failed
    #[arg(long, short)]
    pub verbose: bool,
    /// Files to be written.
    #[command(flatten)]
    pub files: Files,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Leave out of the files what is this machine's only: times, and the names of folders
    #[arg(long)]
    pub portable: bool,
}

/// What `compare` is told.
#[derive(Debug, Args)]
pub struct Compare {
    /// The folder with the plugins that are in use
    #[arg(long, value_name = "DIR")]
    pub a: PathBuf,
    /// The folder with those that they would be swapped for
    #[arg(long, value_name = "DIR")]
    pub b: PathBuf,
    /// Only these plugins
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    pub plugins: Vec<String>,
    /// These versions of the specification; if not given, the newest that both suites speak
    #[arg(long, value_name = "VERSION", value_delimiter = ',', value_parser = PossibleValuesParser::new(VERSIONS))]
    pub spec: Vec<String>,
    /// A configuration to compare with: also for a plugin the kit does not know, or a profile of it
    #[arg(long, value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// How many scenarios run at the same time
    #[arg(long, value_name = "N", default_value_t = runner::default_jobs())]
    pub jobs: usize,
    /// Also show what only follows from an ADD that fails with one suite, and name what is the same
    #[arg(long)]
    pub all: bool,
    /// Write the comparison as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Files that a report is written to.
#[derive(Debug, Args)]
pub struct Files {
    /// Write the report as a page for a browser, in one file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write the report as JUnit's XML, for CI systems
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// What `report` is told.
#[derive(Debug, Args)]
#[command(after_help = STATUS)]
pub struct Show {
    /// Reports as `run --json` writes them; each is a column
    #[arg(required = true, value_name = "FILE")]
    pub reports: Vec<PathBuf>,
    /// Files to be written.
    #[command(flatten)]
    pub files: Files,
    /// Show every case, and every call of those that failed
    #[arg(long, short)]
    pub verbose: bool,
}

/// What `list` is told.
#[derive(Debug, Args)]
pub struct List {
    /// As tables in Markdown
    #[arg(long)]
    pub markdown: bool,
}

/// What `explain` is told.
#[derive(Debug, Args)]
pub struct Explain {
    /// The requirement
    #[arg(value_name = "ID")]
    pub id: String,
}
