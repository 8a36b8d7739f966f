//! The stage of a contestant for a case: a node of its own, on a thread of its own, which waits for
//! its turns.

mod prepare;
mod trace;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use testbed::Node;

use crate::call::{self, Container};
use crate::case::{Case, Prepared, STALE, Verb};
use crate::contestant::Contestant;
use crate::job::{Job, Ran, Step};

pub use prepare::prepare;
pub use trace::Calls;

/// Time for the kernel to clean up, so that it does not disturb the next contestant.
const PAUSE: Duration = Duration::from_millis(30);
/// The number of parallel calls outside of a measurement.
const UNMEASURED: usize = 8;

/// The stage of a contestant for a case.
#[derive(Debug)]
pub struct Stage {
    turns: Sender<Turn>,
    done: Receiver<Result<Report, String>>,
}

/// A request to the stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// All calls, once each.
    Round,
    /// All calls, once each, counting their system calls.
    Traced,
    /// A burst: this number of ADDs and then DELs, so many in parallel.
    Burst(usize, usize),
}

/// The outcome of a turn, for each call that the contestant supports.
#[derive(Debug, Clone)]
pub enum Report {
    /// The measurement.
    Ran(Vec<(Verb, Ran)>),
    /// The counts.
    Traced(Vec<(Verb, Calls)>),
}

impl Stage {
    /// Makes the stage. `launch` is the launcher, `most` the maximum number of allocated addresses
    /// and of other containers.
    pub fn new(case: &'static Case, who: &Contestant, launch: &Path, most: u32) -> Stage {
        let (turns, next) = channel();
        let (tell, done) = channel();
        let (who, launch) = (who.clone(), launch.to_owned());
        thread::spawn(move || {
            let mut place = Place::new(case, who, launch, most);
            while let Ok(turn) = next.recv() {
                if tell.send(place.turn(turn)).is_err() {
                    break;
                }
            }
        });
        Stage { turns, done }
    }

    /// Runs a turn, and waits until it is over.
    ///
    /// # Errors
    ///
    /// If a program failed.
    pub fn turn(&self, turn: Turn) -> Result<Report, String> {
        let gone = "a contestant's thread has ended: see above";
        self.turns.send(turn).map_err(|_| gone.to_owned())?;
        self.done.recv().map_err(|_| gone.to_owned())?
    }
}

struct Place {
    case: &'static Case,
    who: Contestant,
    launch: PathBuf,
    containers: Vec<Container>,
    /// The other containers that are added before the measurement.
    others: Vec<Container>,
    /// The namespaces, for as long as they are needed.
    _node: Node,
}

impl Place {
    fn new(case: &'static Case, who: Contestant, launch: PathBuf, most: u32) -> Place {
        let node = Node::new();
        prepare(&node, case, &who, most);
        let containers = (0..call::containers(case) as u32)
            .map(|number| Container::new(number, node.pod(&format!("c{number}")).path()))
            .collect();
        let many = case.prepared.iter().map(|prepared| match prepared {
            Prepared::Joined(many) => *many,
            _ => 0,
        });
        let many: u32 = many.sum();
        let pod = node.pod("others");
        let others =
            (0..many.min(most)).map(|number| Container::other(number, pod.path())).collect();
        Place { case, who, launch, containers, others, _node: node }
    }

    /// Adds the other containers, at the first time.
    fn join(&mut self) -> Result<(), String> {
        let others = std::mem::take(&mut self.others);
        let calls = others.iter().map(|of| self.steps(Verb::Add, of)).collect();
        self.launch(&Job { at_once: UNMEASURED, calls }).map(drop)
    }

    fn turn(&mut self, turn: Turn) -> Result<Report, String> {
        self.join()?;
        let mut ran = Vec::new();
        let mut counted = Vec::new();
        let verbs = match turn {
            Turn::Burst(..) => &[Verb::Add, Verb::Del],
            _ => self.case.verbs,
        };
        for verb in verbs.iter().copied() {
            if verb == Verb::Gc {
                // The containers that it removes.
                self.run(Verb::Add, STALE, UNMEASURED, None)?;
            }
            match turn {
                Turn::Burst(many, at_once) => ran.extend(self.run(verb, many, at_once, None)?),
                Turn::Round => ran.extend(self.run(verb, 1, 1, None)?),
                Turn::Traced => {
                    let files = trace::Files::new();
                    let done = self.run(verb, 1, 1, Some(&files))?;
                    counted.extend(done.is_some().then(|| (verb, files.count())));
                }
            }
        }
        Ok(if turn == Turn::Traced { Report::Traced(counted) } else { Report::Ran(ran) })
    }

    /// Makes a call for the first containers; none if the contestant does not support it.
    fn run(
        &mut self,
        verb: Verb,
        many: usize,
        at_once: usize,
        traced: Option<&trace::Files>,
    ) -> Result<Option<(Verb, Ran)>, String> {
        let mut calls: Vec<Vec<Step>> = match (verb, self.who.is_peer()) {
            // Other suites have no GC: the runtime deletes one container after another.
            (Verb::Gc, true) => {
                let all = self.containers.iter().flat_map(|of| self.steps(Verb::Del, of));
                vec![all.collect()]
            }
            _ => self.containers.iter().take(many).map(|of| self.steps(verb, of)).collect(),
        };
        if calls.iter().all(Vec::is_empty) {
            return Ok(None);
        }
        if let Some(files) = traced {
            calls.iter_mut().flatten().for_each(|step| files.trace(step));
        }
        let ran = self.launch(&Job { at_once, calls })?;
        if verb == Verb::Add {
            for (container, done) in self.containers.iter_mut().zip(&ran.calls) {
                container.result = done.stdout.trim().to_owned();
            }
        }
        thread::sleep(PAUSE);
        Ok(Some((verb, ran)))
    }

    fn steps(&self, verb: Verb, of: &Container) -> Vec<Step> {
        call::steps(self.case, &self.who, verb, of)
    }

    fn launch(&self, job: &Job) -> Result<Ran, String> {
        let say = |error| format!("{}: {error}", self.launch.display());
        let mut command = Command::new(&self.launch);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut launcher = command.spawn().map_err(say)?;
        let mut text = Vec::new();
        job.send(&mut text).map_err(say)?;
        // It reads everything before it starts.
        if let Some(mut stdin) = launcher.stdin.take() {
            stdin.write_all(&text).map_err(say)?;
        }
        let output = launcher.wait_with_output().map_err(say)?;
        let ran = Ran::receive(output.stdout.as_slice()).map_err(say)?;
        match ran.calls.iter().find(|call| !call.error.is_empty()) {
            Some(failed) => {
                let Contestant { label, .. } = &self.who;
                Err(format!("{}, {label}: {}", self.case.id, failed.error))
            }
            None => Ok(ran),
        }
    }
}
