//! A host for crash tests, with a container that lives all the time and a baseline.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::Value;
use testbed::{Outcome, View};

use super::baseline::{Baseline, State, new_in, read};
use super::plan::{FollowUp, Plan};
use super::report::some;
use crate::fixture::{Call, Container, Fixture};
use crate::isolation::broken;
use crate::profile::{Kind, Reach};
use crate::settling::{after_removal, eventually};
use crate::timeout::DEADLINE;
use crate::trace::{self, Kill, Traced};
use crate::verdict::{NotPassed, OutcomeExt, failed};

/// The parts of the state that are compared.
const VIEW: View = View { link_local: false, learnt: false, conntrack: true, mounts: true };
/// The time in which the processes of a killed plugin must exit.
const ORPHANS: Duration = Duration::from_secs(10);

/// A host for crash tests.
#[derive(Debug)]
pub struct Host {
    pub fixture: Fixture,
    /// The container that exists all the time.
    living: (Container, Value),
    /// The container that is added repeatedly.
    kept: Container,
    baseline: Baseline,
    /// Tracked connections of the kit itself.
    known: RefCell<BTreeSet<String>>,
    /// The number of containers so far whose namespace was deleted.
    gone: Cell<usize>,
    /// Whether DEL is also tested without the namespace.
    pub both: bool,
    /// The processes that run before the test.
    processes: BTreeSet<i32>,
}

impl Host {
    /// Adds the living container, and records the baseline.
    pub fn new(fixture: Fixture, plan: Plan) -> Result<Host, NotPassed> {
        let processes = running();
        let living = fixture.added("living")?;
        let kept = fixture.container("judged");
        let mut host = Host {
            fixture,
            living,
            kept,
            baseline: Baseline::default(),
            known: RefCell::default(),
            gone: Cell::new(0),
            both: true,
            processes,
        };
        host.learn(plan)?;
        Ok(host)
    }

    fn learn(&mut self, plan: Plan) -> Result<(), NotPassed> {
        let only_gone = plan.then == FollowUp::Gc;
        if !only_gone {
            self.undisturbed(plan, false)?;
        }
        let rounds = (0..3).map(|_| self.undisturbed(plan, true)).collect::<Result<Vec<_>, _>>()?;
        let grows = grown(&rounds);
        if grows.is_empty() {
            rounds.iter().for_each(|state| self.baseline.learn(state));
        } else if only_gone {
            return Err(growing("ADD, deletion of the namespace, DEL and GC, undisturbed", &grows));
        } else {
            self.both = false;
            self.fixture.note(format!(
                "not tested without the namespace: even an undisturbed DEL leaves something \
                 behind each time: {}",
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
            rounds.iter().for_each(|state| self.baseline.learn(state));
        }
        Ok(())
    }

    /// A round without a kill.
    pub fn undisturbed(&self, plan: Plan, gone: bool) -> Result<State, NotPassed> {
        let container = self.container(gone);
        self.fixture.call(&container).attach()?;
        if gone {
            self.fixture.delete_namespace(&container);
        }
        self.del(&container, gone).succeeds()?;
        if plan.then == FollowUp::Gc {
            self.gc().succeeds()?;
        }
        if gone {
            after_removal();
        }
        Ok(self.state())
    }

    /// The permanent container, or a new one whose namespace will be deleted.
    pub fn container(&self, gone: bool) -> Container {
        if !gone {
            return self.kept.clone();
        }
        self.gone.set(self.gone.get() + 1);
        self.fixture.container(&format!("gone{}", self.gone.get()))
    }

    /// Makes a DEL, without CNI_NETNS if the namespace was deleted.
    pub fn del(&self, container: &Container, gone: bool) -> Outcome {
        let call = self.fixture.call(container);
        let call = if gone { call.with(|cni| cni.unset("CNI_NETNS")) } else { call };
        call.del()
    }

    /// Makes a GC with the living container as the only valid attachment.
    pub fn gc(&self) -> Outcome {
        let (living, _) = &self.living;
        self.fixture.call(living).gc(&[(&living.id, "eth0")])
    }

    /// Makes a call under the tracer.
    pub fn traced(&self, call: &Call<'_>, verb: &str, at: Option<Kill>) -> Traced {
        let own = std::env::current_exe().unwrap_or_default();
        let cni = call.cni.clone().under(&[&own.to_string_lossy(), trace::OPTION]);
        let (command, stdin) = cni.prepared(verb);
        trace::run(command, stdin, at, DEADLINE).unwrap_or_else(|error| broken(&error))
    }

    fn state(&self) -> State {
        let disk = self.fixture.disk.changes().join("\n");
        let mut state = read(&format!("{}== disk\n{disk}", self.fixture.host.state_as(VIEW)));
        // The kernel sends its multicast memberships to neighbours from time to time.
        let group = |thing: &str| thing.contains(" dst=224.") || thing.contains(" dst=ff0");
        state.retain(|thing, _| !(thing.contains("conntrack ") && group(thing)));
        state
    }

    /// The differences from the baseline that persist.
    pub fn differences(&self) -> Vec<String> {
        eventually(
            || {
                let mut state = self.state();
                state.retain(|thing, _| !self.known.borrow().contains(thing));
                self.baseline.differences(&state)
            },
            Vec::is_empty,
        )
    }

    /// Whether the living container still reaches the host, if the profile says that it should.
    pub fn lives(&self) -> bool {
        let (container, result) = &self.living;
        self.reaches(container, result)
    }

    /// Whether a container reaches its gateways. Connections that this tracks belong to the kit.
    pub fn reaches(&self, container: &Container, result: &Value) -> bool {
        let profile = &self.fixture.profile;
        if profile.kind != Kind::Interface || !profile.reaches.contains(&Reach::Host) {
            return true;
        }
        let ips = result.get("ips").and_then(Value::as_array).into_iter().flatten();
        let mut gateways = ips.filter_map(|ip| ip.get("gateway").and_then(Value::as_str));
        let answers = |ip: IpAddr| (0..3).any(|_| container.pod.ping(ip));
        let reached = gateways.all(|gateway| gateway.parse().is_ok_and(answers));
        let state = self.state();
        let connections = state.into_keys().filter(|thing| thing.contains("conntrack "));
        self.known.borrow_mut().extend(connections);
        reached
    }

    /// Waits for the processes that a killed plugin started, because the next call of a runtime
    /// comes later. A process that does not exit is a difference.
    pub fn orphans(&self) -> Vec<String> {
        let deadline = Instant::now() + ORPHANS;
        loop {
            // They are now children of this process, which is the first one of its namespace.
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
                return vec![format!("{} processes of the plugin continue to run", left.len())];
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The objects that each of the last rounds has and the one before does not.
fn grown(rounds: &[State]) -> Vec<String> {
    let mut new = rounds.iter().zip(rounds.iter().skip(1)).map(|(a, b)| new_in(b, a));
    match (new.next(), new.next()) {
        (Some(second), Some(third)) if !second.is_empty() => third,
        _ => Vec::new(),
    }
}

fn growing(done: &str, grows: &[String]) -> NotPassed {
    let expected =
        "no growth from round to round; otherwise the test cannot detect what a killed call leaves";
    failed(done, expected, some(grows))
}

/// The running processes.
fn running() -> BTreeSet<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| !trace::has_ended(*pid)).collect()
}
