//! Many calls at the same time, without a thread for each.

use std::fmt;
use std::io::{ErrorKind, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use testbed::{Cni, Outcome};

/// Running calls.
pub struct Crowd {
    calls: Vec<(String, Child)>,
    killed: Vec<bool>,
    started: Instant,
}

/// A call that has ended.
pub struct Ended {
    outcome: Outcome,
    killed: bool,
}

impl Crowd {
    /// Starts all calls, as fast as one process can.
    pub fn start<'a>(calls: impl Iterator<Item = (&'static str, &'a Cni)>) -> Crowd {
        // Each call has three pipes.
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
        let started = Instant::now();
        let calls: Vec<_> =
            calls.map(|(verb, call)| (verb.to_owned(), start(verb, call))).collect();
        Crowd { killed: vec![false; calls.len()], calls, started }
    }

    /// Kills each call, with its child processes, after it has run for this long, unless it has
    /// ended by then.
    pub fn kill(&mut self, victims: impl Iterator<Item = (usize, Duration)>) {
        let mut victims: Vec<_> = victims.collect();
        victims.sort_by_key(|(_, after)| *after);
        for (index, after) in victims {
            thread::sleep((self.started + after).saturating_duration_since(Instant::now()));
            // The test has not waited for it yet, so its process ID is not reused.
            let group = Pid::from_raw(self.calls[index].1.id().cast_signed());
            killpg(group, Signal::SIGKILL).unwrap();
            self.killed[index] = true;
        }
    }

    /// Waits for all calls.
    pub fn end(self) -> Vec<Ended> {
        let wait = |((call, child), killed): ((String, Child), bool)| {
            let output = child.wait_with_output().unwrap();
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            let (stdout, stderr) = (text(output.stdout), text(output.stderr));
            let outcome = Outcome { call, status: output.status, stdout, stderr, hung: false };
            Ended { outcome, killed }
        };
        self.calls.into_iter().zip(self.killed).map(wait).collect()
    }
}

fn start(verb: &str, call: &Cni) -> Child {
    let (mut command, config) = call.prepared(verb);
    let mut child = command.spawn().unwrap();
    // It fits into a pipe, so the write does not wait for the plugin.
    match child.stdin.take().unwrap().write_all(config) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.unwrap(),
    }
    child
}

impl Ended {
    /// Whether the call succeeded.
    pub fn is_ok(&self) -> bool {
        self.outcome.status.success()
    }

    /// Whether it was killed.
    pub fn is_killed(&self) -> bool {
        self.outcome.status.signal() == Some(9)
    }

    /// Whether it failed because the kernel refused it memory, and says that it may succeed later.
    pub fn lacked_memory(&self) -> bool {
        if self.is_ok() || self.is_killed() {
            return false;
        }
        let error = self.outcome.json();
        error["code"] == 11
            && error["msg"].as_str().is_some_and(|msg| msg.contains("Cannot allocate memory"))
    }

    /// Whether this test killed it in time.
    pub fn was_killed(&self) -> bool {
        self.killed && self.is_killed()
    }

    /// Its exit status.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.outcome.fmt(f)
    }
}
