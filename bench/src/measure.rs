//! Runs the cases: all contestants have turns, again and again.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use crate::call;
use crate::case::{Case, Prepared, Verb};
use crate::contestant::{Contestant, OURS};
use crate::job::Ran;
use crate::results::{Burst, Figures, Row};
use crate::stage::{Calls, Report, Stage, Turn};
use crate::statistics::{median, percentile, rounded};

/// The time limit for a turn that is repeated under strace, which is many times slower.
const TOO_SLOW: Duration = Duration::from_secs(1);

/// A case that is being measured.
struct Measured<'a> {
    case: &'static Case,
    turns: &'a Turns,
    bar: &'a ProgressBar,
    contestants: Vec<(Contestant, Stage, Figured)>,
    /// Whether a round of turns takes long.
    is_slow: bool,
}

/// The number of turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turns {
    /// As the case defines it.
    All,
    /// A quarter, and only the last burst.
    Few,
    /// One turn of every case that is not too large for a test.
    One,
}

impl Turns {
    /// The time after which no more turns of a case begin.
    fn budget(self) -> Duration {
        Duration::from_secs(if self == Turns::All { 25 } else { 10 })
    }

    /// The maximum numbers of allocated addresses and of other containers.
    fn most(self) -> u32 {
        if self == Turns::One { 100 } else { u32::MAX }
    }

    /// The bursts of a case.
    fn bursts(self, case: &Case) -> Vec<(usize, usize)> {
        match self {
            Turns::All => case.bursts.to_vec(),
            Turns::Few => case.bursts.last().copied().into_iter().collect(),
            Turns::One => case.bursts.iter().copied().filter(|burst| *burst == (10, 8)).collect(),
        }
    }
}

/// A contestant with its measurements so far.
#[derive(Default)]
struct Figured {
    /// By call, one per round.
    rounds: BTreeMap<&'static str, Vec<Ran>>,
    /// By call and burst.
    bursts: Vec<(Verb, Burst, Ran)>,
    calls: BTreeMap<&'static str, Calls>,
    failed: String,
}

/// Measures a case. A peer that fails is left out from then on, and the rows contain the reason.
///
/// # Errors
///
/// If this project's own plugins or the floor fail.
pub fn measure(
    case: &'static Case,
    all: &[Contestant],
    launch: &Path,
    turns: &Turns,
    bar: &ProgressBar,
) -> Result<Vec<Row>, String> {
    let contestants = Contestant::of_case(all, case).into_iter().map(|who| {
        let stage = Stage::new(case, &who, launch, turns.most());
        (who, stage, Figured::default())
    });
    let mut measured =
        Measured { case, turns, bar, contestants: contestants.collect(), is_slow: false };
    if case.bursts.is_empty() {
        measured.rounds()?;
        if !measured.is_slow {
            measured.everybody(Turn::Traced, |known, report| {
                if let Report::Traced(calls) = report {
                    known.calls.extend(calls.into_iter().map(|(verb, calls)| (verb.name(), calls)));
                }
            })?;
        }
    } else {
        measured.bursts()?;
    }
    let rows = measured.rows();
    drop(measured);
    // The kernel cleans up namespaces in the background, which would disturb the next case.
    thread::sleep(Duration::from_millis(300 + 5 * call::containers(case) as u64));
    Ok(rows)
}

impl Measured<'_> {
    fn rounds(&mut self) -> Result<(), String> {
        let rounds = match self.turns {
            Turns::All => self.case.rounds,
            Turns::Few => self.case.rounds.div_ceil(4),
            Turns::One => 1,
        };
        let begun = Instant::now();
        let mut turn = begun;
        let mut done = 0;
        while done < self.case.warm_up + rounds {
            self.bar.set_message(format!("{}: turn {} of {rounds}", self.case.title, done + 1));
            let counts = done >= self.case.warm_up;
            turn = Instant::now();
            self.everybody(Turn::Round, |known, report| {
                if let Report::Ran(ran) = report
                    && counts
                {
                    for (verb, ran) in ran {
                        known.rounds.entry(verb.name()).or_default().push(ran);
                    }
                }
            })?;
            // The first contestant changes, so that no contestant is always after the same one.
            self.contestants.rotate_left(1);
            done += 1;
            if counts && begun.elapsed() > self.turns.budget() {
                break;
            }
        }
        let many = self.contestants.len().max(1);
        self.contestants.rotate_right(done % many);
        self.is_slow = turn.elapsed() > TOO_SLOW;
        Ok(())
    }

    fn bursts(&mut self) -> Result<(), String> {
        // The first turn makes the shared objects.
        self.everybody(Turn::Burst(1, 1), |_, _| {})?;
        for (containers, at_once) in self.turns.bursts(self.case) {
            let burst = Burst { containers, at_once };
            self.bar.set_message(format!("{}: {containers}, {at_once} at a time", self.case.title));
            self.everybody(Turn::Burst(containers, at_once), |known, report| {
                if let Report::Ran(ran) = report {
                    known.bursts.extend(ran.into_iter().map(|(verb, ran)| (verb, burst, ran)));
                }
            })?;
        }
        Ok(())
    }

    /// Each contestant has a turn.
    fn everybody(
        &mut self,
        turn: Turn,
        mut note: impl FnMut(&mut Figured, Report),
    ) -> Result<(), String> {
        for (who, stage, known) in &mut self.contestants {
            if !known.failed.is_empty() {
                continue;
            }
            match stage.turn(turn) {
                Ok(report) => note(known, report),
                Err(error) if who.is_peer() => known.failed = error,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        if self.case.bursts.is_empty() {
            for verb in self.case.verbs {
                let figures = self.figures(|known| known.of_verb(*verb));
                rows.push(Row { ratios: self.ratios(*verb), ..self.row(*verb, figures) });
            }
        }
        // A burst that is measured several times is one row.
        let bursts = self.turns.bursts(self.case);
        let is_last = |(place, burst): &(usize, &(usize, usize))| {
            !bursts.iter().skip(place + 1).any(|later| later == *burst)
        };
        for (_, &(containers, at_once)) in bursts.iter().enumerate().filter(is_last) {
            let burst = Burst { containers, at_once };
            for verb in [Verb::Add, Verb::Del] {
                let figures = self.figures(|known| known.of_burst(verb, burst));
                let row = Row { burst: Some(burst), ..self.row(verb, figures) };
                rows.push(Row { ratios: burst_ratios(&row), ..row });
            }
        }
        rows
    }

    fn row(&self, verb: Verb, figures: Vec<Figures>) -> Row {
        let taken = self.case.prepared.iter().find_map(|prepared| match prepared {
            Prepared::Taken(_, many) => Some(*many),
            _ => None,
        });
        let is_pool = self.case.chain.iter().all(|(plugin, _)| *plugin == "host-local");
        Row {
            case: self.case.id.to_owned(),
            title: self.case.title.to_owned(),
            verb: verb.name().to_owned(),
            taken: taken.or(is_pool.then_some(0)),
            burst: None,
            figures,
            ratios: BTreeMap::new(),
        }
    }

    /// The figures of the contestants that have some, or have failed.
    fn figures(&self, of: impl Fn(&Figured) -> Figures) -> Vec<Figures> {
        let named = self.contestants.iter().map(|(who, _, known)| Figures {
            label: who.label.clone(),
            failed: known.failed.clone(),
            ..of(known)
        });
        named.filter(|figures| figures.n > 0 || !figures.failed.is_empty()).collect()
    }

    /// The ratio of this project's time to the peer's, turn by turn.
    fn ratios(&self, verb: Verb) -> BTreeMap<String, f64> {
        let walls = |known: &Figured| -> Vec<f64> {
            known.rounds.get(verb.name()).into_iter().flatten().flat_map(walls).collect()
        };
        let mine = self.contestants.iter().find(|(who, ..)| who.label == OURS);
        let Some(mine) = mine.map(|(_, _, known)| walls(known)) else { return BTreeMap::new() };
        let others = self.contestants.iter().filter(|(who, ..)| who.label != OURS);
        let ratio = |(who, _, known): &(Contestant, Stage, Figured)| {
            let theirs = walls(known);
            let pairs: Vec<f64> = mine.iter().zip(&theirs).map(|(a, b)| a / b).collect();
            (!pairs.is_empty()).then(|| (who.label.clone(), rounded(median(&pairs))))
        };
        others.filter_map(ratio).collect()
    }
}

impl Figured {
    fn of_verb(&self, verb: Verb) -> Figures {
        let ran = self.rounds.get(verb.name()).map(Vec::as_slice).unwrap_or_default();
        let times: Vec<f64> = ran.iter().flat_map(walls).collect();
        let cpu: Vec<f64> = ran.iter().map(|ran| ran.cpu as f64 / 1e6).collect();
        let faults: Vec<f64> = ran.iter().map(|ran| ran.faults as f64).collect();
        let calls = self.calls.get(verb.name());
        Figures {
            n: times.len(),
            median: rounded(median(&times)),
            p10: rounded(percentile(&times, 10)),
            p90: rounded(percentile(&times, 90)),
            cpu: rounded(median(&cpu)),
            rss: ran.iter().map(|ran| ran.rss).max().unwrap_or_default(),
            faults: median(&faults) as u64,
            syscalls: calls.map(|calls| calls.all),
            execs: calls.map(|calls| calls.execs),
            ..Figures::default()
        }
    }

    fn of_burst(&self, verb: Verb, burst: Burst) -> Figures {
        let found = self.bursts.iter().filter(|(of, size, _)| (*of, *size) == (verb, burst));
        let found: Vec<&Ran> = found.map(|(_, _, ran)| ran).collect();
        let times: Vec<f64> = found.iter().flat_map(|ran| walls(ran)).collect();
        let n = times.len();
        let ends = found.iter().filter_map(|ran| ran.calls.iter().map(|call| call.end).max());
        let seconds = ends.sum::<u64>() as f64 / 1e9;
        let sum = |of: fn(&Ran) -> u64| found.iter().map(|ran| of(ran)).sum::<u64>();
        Figures {
            n,
            median: rounded(median(&times)),
            p10: rounded(percentile(&times, 10)),
            p90: rounded(percentile(&times, 90)),
            p99: Some(rounded(percentile(&times, 99))),
            per_second: Some(rounded(n as f64 / seconds.max(1e-9))),
            cpu: rounded(sum(|ran| ran.cpu) as f64 / 1e6 / n.max(1) as f64),
            rss: found.iter().map(|ran| ran.rss).max().unwrap_or_default(),
            faults: sum(|ran| ran.faults) / n.max(1) as u64,
            ..Figures::default()
        }
    }
}

/// The durations of the calls, in milliseconds.
fn walls(ran: &Ran) -> impl Iterator<Item = f64> {
    ran.calls.iter().map(|call| call.end.saturating_sub(call.start) as f64 / 1e6)
}

fn burst_ratios(row: &Row) -> BTreeMap<String, f64> {
    let Some(mine) = row.ours().and_then(|figures| figures.per_second) else {
        return BTreeMap::new();
    };
    let others = row.figures.iter().filter(|figures| figures.label != OURS);
    let ratio = |theirs: &Figures| Some((theirs.label.clone(), rounded(mine / theirs.per_second?)));
    others.filter_map(ratio).collect()
}

/// Whether a case is selected.
pub fn is_chosen(case: &Case, only: &[String], turns: Turns, lab: bool) -> bool {
    let named = |start: &String| case.id == start || case.id.starts_with(&format!("{start}-"));
    let asked =
        if only.is_empty() { turns != Turns::Few || case.quick } else { only.iter().any(named) };
    asked && case.lab == lab
}
