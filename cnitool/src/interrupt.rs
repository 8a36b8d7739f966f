//! Ctrl-C and termination as something that can be waited for together with a plugin.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use libcni::{Context, Result};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// The signals that ask to stop, taken out of their usual way.
pub struct Interrupt {
    mask: SigSet,
    signals: SignalFd,
    came: Cell<bool>,
}

impl Interrupt {
    /// From now on the signals no longer end the process. Plugins inherit that, and are killed by
    /// us instead.
    pub fn watch() -> Result<Interrupt> {
        let mut mask = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            mask.add(signal);
        }
        let watch = || {
            mask.thread_block()?;
            SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        };
        let signals = watch().map_err(io::Error::from).context(|| "watch for signals")?;
        Ok(Interrupt { mask, signals, came: Cell::new(false) })
    }

    /// From now on the signals end the process again: there is nothing to roll back.
    pub fn ignore(&self) {
        // Otherwise Ctrl-C comes too late, and that is all.
        self.mask.thread_unblock().ok();
    }

    /// Readable when a signal came.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.signals.as_fd()
    }

    /// Whether a signal ever came. Those that came no longer make [`Interrupt::fd`] readable, so
    /// that what has to be done before the end can be, until the next one comes.
    pub fn received(&self) -> bool {
        while let Ok(Some(_)) = self.signals.read_signal() {
            self.came.set(true);
        }
        self.came.get()
    }
}
