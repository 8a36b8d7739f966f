//! Runs a program, traces all its threads and child processes, and kills it before its N-th system
//! call.
//!
//! The kit starts itself as a launcher, which requests to be traced and then executes the program.
//! One thread does all of this, because the kernel reports tracees only to the thread that traces
//! them. When the thread ends, it kills what is left.

mod calls;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// The hidden option of the launcher. The program follows it.
pub const OPTION: &str = "--traced";

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KillScope {
    /// The program with everything that it started, as by a power failure or an out-of-memory
    /// condition.
    Everything,
    /// Only the program, as a runtime kills its child process. Processes that it started continue.
    Alone,
}

/// The system call before which a program is killed, counted from 1 over all its threads and child
/// processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kill {
    /// The number of the system call.
    pub number: usize,
    /// What is killed.
    pub scope: KillScope,
}

/// The point at which a program was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Killed {
    /// The number of the system call.
    pub number: usize,
    /// The system call, with its path if it has one: `openat /etc/passwd`.
    pub call: String,
    /// The program that would have made the call.
    pub program: String,
    /// Whether there were other processes than the first, so that the two scopes differ.
    pub others: bool,
}

/// The outcome of a run.
#[derive(Debug, Clone, Default)]
pub struct Traced {
    /// The number of system calls.
    pub calls: usize,
    /// The point at which it was killed, if it got that far.
    pub killed: Option<Killed>,
    /// The exit status, if the program exited by itself.
    pub status: Option<i32>,
    /// The standard output.
    pub stdout: String,
    /// The standard error.
    pub stderr: String,
    /// Whether it was killed because it exceeded the time limit.
    pub hung: bool,
}

/// Handles the hidden option with which the kit starts itself as a launcher. Returns [`None`] if
/// the command line does not have it.
pub fn hidden() -> Option<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (option, program) = arguments.split_first()?;
    (option == OPTION).then(|| launch(program))
}

/// The launcher: it requests to be traced by its parent and executes the program.
fn launch(program: &[String]) -> ExitCode {
    let (Some((file, arguments)), Ok(())) = (program.split_first(), ptrace::traceme()) else {
        eprintln!("{OPTION} PROGRAM: cannot be traced");
        return ExitCode::FAILURE;
    };
    // From here on the kernel stops this process at the end of `execve`.
    let error = Command::new(file).args(arguments).exec();
    eprintln!("{file}: {error}");
    ExitCode::FAILURE
}

/// Runs a program under the tracer, with this standard input.
///
/// # Errors
///
/// If the program cannot be started or traced.
pub fn run(
    mut launcher: Command,
    stdin: &[u8],
    at: Option<Kill>,
    deadline: Duration,
) -> Result<Traced, String> {
    // Standard output and error are files, because a program would block on a pipe without a
    // reader.
    let (mut input, output, complaint) = (file()?, file()?, file()?);
    input.write_all(stdin).and_then(|()| input.rewind()).map_err(|error| error.to_string())?;
    let duplicate = |file: &File| file.try_clone().map_err(|error| error.to_string());
    launcher.stdin(input).stdout(duplicate(&output)?).stderr(duplicate(&complaint)?);
    let tracees = Mutex::new(BTreeSet::new());
    let mut traced = thread::scope(|scope| {
        let (done, waiting) = mpsc::channel::<()>();
        let watch = scope.spawn(|| {
            let waiting = waiting;
            let hangs = waiting.recv_timeout(deadline) == Err(mpsc::RecvTimeoutError::Timeout);
            if hangs {
                let tracees = tracees.lock().unwrap_or_else(PoisonError::into_inner);
                tracees.iter().copied().for_each(end);
            }
            hangs
        });
        let tracer = scope.spawn(|| {
            let followed = Tracer::start(launcher, at, &tracees).and_then(Tracer::follow);
            drop(done);
            followed
        });
        let followed = tracer.join().map_err(|_| "the tracer failed".to_owned()).and_then(|f| f);
        let hung = watch.join().unwrap_or_default();
        followed.map(|traced| Traced { hung, ..traced })
    })?;
    (traced.stdout, traced.stderr) = (text(output), text(complaint));
    Ok(traced)
}

/// An unnamed file, in memory if possible.
fn file() -> Result<File, String> {
    let made = tempfile::tempfile_in("/run/testbed").or_else(|_| tempfile::tempfile());
    made.map_err(|error| format!("make a file for a plugin's output: {error}"))
}

fn text(mut file: File) -> String {
    let mut bytes = Vec::new();
    let _ = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How the tracer continues a stopped thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// It continues to its next system call.
    Counting,
    /// It continues, and its system calls are not traced.
    Free,
    /// It is killed.
    Killing,
}

/// Traces a program.
struct Tracer<'a> {
    /// The first process of the program.
    top: Pid,
    at: Option<Kill>,
    mode: Mode,
    /// Each thread, and whether it is inside a system call: the kernel stops it at the beginning
    /// and at the end of each.
    inside: BTreeMap<Pid, bool>,
    /// The same threads, for the thread that watches the time limit.
    tracees: &'a Mutex<BTreeSet<Pid>>,
    traced: Traced,
}

impl<'a> Tracer<'a> {
    /// Starts the launcher and waits until it has executed the program.
    fn start(
        mut launcher: Command,
        at: Option<Kill>,
        tracees: &'a Mutex<BTreeSet<Pid>>,
    ) -> Result<Tracer<'a>, String> {
        let child = launcher.spawn().map_err(|error| format!("start the launcher: {error}"))?;
        let top = Pid::from_raw(child.id().cast_signed());
        let stopped = waitpid(top, Some(WaitPidFlag::__WALL));
        if !matches!(stopped, Ok(WaitStatus::Stopped(_, Signal::SIGTRAP))) {
            end(top);
            let _ = waitpid(top, Some(WaitPidFlag::__WALL));
            return Err(format!("the launcher did not become the program: {stopped:?}"));
        }
        let options = Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEFORK
            | Options::PTRACE_O_TRACEVFORK
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL;
        let set = ptrace::setoptions(top, options).and_then(|()| ptrace::syscall(top, None));
        set.map_err(|error| format!("trace the program: {error}"))?;
        let mut tracer = Tracer {
            top,
            at,
            mode: Mode::Counting,
            inside: BTreeMap::new(),
            tracees,
            traced: Traced::default(),
        };
        tracer.know(top);
        Ok(tracer)
    }

    /// Traces until no process is left.
    fn follow(mut self) -> Result<Traced, String> {
        loop {
            let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
            match waitpid(None, Some(flags)) {
                Ok(WaitStatus::Exited(pid, status)) => {
                    self.forget(pid);
                    if pid == self.top {
                        self.traced.status = Some(status);
                    }
                }
                Ok(WaitStatus::Signaled(pid, ..)) => self.forget(pid),
                Ok(WaitStatus::Stopped(pid, signal)) => {
                    // A new thread first stops once.
                    let new = self.know(pid) && signal == Signal::SIGSTOP;
                    self.resume(pid, (!new).then_some(signal));
                }
                Ok(WaitStatus::PtraceEvent(pid, _, event)) => {
                    self.know(pid);
                    if event == libc::PTRACE_EVENT_EXEC {
                        // After `execve` the process continues under the ID of its first thread,
                        // inside `execve`.
                        self.inside.insert(pid, true);
                    }
                    self.resume(pid, None);
                }
                Ok(WaitStatus::PtraceSyscall(pid)) => self.call(pid),
                Ok(_) | Err(Errno::EINTR) => {}
                // A real-time signal, which has no name here and no known sender.
                Err(Errno::EINVAL) => self.resume_all(),
                Err(Errno::ECHILD) => return Ok(self.traced),
                Err(error) => return Err(format!("wait for the program: {error}")),
            }
        }
    }

    /// Handles the beginning or the end of a system call.
    fn call(&mut self, pid: Pid) {
        self.know(pid);
        let inside = self.inside.get(&pid).is_some_and(|inside| !inside);
        self.inside.insert(pid, inside);
        if inside && self.mode == Mode::Counting {
            self.traced.calls += 1;
            if let Some(at) = self.at.filter(|at| at.number == self.traced.calls) {
                self.kill(pid, at);
            }
        }
        // A thread that was already killed cannot be resumed; this is not an error.
        self.resume(pid, None);
    }

    /// Kills the selected processes while `pid` stands before its system call.
    fn kill(&mut self, pid: Pid, at: Kill) {
        let other =
            |thread: &Pid| calls::process(*thread).is_some_and(|process| process != self.top);
        self.traced.killed = Some(Killed {
            number: at.number,
            call: calls::describe(pid),
            program: calls::program(pid),
            others: self.inside.keys().any(other),
        });
        self.mode = match at.scope {
            KillScope::Alone => {
                end(self.top);
                Mode::Free
            }
            KillScope::Everything => {
                self.inside.keys().copied().for_each(end);
                Mode::Killing
            }
        };
    }

    fn resume(&self, pid: Pid, signal: Option<Signal>) {
        // A process that exited meanwhile is reported next.
        let _ = match self.mode {
            Mode::Counting => ptrace::syscall(pid, signal),
            Mode::Free => ptrace::cont(pid, signal),
            Mode::Killing => kill(pid, Signal::SIGKILL),
        };
    }

    fn resume_all(&self) {
        self.inside.keys().for_each(|pid| self.resume(*pid, None));
    }

    /// Whether a thread is new.
    fn know(&mut self, pid: Pid) -> bool {
        let new = !self.inside.contains_key(&pid);
        if new {
            self.inside.insert(pid, false);
            self.tracees.lock().unwrap_or_else(PoisonError::into_inner).insert(pid);
        }
        new
    }

    fn forget(&mut self, pid: Pid) {
        self.inside.remove(&pid);
        self.tracees.lock().unwrap_or_else(PoisonError::into_inner).remove(&pid);
    }
}

/// Kills the process of a thread. A process that no longer exists is not an error.
fn end(thread: Pid) {
    let _ = kill(thread, Signal::SIGKILL);
}

/// Whether a process has exited, even if its parent has not waited for it.
pub fn has_ended(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before it may contain any character.
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}
