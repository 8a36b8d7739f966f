//! Measures the start and stop of sandboxes under containerd, with these plugins, with others, and
//! without any. `scripts/e2e bench` builds and runs it; `bench/README.md` explains the output.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "as the tests: a panic is how it reports what is broken around it"
)]

mod case;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use bench::results::Machine;
use bench::sandboxes::{Figures, Row, Sandboxes, Turn, figures, table};
use case::{CASES, Case, Contestant};
use clap::Parser;
use e2e::Release;
use stage::{Ran, Stage};

/// Measures the start and stop of sandboxes under containerd, for all contestants in turn.
#[derive(Debug, Parser)]
#[command(name = "scripts/e2e bench --")]
struct Arguments {
    /// A directory with plugins of another project; repeatable
    #[arg(long, value_name = "[LABEL=]DIR")]
    peer: Vec<String>,
    /// Measure only these cases
    #[arg(long, value_name = "CASE,..", value_delimiter = ',')]
    only: Vec<String>,
    /// Measure fewer turns and cases
    #[arg(long)]
    quick: bool,
    /// The number of sandboxes that start and stop one after another; default: as in the case
    #[arg(long, value_name = "N")]
    turns: Option<usize>,
    /// The number of bursts; default: as in the case
    #[arg(long, value_name = "N")]
    bursts: Option<usize>,
    /// The number of sandboxes in a burst
    #[arg(long, value_name = "N", default_value_t = 30)]
    at_once: usize,
    /// Use Debian's newest containerd instead of this release's
    #[arg(long)]
    newest: bool,
    /// The directory for containerd.json and containerd.svg; default: write no files
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    match work(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sandboxes: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work(arguments: &Arguments) -> Result<(), String> {
    let all = Contestant::all(&arguments.peer)?;
    let is_chosen = |case: &&Case| match arguments.only.as_slice() {
        [] => !arguments.quick || case.quick,
        only => only.iter().any(|id| id == case.id),
    };
    let cases: Vec<&'static Case> = CASES.iter().filter(is_chosen).collect();
    if cases.is_empty() {
        return Err(format!("no such case; there are {}", CASES.map(|case| case.id).join(", ")));
    }
    let release = if arguments.newest { Release::Newest } else { Release::Stable };
    let mut results = Sandboxes {
        machine: Machine::here(),
        runtime: String::new(),
        quick: arguments.quick,
        rows: Vec::new(),
    };
    for case in cases {
        let mut measured = Measured::new(case, &all, release)?;
        results.runtime.clone_from(&measured.runtime);
        let few = if arguments.quick { 10 } else { 1 };
        let turns = arguments.turns.unwrap_or(case.turns.div_ceil(few));
        let bursts = arguments.bursts.unwrap_or(case.bursts.div_ceil(few));
        let planned = [(1, turns), (arguments.at_once, bursts)];
        for (at_once, turns) in planned.into_iter().filter(|(_, turns)| *turns > 0) {
            results.rows.extend(measured.rows(at_once, turns)?);
        }
    }
    if let Some(out) = &arguments.out {
        results.write(out)?;
    }
    print!("{}", table(&results));
    Ok(())
}

/// A case that is being measured.
struct Measured {
    case: &'static Case,
    runtime: String,
    places: Vec<Place>,
}

/// A contestant, with its measurements so far.
struct Place {
    who: Contestant,
    stage: Stage,
    ran: Vec<Ran>,
    failed: String,
}

impl Measured {
    fn new(case: &'static Case, all: &[Contestant], release: Release) -> Result<Measured, String> {
        let places = all.iter().map(|who| Place {
            who: who.clone(),
            stage: Stage::new(case, who, release),
            ran: Vec::new(),
            failed: String::new(),
        });
        let mut measured = Measured { case, runtime: String::new(), places: places.collect() };
        // The first turn makes shared objects and loads kernel modules.
        for at_once in [1, 4] {
            measured.round(at_once)?;
        }
        let ran = measured.places.iter().find_map(|place| place.ran.first());
        measured.runtime = ran.map_or(String::new(), |ran| ran.runtime.clone());
        Ok(measured)
    }

    /// Measures this number of turns of all contestants.
    fn rows(&mut self, at_once: usize, turns: usize) -> Result<[Row; 2], String> {
        let begun = Instant::now();
        self.places.iter_mut().for_each(|place| place.ran.clear());
        for _ in 0..turns {
            self.round(at_once)?;
            // The last contestant of a round begins the next one, so that no contestant is always
            // first, or always after the same one.
            self.places.reverse();
        }
        if turns % 2 == 1 {
            self.places.reverse();
        }
        let took = begun.elapsed().as_secs_f64();
        eprintln!("{}: {turns} turns, {at_once} at once: {took:.0} s", self.case.id);
        Ok([
            self.row("start", at_once, |ran| ran.start.clone()),
            self.row("stop", at_once, |ran| ran.stop.clone()),
        ])
    }

    /// Each contestant has a turn. A peer that fails is left out from then on.
    fn round(&mut self, at_once: usize) -> Result<(), String> {
        for place in self.places.iter_mut().filter(|place| place.failed.is_empty()) {
            match place.stage.turn(at_once) {
                Ok(ran) => place.ran.push(ran),
                Err(error) if place.who.is_peer => place.failed = error,
                Err(error) => return Err(format!("{}: {error}", place.who.label)),
            }
        }
        Ok(())
    }

    fn row(&self, verb: &str, at_once: usize, of: impl Fn(&Ran) -> Turn) -> Row {
        let turns: Vec<(String, Vec<Turn>)> = self
            .places
            .iter()
            .map(|place| (place.who.label.clone(), place.ran.iter().map(&of).collect()))
            .collect();
        let named = self.places.iter().zip(figures(&turns));
        let named = named.map(|(place, of)| Figures { failed: place.failed.clone(), ..of });
        Row {
            case: self.case.id.to_owned(),
            title: self.case.title.to_owned(),
            verb: verb.to_owned(),
            at_once,
            figures: named.collect(),
        }
    }
}
