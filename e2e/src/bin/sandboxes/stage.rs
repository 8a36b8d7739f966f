//! The stage of a contestant: a machine of its own with a containerd of its own, on a thread of its
//! own.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use bench::sandboxes::Turn;
use e2e::{Containerd, Machine, Release, Sandbox};

use crate::case::{Case, Contestant};

/// Time for the kernel and the runtime to clean up, so that it does not disturb the next
/// contestant.
const PAUSE: Duration = Duration::from_millis(200);
/// The directory of the installed plugins of this project.
const INSTALLED: &str = "/opt/cni/bin";

/// The stage of a contestant, until it is dropped.
pub struct Stage {
    turns: Sender<usize>,
    done: Receiver<Result<Ran, String>>,
}

/// The durations in a turn: the sandboxes were started and stopped.
pub struct Ran {
    /// The runtime's name and version.
    pub runtime: String,
    /// The durations of the starts.
    pub start: Turn,
    /// The durations of the stops.
    pub stop: Turn,
}

impl Stage {
    /// Makes the stage.
    pub fn new(case: &'static Case, who: &Contestant, release: Release) -> Stage {
        let (turns, next) = channel();
        let (tell, done) = channel();
        let who = who.clone();
        thread::spawn(move || {
            let machine = Machine::new();
            if who.by_nftables {
                // A device is not a program.
                machine.sh("mount --bind /dev/null $(readlink -f $(command -v iptables))");
            }
            machine.network(case.network(&who));
            let plugins = who.plugins.as_deref().unwrap_or(Path::new(INSTALLED));
            let containerd = Containerd::with_plugins(&machine, release, plugins);
            for (number, at_once) in next.into_iter().enumerate() {
                let ran = turn(&machine, &containerd, &who, number, at_once);
                thread::sleep(PAUSE);
                if tell.send(ran).is_err() {
                    break;
                }
            }
        });
        Stage { turns, done }
    }

    /// Starts and stops this number of sandboxes at once, and waits until they are gone.
    ///
    /// # Errors
    ///
    /// If one did not start or stop, or left something behind.
    pub fn turn(&self, at_once: usize) -> Result<Ran, String> {
        let gone = "a contestant's thread has ended: see above";
        self.turns.send(at_once).map_err(|_| gone.to_owned())?;
        self.done.recv().map_err(|_| gone.to_owned())?
    }
}

fn turn(
    machine: &Machine,
    containerd: &Containerd,
    who: &Contestant,
    number: usize,
    at_once: usize,
) -> Result<Ran, String> {
    let name = |place| format!("{}-{number}-{place}", who.label.replace(' ', "-"));
    let host_network = who.host_network;
    let sandbox = |place| Sandbox { host_network, ..Sandbox::new(&name(place)) };
    let sandboxes: Vec<Sandbox> = (0..at_once).map(sandbox).collect();
    let (start, ids) = timed(|| containerd.run_sandboxes(&sandboxes))?;
    let (stop, _) = timed(|| containerd.stop_sandboxes(&ids))?;
    for id in &ids {
        containerd.remove_sandbox(id)?;
    }
    let left = [containerd.sandboxes(), machine.reservations(), machine.namespaces()].concat();
    if !left.is_empty() {
        return Err(format!("of {at_once} sandboxes there is left: {}", left.join(", ")));
    }
    Ok(Ran { runtime: containerd.version()?, start, stop })
}

/// Runs calls, all of which must succeed.
fn timed<T>(
    calls: impl FnOnce() -> Vec<(Result<T, String>, Duration)>,
) -> Result<(Turn, Vec<T>), String> {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let begun = Instant::now();
    let done = calls();
    let mut turn = Turn { all: milliseconds(begun.elapsed()), each: Vec::new() };
    let mut answers = Vec::new();
    for (answer, time) in done {
        turn.each.push(milliseconds(time));
        answers.push(answer?);
    }
    Ok((turn, answers))
}
