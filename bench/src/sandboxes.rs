//! The durations of starting and stopping sandboxes under a container runtime, as in
//! `bench/containerd.json`. The package `e2e` measures them.

mod picture;
mod table;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::contestant::OURS;
use crate::results::Machine;
use crate::statistics::{median, percentile, rounded};

pub use picture::picture;
pub use table::table;

/// The name in the results of sandboxes without a network of their own: for these the runtime calls
/// no plugin.
pub const NO_NETWORK: &str = "no network";

/// The files of the results and of their picture.
const FILE: &str = "containerd.json";
const PICTURE: &str = "containerd.svg";

/// The results of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sandboxes {
    /// The machine and the date.
    pub machine: Machine,
    /// The name and version of the runtime.
    pub runtime: String,
    /// Whether it was a quick run with few turns and cases.
    pub quick: bool,
    /// A row for starts and one for stops, for each case and number of sandboxes at once.
    pub rows: Vec<Row>,
}

/// Turns in which this number of sandboxes was started, or stopped, at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The name of the case.
    pub case: String,
    /// The title of the case.
    pub title: String,
    /// `start` or `stop`.
    pub verb: String,
    /// The number of sandboxes in a turn, all at once.
    pub at_once: usize,
    /// By contestant, in the order of their turns.
    pub figures: Vec<Figures>,
}

/// The figures of one contestant, in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// The contestant.
    pub label: String,
    /// The number of turns.
    pub turns: usize,
    /// From the first request of a turn to the last answer: the median over the turns.
    pub all: f64,
    /// From the request for a sandbox to the answer.
    pub median: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The part of `all` that is due to the network: the median difference, over the turns, to
    /// sandboxes without a network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<f64>,
    /// The ratio of this project's `all` to this one's: the median over the turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// The reason why figures are missing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub failed: String,
}

/// A turn of a contestant: sandboxes that were started, or stopped, at once. Milliseconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Turn {
    /// From the first request to the last answer.
    pub all: f64,
    /// The duration of each sandbox.
    pub each: Vec<f64>,
}

/// The figures of contestants that had turns alternately: their first turns belong together, and so
/// on.
pub fn figures(turns: &[(String, Vec<Turn>)]) -> Vec<Figures> {
    let of = |label: &str| turns.iter().find(|(of, _)| of == label).map(|(_, turns)| turns);
    let pairs = |one: Option<&Vec<Turn>>, other: &[Turn], by: fn(f64, f64) -> f64| {
        let pairs = one.into_iter().flatten().zip(other);
        let values: Vec<f64> = pairs.map(|(one, other)| by(one.all, other.all)).collect();
        (!values.is_empty()).then(|| rounded(median(&values)))
    };
    let figure = |(label, turns): &(String, Vec<Turn>)| {
        let all: Vec<f64> = turns.iter().map(|turn| turn.all).collect();
        let each: Vec<f64> = turns.iter().flat_map(|turn| turn.each.iter().copied()).collect();
        let network = pairs(of(NO_NETWORK), turns, |without, with| with - without);
        let ratio = pairs(of(OURS), turns, |ours, theirs| ours / theirs);
        Figures {
            label: label.clone(),
            turns: turns.len(),
            all: rounded(median(&all)),
            median: rounded(median(&each)),
            p90: rounded(percentile(&each, 90)),
            p99: rounded(percentile(&each, 99)),
            network: network.filter(|_| label != NO_NETWORK),
            ratio: ratio.filter(|_| label != OURS),
            failed: String::new(),
        }
    };
    turns.iter().map(figure).collect()
}

impl Sandboxes {
    /// The rows by case and number at once, in the order of measurement.
    fn groups(&self) -> impl Iterator<Item = &[Row]> {
        self.rows.chunk_by(|one, next| (&one.case, one.at_once) == (&next.case, next.at_once))
    }

    /// The results of an earlier run in a directory, if any.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn read(folder: &Path) -> Result<Option<Sandboxes>, String> {
        let file = folder.join(FILE);
        match fs::read_to_string(&file) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| of(&file, &error)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(of(&file, &error)),
        }
    }

    /// Writes the results and their picture to a directory.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), String> {
        let (file, drawn) = (folder.join(FILE), folder.join(PICTURE));
        let text = serde_json::to_string_pretty(self).map_err(|error| of(&file, &error))?;
        fs::write(&file, text + "\n").map_err(|error| of(&file, &error))?;
        fs::write(&drawn, picture(self)).map_err(|error| of(&drawn, &error))
    }
}

fn of(file: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", file.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_compared_with_those_of_the_same_minute() {
        let turns = |all: [f64; 3]| all.map(|all| Turn { all, each: vec![all] }).to_vec();
        let found = figures(&[
            (OURS.to_owned(), turns([20.0, 200.0, 24.0])),
            ("theirs".to_owned(), turns([40.0, 400.0, 44.0])),
            (NO_NETWORK.to_owned(), turns([10.0, 110.0, 10.0])),
        ]);
        let seen: Vec<_> = found.iter().map(|of| (of.all, of.network, of.ratio)).collect();
        assert_eq!(
            seen,
            [(24.0, Some(14.0), None), (44.0, Some(34.0), Some(0.5)), (10.0, None, Some(2.0))]
        );
        assert_eq!((found[0].median, found[0].p90), (24.0, 200.0));
    }
}
