//! Calls that start at the same moment, and their durations.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use testbed::{Cni, Outcome};

use crate::fixture::Fixture;
use crate::timeout::DEADLINE;

/// A call before it is made.
#[derive(Debug, Clone)]
pub(super) struct Task {
    /// The call.
    pub(super) cni: Cni,
    /// The verb.
    pub(super) verb: &'static str,
}

/// A call after it was made.
#[derive(Debug)]
pub(super) struct Done {
    /// The verb.
    pub(super) verb: &'static str,
    /// The outcome.
    pub(super) outcome: Outcome,
    /// The duration.
    pub(super) took: Duration,
}

/// Makes all calls concurrently, each in a thread of its own. Failed calls are recorded last,
/// because a report shows the last calls.
pub(super) fn at_once(fixture: &Fixture, tasks: Vec<Task>) -> Vec<Done> {
    let start = Barrier::new(tasks.len());
    let call = |task: &Task| {
        start.wait();
        let from = Instant::now();
        let outcome = task.cni.within(task.verb, DEADLINE);
        Done { verb: task.verb, outcome, took: from.elapsed() }
    };
    let call = &call;
    let done: Vec<Done> = thread::scope(|scope| {
        let threads: Vec<_> = tasks.iter().map(|task| scope.spawn(move || call(task))).collect();
        let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        joined.map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let mut calls: Vec<(&Task, &Done)> = tasks.iter().zip(&done).collect();
    calls.sort_by_key(|(_, done)| !done.outcome.status.success());
    calls.into_iter().for_each(|(task, done)| fixture.keep(&task.cni, task.verb, &done.outcome));
    done
}

/// Adds the durations of these concurrent calls to the report.
pub(super) fn tell(fixture: &Fixture, verb: &str, done: &[Done]) {
    let mut took: Vec<f64> = done.iter().map(|done| done.took.as_secs_f64()).collect();
    took.sort_by(f64::total_cmp);
    let part = |hundredths: usize| {
        let index = (took.len() * hundredths).div_ceil(100).saturating_sub(1);
        1000.0 * took.get(index).copied().unwrap_or_default()
    };
    let all = took.last().copied().unwrap_or_default().max(f64::EPSILON);
    #[allow(clippy::cast_precision_loss, reason = "a few dozen")]
    let rate = took.len() as f64 / all;
    fixture.note(format!(
        "{verb}, {} at once: {rate:.0} a second, p50 {:.0} ms, p99 {:.0} ms",
        took.len(),
        part(50),
        part(99)
    ));
}
