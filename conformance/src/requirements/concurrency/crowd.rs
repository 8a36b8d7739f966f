//! Calls that are made at the same moment, and how long they took.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use testbed::{Cni, Outcome};

use crate::bench::{Bench, DEADLINE};

/// A call to be made.
#[derive(Debug, Clone)]
pub(super) struct Task {
    /// The call.
    pub(super) cni: Cni,
    /// The verb.
    pub(super) verb: &'static str,
}

/// A call that was made.
#[derive(Debug)]
pub(super) struct Done {
    /// The verb.
    pub(super) verb: &'static str,
    /// How it ended.
    pub(super) outcome: Outcome,
    /// How long it took.
    pub(super) took: Duration,
}

/// Makes all calls at once, each on a thread of its own. Those that failed are kept as evidence last, where a report
/// shows them.
pub(super) fn at_once(bench: &Bench, tasks: Vec<Task>) -> Vec<Done> {
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
    calls.into_iter().for_each(|(task, done)| bench.keep(&task.cni, task.verb, &done.outcome));
    done
}

/// Notes how fast these calls were, which began together.
pub(super) fn tell(bench: &Bench, verb: &str, done: &[Done]) {
    let mut took: Vec<f64> = done.iter().map(|done| done.took.as_secs_f64()).collect();
    took.sort_by(f64::total_cmp);
    let part = |hundredths: usize| {
        let index = (took.len() * hundredths).div_ceil(100).saturating_sub(1);
        1000.0 * took.get(index).copied().unwrap_or_default()
    };
    let all = took.last().copied().unwrap_or_default().max(f64::EPSILON);
    #[allow(clippy::cast_precision_loss, reason = "a few dozen")]
    let rate = took.len() as f64 / all;
    bench.note(format!(
        "{verb}, {} at once: {rate:.0} a second, p50 {:.0} ms, p99 {:.0} ms",
        took.len(),
        part(50),
        part(99)
    ));
}
