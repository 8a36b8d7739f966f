//! What was measured, as `bench/results.json` has it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::contestant::{Contestant, Kind, OURS};

/// Everything that one run measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Where and when.
    pub machine: Machine,
    /// Whether it was a quick run: few turns, few cases.
    pub quick: bool,
    /// Who was measured, and how large their files are.
    pub suites: Vec<Suite>,
    /// What was measured: a row for each verb of each case, and for each burst.
    pub rows: Vec<Row>,
}

/// Where and when it was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The kind of processor.
    pub processor: String,
    /// How many of them.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// The day, in UTC.
    pub date: String,
}

/// The binaries of a contestant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Suite {
    /// Who.
    pub label: String,
    /// The sizes of its files, in bytes.
    pub files: BTreeMap<String, u64>,
    /// All of them together, in bytes.
    pub bytes: u64,
}

/// A verb of a case, or a burst.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The case's name.
    pub case: String,
    /// The case's name for people.
    pub title: String,
    /// ADD, CHECK, ..
    pub verb: String,
    /// How many addresses were taken before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<u32>,
    /// How many containers came or went, and how many at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Burst>,
    /// By contestant, in the order of their turns.
    pub figures: Vec<Figures>,
    /// Ours divided by theirs, by contestant: of times the median of the turns' ratios, of bursts that of the operations per
    /// second.
    pub ratios: BTreeMap<String, f64>,
}

/// A burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Burst {
    /// How many containers.
    pub containers: usize,
    /// How many at a time.
    pub at_once: usize,
}

/// What one contestant needed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Who.
    pub label: String,
    /// How many were measured.
    pub n: usize,
    /// Milliseconds from the start of the process to its end.
    pub median: f64,
    /// A tenth was faster.
    pub p10: f64,
    /// A tenth was slower.
    pub p90: f64,
    /// A hundredth was slower. Of bursts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
    /// Operations per second. Of bursts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<f64>,
    /// Milliseconds of processor time of an operation, of all its processes. (Median; of bursts the mean.)
    pub cpu: f64,
    /// The most memory that one process had, in KiB.
    pub rss: u64,
    /// Page faults of an operation that needed no disk. (Median; of bursts the mean.)
    pub faults: u64,
    /// System calls of an operation, counted apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub syscalls: Option<usize>,
    /// Programs that it executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execs: Option<usize>,
    /// Why there is nothing, or less.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub failed: String,
}

impl Machine {
    /// This one, today.
    pub fn here() -> Machine {
        Machine {
            processor: processor(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease"),
            date: date(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { processor, cores, kernel, date } = self;
        write!(f, "{processor} · processors: {cores} · Linux {kernel} · {date}")
    }
}

impl Results {
    /// Nothing yet, of this machine.
    pub fn here(contestants: &[Contestant], quick: bool) -> Results {
        let machine = Machine::here();
        let suites = contestants.iter().filter_map(suite).collect();
        Results { machine, quick, suites, rows: Vec::new() }
    }

    /// The rows of a verb of a case.
    pub fn row(&self, case: &str, verb: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.case == case && row.verb == verb)
    }
}

impl Row {
    /// What one contestant needed.
    pub fn of(&self, label: &str) -> Option<&Figures> {
        self.figures.iter().find(|figures| figures.label == label && figures.n > 0)
    }

    /// What ours needed.
    pub fn ours(&self) -> Option<&Figures> {
        self.of(OURS)
    }
}

fn suite(contestant: &Contestant) -> Option<Suite> {
    let (Kind::Ours(folder) | Kind::Peer { folder, .. }) = &contestant.kind else { return None };
    let files = sizes(folder);
    let bytes = files.values().sum();
    Some(Suite { label: contestant.label.clone(), files, bytes })
}

/// The sizes of the programs in a folder. The kit is no plugin.
fn sizes(folder: &Path) -> BTreeMap<String, u64> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        (!name.starts_with('.') && name != "cni-conformance").then_some((name, meta.len()))
    };
    entries.filter_map(size).collect()
}

fn processor() -> String {
    let text = read("/proc/cpuinfo");
    let line = text.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, name)| name.trim()).to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn date() -> String {
    let output = Command::new("date").args(["-u", "+%F"]).output();
    output.map_or(String::new(), |done| String::from_utf8_lossy(&done.stdout).trim().to_owned())
}
