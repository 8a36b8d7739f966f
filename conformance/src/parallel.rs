//! Runs pieces of work in parallel until all are done or a signal arrives.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use nix::sys::signal::Signal;

use crate::signals;

/// What the threads that work, and the handler of signals, report.
enum Event<R> {
    Done(usize, R),
    Signal(Signal),
}

/// Runs `work` on each item, `jobs` at the same time, and calls `done` after each. Returns the
/// outcomes in the order of the items. If a signal arrives, it returns the outcomes so far and the
/// signal, and abandons the other items.
pub fn run<T: Send + 'static, R: Send + 'static>(
    items: Vec<T>,
    jobs: usize,
    work: impl Fn(T) -> R + Send + Sync + 'static,
    mut done: impl FnMut(&R),
) -> (Vec<Option<R>>, Option<Signal>) {
    let mut outcomes: Vec<Option<R>> = items.iter().map(|_| None).collect();
    let queue = Arc::new(Mutex::new(items.into_iter().enumerate().collect::<VecDeque<_>>()));
    let work = Arc::new(work);
    let (sender, receiver) = mpsc::channel();
    let stop = sender.clone();
    signals::listen(move |signal| drop(stop.send(Event::Signal(signal))));
    for _ in 0..jobs.max(1) {
        let (queue, work, sender) = (Arc::clone(&queue), Arc::clone(&work), sender.clone());
        thread::spawn(move || {
            while let Some((index, item)) = next(&queue) {
                let _ = sender.send(Event::Done(index, work(item)));
            }
        });
    }
    drop(sender);
    let mut left = outcomes.len();
    let mut signal = None;
    while left > 0 {
        match receiver.recv() {
            Ok(Event::Done(index, outcome)) => {
                done(&outcome);
                left -= 1;
                if let Some(place) = outcomes.get_mut(index) {
                    *place = Some(outcome);
                }
            }
            Ok(Event::Signal(arrived)) => {
                signal = Some(arrived);
                break;
            }
            Err(_) => break,
        }
    }
    signals::ignore();
    (outcomes, signal)
}

fn next<T>(queue: &Mutex<VecDeque<(usize, T)>>) -> Option<(usize, T)> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}
