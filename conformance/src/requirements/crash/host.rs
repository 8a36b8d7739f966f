//! A host on which a plugin is killed: with a container that lives all the time, and what is usual there.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::Value;
use testbed::{Outcome, View};

use super::report::some;
use super::sweep::{Plan, Then};
use super::usual::{State, Usual, new_in, read};
use crate::bench::{Bench, Call, Container, DEADLINE, broken};
use crate::profile::{Kind, Reach};
use crate::requirement::{Judge, Stop, failed};
use crate::trace::{self, Kill, Traced};

/// What is looked at.
const VIEW: View = View { link_local: false, learnt: false, conntrack: true, mounts: true };
/// What the kernel does in the background, such as taking down a namespace, is over by then.
const SETTLED: Duration = Duration::from_secs(1);
/// What a killed plugin started has ended by then.
const ORPHANS: Duration = Duration::from_secs(10);

/// The host.
#[derive(Debug)]
pub struct Host {
    pub bench: Bench,
    /// The container that is there all the time.
    living: (Container, Value),
    /// The container that is added again and again.
    kept: Container,
    usual: Usual,
    /// Connections of the kit's own.
    known: RefCell<BTreeSet<String>>,
    /// How many containers there were whose namespace was deleted.
    gone: Cell<usize>,
    /// Whether DEL is also tried without the namespace.
    pub both: bool,
    /// What runs here without anyone's doing.
    processes: BTreeSet<i32>,
}

impl Host {
    /// Adds the container that lives, and learns what is usual.
    pub fn new(bench: Bench, plan: Plan) -> Result<Host, Stop> {
        let processes = running();
        let living = bench.added("living")?;
        let kept = bench.container("judged");
        let mut host = Host {
            bench,
            living,
            kept,
            usual: Usual::default(),
            known: RefCell::default(),
            gone: Cell::new(0),
            both: true,
            processes,
        };
        host.learn(plan)?;
        Ok(host)
    }

    fn learn(&mut self, plan: Plan) -> Result<(), Stop> {
        let only_gone = plan.then == Then::Gc;
        if !only_gone {
            self.undisturbed(plan, false)?;
        }
        let rounds = (0..3).map(|_| self.undisturbed(plan, true)).collect::<Result<Vec<_>, _>>()?;
        let grows = grown(&rounds);
        if grows.is_empty() {
            rounds.iter().for_each(|state| self.usual.learn(state));
        } else if only_gone {
            return Err(growing("ADD, deletion of the namespace, DEL and GC, undisturbed", &grows));
        } else {
            self.both = false;
            self.bench.note(format!(
                "not tried without the namespace: DEL leaves something each time even if nobody disturbs it: {}",
                some(&grows)
            ));
        }
        if !only_gone {
            let rounds =
                (0..3).map(|_| self.undisturbed(plan, false)).collect::<Result<Vec<_>, _>>()?;
            let grows = grown(&rounds);
            if !grows.is_empty() {
                return Err(growing("ADD and DEL, undisturbed", &grows));
            }
            rounds.iter().for_each(|state| self.usual.learn(state));
        }
        Ok(())
    }

    /// A round in which nobody kills anything.
    pub fn undisturbed(&self, plan: Plan, gone: bool) -> Result<State, Stop> {
        let container = self.container(gone);
        self.bench.call(&container).add().succeeds()?;
        if gone {
            self.bench.kill(&container);
        }
        self.del(&container, gone).succeeds()?;
        if plan.then == Then::Gc {
            self.gc().succeeds()?;
        }
        // The namespace goes in the background.
        let mut state = self.state();
        if !gone {
            return Ok(state);
        }
        let deadline = Instant::now() + SETTLED;
        loop {
            let again = self.state();
            if state.len() == again.len() || Instant::now() > deadline {
                return Ok(again);
            }
            state = again;
        }
    }

    /// The container that stays, or one whose namespace will be deleted.
    pub fn container(&self, gone: bool) -> Container {
        if !gone {
            return self.kept.clone();
        }
        self.gone.set(self.gone.get() + 1);
        self.bench.container(&format!("gone{}", self.gone.get()))
    }

    /// DEL, without the namespace if it is gone.
    pub fn del(&self, container: &Container, gone: bool) -> Outcome {
        let call = self.bench.call(container);
        let call = if gone { call.with(|cni| cni.unset("CNI_NETNS")) } else { call };
        call.del()
    }

    /// GC, with the living container as the only valid attachment.
    pub fn gc(&self) -> Outcome {
        let (living, _) = &self.living;
        self.bench.call(living).gc(&[(&living.id, "eth0")])
    }

    /// A call under the tracer.
    pub fn traced(&self, call: &Call<'_>, verb: &str, at: Option<Kill>) -> Traced {
        let own = std::env::current_exe().unwrap_or_default();
        let cni = call.cni.clone().under(&[&own.to_string_lossy(), trace::OPTION]);
        let (command, stdin) = cni.prepared(verb);
        trace::run(command, stdin, at, DEADLINE).unwrap_or_else(|error| broken(&error))
    }

    fn state(&self) -> State {
        let mut state = read(&self.bench.host.state_as(VIEW));
        // The kernel tells its neighbours now and then to which groups it listens.
        let group = |thing: &str| thing.contains(" dst=224.") || thing.contains(" dst=ff0");
        state.retain(|thing, _| !(thing.contains("conntrack ") && group(thing)));
        state
    }

    /// What is not as usual now, and still not after a while.
    pub fn differences(&self) -> Vec<String> {
        let deadline = Instant::now() + SETTLED;
        loop {
            let mut state = self.state();
            state.retain(|thing, _| !self.known.borrow().contains(thing));
            let found = self.usual.differences(&state);
            if found.is_empty() || Instant::now() > deadline {
                return found;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether the living container still reaches the host, if its plugin has it do so.
    pub fn lives(&self) -> bool {
        let (container, result) = &self.living;
        self.reaches(container, result)
    }

    /// Whether a container reaches its gateways. What is tracked of that is the kit's own.
    pub fn reaches(&self, container: &Container, result: &Value) -> bool {
        let profile = &self.bench.profile;
        if profile.kind != Kind::Interface || !profile.reaches.contains(&Reach::Host) {
            return true;
        }
        let ips = result.get("ips").and_then(Value::as_array).into_iter().flatten();
        let mut gateways = ips.filter_map(|ip| ip.get("gateway").and_then(Value::as_str));
        let reached = gateways.all(|gateway| (0..3).any(|_| container.pod.ping(gateway)));
        let state = self.state();
        let connections = state.into_keys().filter(|thing| thing.contains("conntrack "));
        self.known.borrow_mut().extend(connections);
        reached
    }

    /// Waits for what a killed plugin started: a runtime's next call comes later. What does not end is a difference.
    pub fn orphans(&self) -> Vec<String> {
        let deadline = Instant::now() + ORPHANS;
        loop {
            // They are children of this process now, the first one of its namespace.
            let flags = WaitPidFlag::WNOHANG | WaitPidFlag::__WALL;
            while waitpid(None, Some(flags)).is_ok_and(|status| status != WaitStatus::StillAlive) {}
            let left: Vec<i32> = running().difference(&self.processes).copied().collect();
            if left.is_empty() {
                return Vec::new();
            }
            if Instant::now() > deadline {
                left.iter().for_each(|pid| {
                    let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
                });
                return vec![format!("{} processes that it started ran on", left.len())];
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What each of the last rounds has that the one before has not.
fn grown(rounds: &[State]) -> Vec<String> {
    let mut new = rounds.iter().zip(rounds.iter().skip(1)).map(|(a, b)| new_in(b, a));
    match (new.next(), new.next()) {
        (Some(second), Some(third)) if !second.is_empty() => third,
        _ => Vec::new(),
    }
}

fn growing(done: &str, grows: &[String]) -> Stop {
    let expected = "nothing more each time; what a killed one leaves cannot be told otherwise";
    failed(done, expected, some(grows))
}

/// The processes that have not ended.
fn running() -> BTreeSet<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| !trace::has_ended(*pid)).collect()
}
