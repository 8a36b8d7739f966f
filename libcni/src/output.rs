//! Writes a program's answer to standard output, and reports whether all of it arrived.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{SFlag, fstat, major, minor};

/// How long [`write`] waits for a reader of a non-blocking pipe, in milliseconds.
const PATIENCE: u16 = 10_000;

/// Writes the whole text to standard output. [`io::stdout`] would ignore that the descriptor is not
/// open for writing.
///
/// # Errors
///
/// Returns the kernel's error: the reader is gone, the disk is full, or the descriptor is not open
/// for writing.
pub fn write(text: &str) -> io::Result<()> {
    let stdout = io::stdout();
    let mut left = text.as_bytes();
    while !left.is_empty() {
        match rustix::io::write(stdout.as_fd(), left) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => left = left.get(written..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => {
                let mut pipe = [PollFd::new(stdout.as_fd(), PollFlags::POLLOUT)];
                if poll(&mut pipe, PollTimeout::from(PATIENCE))? == 0 {
                    return Err(ErrorKind::TimedOut.into());
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether the program was started with its standard output closed.
///
/// Before `main`, Rust replaces a closed descriptor by `/dev/null`, open for reading and writing,
/// so that no file gets its number. A shell's `>/dev/null` is open for writing only, so the two can
/// be distinguished.
pub(crate) fn is_closed() -> bool {
    let stdout = io::stdout();
    let Ok(file) = fstat(stdout.as_fd()) else { return true };
    let is_null = SFlag::from_bits_truncate(file.st_mode) & SFlag::S_IFMT == SFlag::S_IFCHR
        && (major(file.st_rdev), minor(file.st_rdev)) == (1, 3);
    is_null
        && fcntl(stdout.as_fd(), FcntlArg::F_GETFL)
            .is_ok_and(|flags| OFlag::from_bits_retain(flags) & OFlag::O_ACCMODE == OFlag::O_RDWR)
}

/// Makes a write over the limit of `RLIMIT_FSIZE` fail, which can be reported, instead of ending
/// the process. Other limits, such as that on memory, already give errors.
///
/// # Errors
///
/// Returns an error if the kernel refuses it.
pub fn survive_file_size_limit() -> io::Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGXFSZ);
    Ok(signals.thread_block()?)
}
