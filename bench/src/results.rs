//! The results, as in `bench/results.json`.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::contestant::{Contestant, Kind, OURS};

/// The results of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// The machine and the date.
    pub machine: Machine,
    /// Whether it was a quick run with few turns and cases.
    pub quick: bool,
    /// The contestants, with the sizes of their files.
    pub suites: Vec<Suite>,
    /// The measurements: a row for each call of each case, and for each burst.
    pub rows: Vec<Row>,
}

/// The machine and the date of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The model of the processor.
    pub processor: String,
    /// The number of processors.
    pub cores: usize,
    /// The release of the kernel.
    pub kernel: String,
    /// The day, in UTC.
    pub date: String,
}

/// The binaries of a contestant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Suite {
    /// The contestant.
    pub label: String,
    /// The sizes of the files, in bytes.
    pub files: BTreeMap<String, u64>,
    /// The sum of the sizes, in bytes.
    pub bytes: u64,
}

/// A call of a case, or a burst.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The name of the case.
    pub case: String,
    /// The title of the case.
    pub title: String,
    /// ADD, CHECK, ..
    pub verb: String,
    /// The number of addresses that were allocated before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<u32>,
    /// The number of containers, and the number of parallel calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<Burst>,
    /// By contestant, in the order of their turns.
    pub figures: Vec<Figures>,
    /// The ratio of this project to each contestant: of durations the median over the turns, of
    /// bursts the ratio of operations per second.
    pub ratios: BTreeMap<String, f64>,
}

/// A burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Burst {
    /// The number of containers.
    pub containers: usize,
    /// The number of parallel calls.
    pub at_once: usize,
}

/// The figures of one contestant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The contestant.
    pub label: String,
    /// The number of measurements.
    pub n: usize,
    /// Milliseconds from the start of the process to its end.
    pub median: f64,
    /// The 10th percentile.
    pub p10: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile. Bursts only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99: Option<f64>,
    /// Operations per second. Bursts only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_second: Option<f64>,
    /// Milliseconds of processor time per operation, of all its processes. (Median; for bursts the
    /// mean.)
    pub cpu: f64,
    /// The maximum memory of one process, in KiB.
    pub rss: u64,
    /// Page faults per operation that needed no disk. (Median; for bursts the mean.)
    pub faults: u64,
    /// System calls per operation, counted in a separate run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub syscalls: Option<usize>,
    /// The number of programs that it executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execs: Option<usize>,
    /// The reason why figures are missing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub failed: String,
}

impl Machine {
    /// This machine, today.
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
    /// Empty results of this machine.
    pub fn here(contestants: &[Contestant], quick: bool) -> Results {
        let machine = Machine::here();
        let suites = contestants.iter().filter_map(suite).collect();
        Results { machine, quick, suites, rows: Vec::new() }
    }

    /// The rows for a call of a case.
    pub fn row(&self, case: &str, verb: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.case == case && row.verb == verb)
    }
}

impl Row {
    /// The figures of one contestant.
    pub fn of(&self, label: &str) -> Option<&Figures> {
        self.figures.iter().find(|figures| figures.label == label && figures.n > 0)
    }

    /// The figures of this project.
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

/// The sizes of the programs in a directory, except the conformance kit, which is not a plugin.
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
