//! The arguments of the command.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use conformance::requirement::Level;
use conformance::runner;
use conformance::version::VERSIONS;

/// Tests any directory of CNI plugins against the CNI specification and the expectations of
/// operators
#[derive(Debug, Parser)]
#[command(name = "cni-conformance", version, after_help = STATUS)]
pub struct Arguments {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Action,
}

const STATUS: &str = "\
Exit status:
  0  the requirements that count are met, except known failures
  1  a requirement that counts is not met; with --strict also: a requirement could not be tested on this machine
  2  an internal error of the kit, invalid arguments, or no requirement could be tested
  130, 143  Ctrl-C or SIGTERM ended the run; the report contains the results so far and is marked as incomplete

Requirements of level must count, those of --level, and those that --only names. The others are advice.

All tests run in namespaces of their own, as root or as an unprivileged user, and leave the machine unchanged.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Tests plugins
    Run(Box<Run>),
    /// Writes a profile of a plugin that the kit does not know: tries configurations until ADD
    /// works, and says what it tried and what is missing. The exit status is 1 if no ADD works
    Init(Init),
    /// Shows what changes if one suite of plugins replaces another. The exit status is 1 if
    /// something changes, and 2 after an internal error. To compare plugins that this kernel does
    /// not support, run the whole command in the lab: scripts/lab cni-conformance compare ..
    Compare(Box<Compare>),
    /// Shows one or more reports that `run --json` wrote, side by side
    Report(Show),
    /// Lists the requirements
    List(List),
    /// Explains a requirement
    Explain(Explain),
}

/// The arguments of `run`.
#[derive(Debug, Args)]
#[command(after_help = STATUS)]
pub struct Run {
    /// The directory with the plugins
    #[arg(long, value_name = "DIR")]
    pub bin_dir: PathBuf,
    /// Another directory for plugins that these plugins call, such as IPAM plugins; repeatable
    #[arg(long, value_name = "DIR")]
    pub path: Vec<PathBuf>,
    /// The name of the suite in the report; default: the directory
    #[arg(long, value_name = "NAME")]
    pub label: Option<String>,
    /// Test only these plugins
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    pub plugins: Vec<String>,
    /// A network configuration or a profile, for a plugin that the kit does not know; repeatable
    #[arg(long, value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// Test only these versions of the specification
    #[arg(long, value_name = "VERSION", value_delimiter = ',', value_parser = PossibleValuesParser::new(VERSIONS))]
    pub spec: Vec<String>,
    /// Test only the requirements whose IDs begin like this: S2.ADD, or S2.ADD.1
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Test only the requirements of this level and of more binding ones, and fail if one is not
    /// met. Without it all are tested, and the run fails only for `must`, the claim of conformance
    #[arg(long, value_name = "LEVEL", value_enum)]
    pub level: Option<Least>,
    /// Also kill the plugins before each of their system calls; this takes minutes
    #[arg(long)]
    pub crash: bool,
    /// With --crash: kill the plugins only before every N-th system call
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub crash_every: usize,
    /// The number of cases that run in parallel
    #[arg(long, value_name = "N", default_value_t = runner::default_jobs())]
    pub jobs: usize,
    /// Test what this kernel does not support on another kernel. COMMAND runs the command that
    /// follows it as root in a virtual machine; default: the nearest scripts/lab
    #[arg(long, value_name = "COMMAND", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub lab: Option<String>,
    /// A report of an earlier `run --json`: only failures that it does not have fail the run
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// A JSON list of known failures, which do not fail the run: `requirement`, `reason`, and
    /// optionally `plugin` and `version`
    #[arg(long, value_name = "FILE")]
    pub known: Option<PathBuf>,
    /// Treat requirements that cannot be tested on this machine as failed
    #[arg(long)]
    pub strict: bool,
    /// Show all cases, and all calls of failed cases
    #[arg(long, short)]
    pub verbose: bool,
    /// Files to write.
    #[command(flatten)]
    pub files: Files,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Omit from the files what is specific to this machine: times and the names of directories
    #[arg(long)]
    pub portable: bool,
}

/// The arguments of `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// The directory with the plugins
    #[arg(long, value_name = "DIR")]
    pub bin_dir: PathBuf,
    /// Probe these programs; default: all that the kit has no profile of
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub plugins: Vec<String>,
    /// Another directory for plugins that these plugins call, such as IPAM plugins; repeatable
    #[arg(long, value_name = "DIR")]
    pub path: Vec<PathBuf>,
    /// The file to write, for one plugin; default: NAME.json in the current directory
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// The least binding level that is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Least {
    // Comments, because clap would show these as help, in a layout with a paragraph per option.
    // Only what the specification demands.
    Must,
    // Also what it recommends.
    Should,
    // Also what operators expect.
    All,
}

impl Least {
    /// The level of requirements.
    pub fn level(self) -> Level {
        match self {
            Least::Must => Level::Must,
            Least::Should => Level::Should,
            Least::All => Level::Expected,
        }
    }
}

/// The arguments of `compare`.
#[derive(Debug, Args)]
pub struct Compare {
    /// The directory with the plugins that are in use
    #[arg(long, value_name = "DIR")]
    pub a: PathBuf,
    /// The directory with the plugins that would replace them
    #[arg(long, value_name = "DIR")]
    pub b: PathBuf,
    /// Test only these plugins
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    pub plugins: Vec<String>,
    /// The versions of the specification; default: the newest that both suites support
    #[arg(long, value_name = "VERSION", value_delimiter = ',', value_parser = PossibleValuesParser::new(VERSIONS))]
    pub spec: Vec<String>,
    /// A network configuration or a profile to compare with, also for a plugin that the kit does
    /// not know; repeatable
    #[arg(long, value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// The number of scenarios that run in parallel
    #[arg(long, value_name = "N", default_value_t = runner::default_jobs())]
    pub jobs: usize,
    /// Also show differences that follow from an ADD that fails with one suite, and name the
    /// scenarios without differences
    #[arg(long)]
    pub all: bool,
    /// Write the comparison as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Files for a report.
#[derive(Debug, Args)]
pub struct Files {
    /// Write the report as an HTML page, in one file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write a badge as SVG: whether the plugins meet all requirements of level `must`
    #[arg(long, value_name = "FILE")]
    pub badge: Option<PathBuf>,
    /// Write the report as JUnit XML, for CI systems
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}

/// The arguments of `report`.
#[derive(Debug, Args)]
#[command(after_help = STATUS)]
pub struct Show {
    /// Reports that `run --json` wrote; each becomes a column
    #[arg(required = true, value_name = "FILE")]
    pub reports: Vec<PathBuf>,
    /// Check that the plugins in this directory are those of the reports, by their SHA-256 digests
    #[arg(long, value_name = "DIR")]
    pub verify: Option<PathBuf>,
    /// Files to write.
    #[command(flatten)]
    pub files: Files,
    /// Show all cases, and all calls of failed cases
    #[arg(long, short)]
    pub verbose: bool,
}

/// The arguments of `list`.
#[derive(Debug, Args)]
pub struct List {
    /// Print tables in Markdown
    #[arg(long)]
    pub markdown: bool,
}

/// The arguments of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The ID of the requirement
    #[arg(value_name = "ID")]
    pub id: String,
}
