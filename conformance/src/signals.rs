//! Signals that interrupt the kit. It reports the outcomes so far.

use std::panic::{self, AssertUnwindSafe};
use std::process;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use nix::sys::signal::{SigSet, Signal};

/// The handler of the next signal. Without one, a signal ends the process at once.
static LISTENER: Mutex<Option<Listener>> = Mutex::new(None);

type Listener = Box<dyn FnOnce(Signal) + Send>;

/// Delivers SIGINT, SIGTERM and SIGHUP to the handler of [`listen`] from now on. Must be called
/// before any thread starts. Child processes get the signals as usual.
///
/// # Errors
///
/// If the kernel refuses.
pub fn watch() -> Result<(), String> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block().map_err(|error| format!("watch for signals: {error}"))?;
    thread::spawn(move || {
        while let Ok(signal) = signals.wait() {
            let listener = LISTENER.lock().unwrap_or_else(PoisonError::into_inner).take();
            match listener {
                Some(tell) => tell(signal),
                None => process::exit(status(signal).into()),
            }
        }
    });
    Ok(())
}

/// Calls `tell` on the next signal, in another thread, instead of ending the process.
pub fn listen(tell: impl FnOnce(Signal) + Send + 'static) {
    *LISTENER.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(tell));
}

/// Removes the handler: the next signal ends the process again.
pub fn ignore() {
    *LISTENER.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Runs `work` in another thread, and abandons it if a signal arrives first.
///
/// # Errors
///
/// The signal that arrived.
pub fn run_until_signal<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Signal> {
    let (sender, receiver) = mpsc::channel();
    let told = sender.clone();
    listen(move |signal| drop(told.send(Err(signal))));
    thread::spawn(move || {
        let done = panic::catch_unwind(AssertUnwindSafe(work));
        drop(sender.send(done.map_err(|_| Signal::SIGABRT)));
    });
    let done = receiver.recv();
    ignore();
    done.unwrap_or(Err(Signal::SIGABRT))
}

/// The exit status of a process that a signal ended, by the convention of shells.
pub fn status(signal: Signal) -> u8 {
    u8::try_from(signal as i32).map_or(u8::MAX, |number| number.saturating_add(128))
}
