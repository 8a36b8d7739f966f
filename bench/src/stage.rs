//! Where a contestant does a case: a node of its own, on a thread of its own, that waits for its turns.

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

/// For the kernel's cleaning up, so that it does not disturb who is next.
const PAUSE: Duration = Duration::from_millis(30);
/// How many containers come or go at a time where nobody measures it.
const UNMEASURED: usize = 8;

/// A contestant's place to do a case.
#[derive(Debug)]
pub struct Stage {
    turns: Sender<Turn>,
    done: Receiver<Result<Report, String>>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// All verbs, once each.
    Round,
    /// All verbs, once each, counting their system calls.
    Traced,
    /// So many containers come, so many at a time, and go.
    Burst(usize, usize),
}

/// How a turn went: something for each verb that the contestant has.
#[derive(Debug, Clone)]
pub enum Report {
    /// What was measured.
    Ran(Vec<(Verb, Ran)>),
    /// What was counted.
    Traced(Vec<(Verb, Calls)>),
}

impl Stage {
    /// Makes the place. `launch` is the launcher, `most` how many addresses are taken, and how many others have
    /// joined, at most.
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

    /// Has a turn, and waits until it is over.
    ///
    /// # Errors
    ///
    /// Something that was run failed.
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
    /// Those that are to join before anything is measured.
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

    /// Lets the others join, the first time.
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
                // What it is to remove.
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

    /// Runs a verb for the first containers; none if the contestant does not have it.
    fn run(
        &mut self,
        verb: Verb,
        many: usize,
        at_once: usize,
        traced: Option<&trace::Files>,
    ) -> Result<Option<(Verb, Ran)>, String> {
        let mut calls: Vec<Vec<Step>> = match (verb, self.who.is_peer()) {
            // Nobody else collects: the runtime deletes one after another.
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
        // It reads all before it begins.
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
