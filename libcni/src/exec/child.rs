//! A running child process: its three pipes and its end, served by one `poll(2)` loop.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::{KEPT_STDERR, MAX_OUTPUT};
use crate::{Code, Error, Result};

/// What a child wrote.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) stdout: Vec<u8>,
    /// At most the last [`KEPT_STDERR`] bytes.
    pub(super) stderr: Vec<u8>,
}

/// A child in a process group of its own.
#[derive(Debug)]
pub(crate) struct Running<'a> {
    child: Child,
    /// Readable when the child has exited (`pidfd_open(2)`, Linux 5.3): the pipes do not tell, a
    /// grandchild may keep them open and the child may close them early.
    exited: OwnedFd,
    stdin: Option<ChildStdin>,
    unsent: &'a [u8],
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    output: Output,
}

impl<'a> Running<'a> {
    /// Starts `command`, whose three streams are pipes.
    pub(super) fn start(command: &mut Command, stdin: &'a [u8]) -> io::Result<Running<'a>> {
        let mut child = command.process_group(0).spawn()?;
        match watch(&child) {
            Ok(exited) => Ok(Running {
                stdin: child.stdin.take(),
                stdout: child.stdout.take(),
                stderr: child.stderr.take(),
                exited,
                child,
                unsent: stdin,
                output: Output { stdout: Vec::new(), stderr: Vec::new() },
            }),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error)
            }
        }
    }

    /// Serves the child until it exits. On an error the whole process group has been killed.
    pub(super) fn finish(
        &mut self,
        deadline: Option<Instant>,
        cancel: Option<BorrowedFd<'_>>,
    ) -> Result<ExitStatus> {
        match self.serve(deadline, cancel) {
            Ok(()) => self.child.wait().map_err(|error| broken("wait for the plugin", &error)),
            Err(error) => Err(match self.kill() {
                Ok(()) => error,
                Err(kill) => error.line(&format!("and it could not be killed: {kill}")),
            }),
        }
    }

    /// What the child wrote so far.
    pub(super) fn output(self) -> Output {
        self.output
    }

    fn serve(&mut self, deadline: Option<Instant>, cancel: Option<BorrowedFd<'_>>) -> Result<()> {
        if self.unsent.is_empty() {
            self.stdin = None;
        }
        loop {
            let exited = self.wait(deadline, cancel)?;
            // After the exit, what is in the pipes now is all there will be of the child's.
            self.send().map_err(|error| broken("write the plugin's stdin", &error))?;
            self.receive().map_err(|error| broken("read the plugin's output", &error))?;
            if self.output.stdout.len() > MAX_OUTPUT {
                let msg = format!("netplugin printed more than {MAX_OUTPUT} bytes and was killed");
                return Err(Error::internal(msg));
            }
            if exited {
                return Ok(());
            }
        }
    }

    /// Waits until there is something to do, and says whether the child has exited.
    fn wait(&self, deadline: Option<Instant>, cancel: Option<BorrowedFd<'_>>) -> Result<bool> {
        let input = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = vec![input(self.exited.as_fd())];
        fds.extend(self.stdin.as_ref().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLOUT)));
        fds.extend(self.stdout.as_ref().map(|pipe| input(pipe.as_fd())));
        fds.extend(self.stderr.as_ref().map(|pipe| input(pipe.as_fd())));
        wait_for(fds, deadline, cancel)
    }

    fn send(&mut self) -> io::Result<()> {
        while let Some(pipe) = &mut self.stdin {
            match pipe.write(self.unsent) {
                Ok(sent) => self.unsent = self.unsent.get(sent..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                // A plugin need not read what it does not want to know.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => self.unsent = &[],
                Err(error) => return Err(error),
            }
            if self.unsent.is_empty() {
                self.stdin = None;
            }
        }
        Ok(())
    }

    fn receive(&mut self) -> io::Result<()> {
        // One byte more than allowed tells that it was too much.
        drain(&mut self.stdout, &mut self.output.stdout, |kept| kept.len() <= MAX_OUTPUT)?;
        drain(&mut self.stderr, &mut self.output.stderr, |kept| {
            let surplus = kept.len().saturating_sub(KEPT_STDERR);
            kept.drain(..surplus);
            true
        })
    }

    /// Kills the process group and takes leave of the child. Its standard output and error are
    /// closed with it.
    fn kill(&mut self) -> io::Result<()> {
        let group = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        match killpg(group, Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error.into()),
        }
        self.child.wait()?;
        self.receive()
    }
}

/// Waits until `until`, or fails as soon as `cancel` is readable.
pub(super) fn pause(until: Instant, cancel: Option<BorrowedFd<'_>>) -> Result<()> {
    loop {
        let mut fds: Vec<_> =
            cancel.into_iter().map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let left = until.saturating_duration_since(Instant::now());
        match poll(&mut fds, milliseconds(left)) {
            Ok(0) if left.is_zero() => return Ok(()),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Err(cancelled()),
            Err(error) => return Err(broken("wait", &error.into())),
        }
    }
}

/// Waits until one of `fds` is ready, and says whether the first one is. Past the deadline and
/// cancelled are errors.
fn wait_for<'a>(
    mut fds: Vec<PollFd<'a>>,
    deadline: Option<Instant>,
    cancel: Option<BorrowedFd<'a>>,
) -> Result<bool> {
    let cancel_at = fds.len();
    fds.extend(cancel.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match poll(&mut fds, left.map_or(PollTimeout::NONE, milliseconds)) {
            Ok(0) if left.is_some_and(|left| left.is_zero()) => return Err(late()),
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(broken("wait for the plugin", &error.into())),
        }
        let ready = |fd: Option<&PollFd<'_>>| fd.and_then(PollFd::any).unwrap_or_default();
        let exited = ready(fds.first());
        // A plugin that is done is not cancelled any more; one that keeps writing is not spared at
        // the deadline.
        if !exited && ready(fds.get(cancel_at)) {
            return Err(cancelled());
        }
        if !exited && deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(late());
        }
        return Ok(exited);
    }
}

/// Makes the child's pipes non-blocking on our side, and gets a descriptor of the child itself.
fn watch(child: &Child) -> io::Result<OwnedFd> {
    let pipes = [
        child.stdin.as_ref().map(AsFd::as_fd),
        child.stdout.as_ref().map(AsFd::as_fd),
        child.stderr.as_ref().map(AsFd::as_fd),
    ];
    for pipe in pipes.into_iter().flatten() {
        let flags = OFlag::from_bits_retain(fcntl(pipe, FcntlArg::F_GETFL)?);
        fcntl(pipe, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    }
    Ok(pidfd_open(Pid::from_child(child), PidfdFlags::empty())?)
}

/// Reads what is there; closes the pipe at its end. `more` tidies the bytes and says whether to go
/// on.
fn drain<P: Read>(
    pipe: &mut Option<P>,
    bytes: &mut Vec<u8>,
    more: impl Fn(&mut Vec<u8>) -> bool,
) -> io::Result<()> {
    let mut buffer = [0; 8192];
    // Bounded, so that a child that writes without pause cannot keep the loop from seeing the
    // deadline.
    for _ in 0..64 {
        let Some(open) = pipe else { return Ok(()) };
        match open.read(&mut buffer) {
            Ok(0) => *pipe = None,
            Ok(count) => {
                bytes.extend_from_slice(buffer.get(..count).unwrap_or_default());
                if !more(bytes) {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The time as `poll(2)` takes it, rounded up, so that it never wakes before time and spins.
fn milliseconds(time: Duration) -> PollTimeout {
    let whole = time.as_nanos().div_ceil(1_000_000);
    i32::try_from(whole)
        .ok()
        .and_then(|milliseconds| PollTimeout::try_from(milliseconds).ok())
        .unwrap_or(PollTimeout::MAX)
}

fn late() -> Error {
    let msg = "netplugin failed with no error message: signal: killed (it did not finish in time)";
    Error::new(Code::TRY_AGAIN, msg)
}

fn cancelled() -> Error {
    Error::internal("netplugin failed with no error message: signal: killed (cancelled)")
}

fn broken(doing: &str, error: &io::Error) -> Error {
    Error::io(format!("failed to {doing}"), error)
}
