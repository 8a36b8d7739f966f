//! Runs calls as a runtime does, and reports the duration of each and the resources of all
//! (`bench::job`).
//!
//! It is a separate program because of its size: until it executes the plugin, a child process
//! counts the memory of its parent as its own, and the kernel records the maximum.

use std::io::{self, Error, PipeReader, Read, Result, Write};
use std::process::{Child, Command, ExitCode};
use std::time::Instant;

use bench::job::{Done, Job, Ran, Step};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::sys::wait::{WaitStatus, waitpid};

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
    let mut ran = Ran { calls: run(&job)?, ..Ran::default() };
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = usage.user_time().num_nanoseconds() + usage.system_time().num_nanoseconds();
    ran.cpu = cpu.unsigned_abs();
    ran.rss = usage.max_rss().unsigned_abs();
    ran.faults = usage.minor_page_faults().unsigned_abs();
    ran.send(io::stdout())
}

/// A running program: step and call.
struct Running {
    call: usize,
    step: usize,
    child: Child,
    printed: PipeReader,
    complaints: PipeReader,
}

/// Runs the calls, several at a time. It has no threads: their stacks would count as memory of the
/// programs that it starts.
fn run(job: &Job) -> Result<Vec<Done>> {
    let begun = Instant::now();
    let now = || u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let mut done = vec![Done::default(); job.calls.len()];
    let mut running: Vec<Running> = Vec::new();
    let mut waiting = job.calls.iter().enumerate().filter(|(_, call)| !call.is_empty());
    loop {
        while running.len() < job.at_once.max(1)
            && let Some((call, steps)) = waiting.next()
        {
            if let (Some(first), Some(done)) = (steps.first(), done.get_mut(call)) {
                done.start = now();
                running.push(start(first, call, 0, "")?);
            }
        }
        if running.is_empty() {
            return Ok(done);
        }
        let status = waitpid(None, None)?;
        let end = now();
        let of = |one: &Running| status.pid().is_some_and(|p| p.as_raw() == one.child.id() as i32);
        let Some(place) = running.iter().position(of) else { continue };
        let ended = running.swap_remove(place);
        let (call, step) = (ended.call, ended.step);
        let Some(done) = done.get_mut(call) else { continue };
        done.end = end;
        match outcome(ended, status) {
            Ok(printed) => done.stdout = printed,
            Err(error) => {
                done.error = error.to_string();
                continue;
            }
        }
        if let Some(next) = job.calls.get(call).and_then(|steps| steps.get(step + 1)) {
            running.push(start(next, call, step + 1, &done.stdout)?);
        }
    }
}

/// Starts a program. Its input is in the pipe before it starts, so that it never waits for the
/// launcher. Its output of some hundred bytes stays in the pipe, which holds 64 KiB, until it
/// exits.
fn start(what: &Step, call: usize, step: usize, previous: &str) -> Result<Running> {
    let (program, arguments) =
        what.command.split_first().ok_or_else(|| Error::other("no program"))?;
    let (input, mut to_child) = io::pipe()?;
    let (printed, output) = io::pipe()?;
    let (complaints, errors) = io::pipe()?;
    match what.hand_on && !previous.is_empty() {
        true => to_child.write_all(with_previous(&what.stdin, previous).as_bytes())?,
        false => to_child.write_all(what.stdin.as_bytes())?,
    }
    drop(to_child);
    let mut command = Command::new(program);
    let env = what.env.iter().filter_map(|pair| pair.split_once('='));
    command.args(arguments).env_clear().envs(env).stdin(input).stdout(output).stderr(errors);
    let child = command.spawn().map_err(|error| Error::other(format!("{program}: {error}")))?;
    Ok(Running { call, step, child, printed, complaints })
}

/// A configuration with the result of the plugin before.
fn with_previous(conf: &str, previous: &str) -> String {
    let open = conf.trim_end().strip_suffix('}').unwrap_or(conf);
    format!("{open},\"prevResult\":{previous}}}")
}

/// The output of a program that succeeded.
fn outcome(mut ended: Running, status: WaitStatus) -> Result<String> {
    let mut printed = String::new();
    ended.printed.read_to_string(&mut printed)?;
    if matches!(status, WaitStatus::Exited(_, 0)) {
        return Ok(printed);
    }
    ended.complaints.read_to_string(&mut printed)?;
    Err(Error::other(format!("{status:?}: {printed}")))
}
