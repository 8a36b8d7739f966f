//! Runs calls as a runtime does and tells how long each took and what all of them used (`bench::job`).
//!
//! It is a program of its own because of its size: until it executes the plugin, a child counts the memory of who started it
//! as its own, and the kernel remembers the most.

use std::io::{self, Error, Read, Result, Write};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use bench::job::{Done, Job, Ran, Step};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

fn main() -> ExitCode {
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("launch: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work() -> Result<()> {
    let job = Job::receive(io::stdin())?;
    let begun = Instant::now();
    let mut ran = Ran { calls: run(&job, begun), ..Ran::default() };
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = usage.user_time().num_nanoseconds() + usage.system_time().num_nanoseconds();
    ran.cpu = cpu.unsigned_abs();
    ran.rss = usage.max_rss().unsigned_abs();
    ran.faults = usage.minor_page_faults().unsigned_abs();
    ran.send(io::stdout())
}

fn run(job: &Job, begun: Instant) -> Vec<Done> {
    if job.at_once < 2 {
        return job.calls.iter().map(|call| one(call, begun)).collect();
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(vec![Done::default(); job.calls.len()]);
    let worker = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(call) = job.calls.get(place) else { break };
            let ended = one(call, begun);
            if let Ok(mut done) = done.lock()
                && let Some(room) = done.get_mut(place)
            {
                *room = ended;
            }
        }
    };
    thread::scope(|scope| (0..job.at_once).for_each(|_| drop(scope.spawn(worker))));
    done.into_inner().unwrap_or_default()
}

fn one(call: &[Step], begun: Instant) -> Done {
    let now = || u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let mut done = Done { start: now(), ..Done::default() };
    for step in call {
        let given = match step.hand_on && !done.stdout.is_empty() {
            true => with_previous(&step.stdin, &done.stdout),
            false => step.stdin.clone(),
        };
        match start(step, &given) {
            Ok(printed) => done.stdout = printed,
            Err(error) => {
                done.error = format!("{}: {error}", step.command.join(" "));
                break;
            }
        }
    }
    done.end = now();
    done
}

/// A configuration with the result of the plugin before.
fn with_previous(conf: &str, previous: &str) -> String {
    let open = conf.trim_end().strip_suffix('}').unwrap_or(conf);
    format!("{open},\"prevResult\":{previous}}}")
}

/// Runs a program to its end. What it reads is in the pipe before it starts, so that it never waits for us; what it prints
/// stays there until it has ended: some hundred bytes, and a pipe holds 64 KiB.
fn start(step: &Step, stdin: &str) -> Result<String> {
    let (program, arguments) =
        step.command.split_first().ok_or_else(|| Error::other("no program"))?;
    let (input, mut to_child) = io::pipe()?;
    let (mut from_child, output) = io::pipe()?;
    let (mut complaints, errors) = io::pipe()?;
    to_child.write_all(stdin.as_bytes())?;
    drop(to_child);
    let mut command = Command::new(program);
    let env = step.env.iter().filter_map(|pair| pair.split_once('='));
    command.args(arguments).env_clear().envs(env).stdin(input).stdout(output).stderr(errors);
    let mut child = command.spawn()?;
    let ended = child.wait()?;
    drop(command);
    let mut printed = String::new();
    from_child.read_to_string(&mut printed)?;
    if ended.success() {
        return Ok(printed);
    }
    complaints.read_to_string(&mut printed)?;
    Err(Error::other(format!("{ended}: {printed}")))
}
