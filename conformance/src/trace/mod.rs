//! Runs a program, follows all its threads and child processes, and kills it before its N-th system call.
//!
//! The kit starts itself as a launcher, which asks to be traced and becomes the program. All of it happens on a thread of
//! its own: what the kernel tells of tracees, it tells their thread, and what is left when that ends is killed.

mod calls;

use std::collections::{BTreeMap, BTreeSet};
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

/// The hidden option of the launcher. The program comes after it.
pub const OPTION: &str = "--traced";

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Way {
    /// The program with everything that it started: the machine lost its power, or memory ran out.
    Everything,
    /// The program alone, as a runtime kills the one that it started. What that started goes on.
    Alone,
}

/// Before which system call a program is killed, counted from 1 over all its threads and child processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kill {
    /// The number of the call.
    pub number: usize,
    /// Who is killed.
    pub way: Way,
}

/// Where a program was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Killed {
    /// The number of the call.
    pub number: usize,
    /// The call, with the path that it is about: `openat /etc/passwd`.
    pub call: String,
    /// The program that would have made it.
    pub program: String,
    /// Whether there were other processes than the first, so that it makes a difference who is killed.
    pub others: bool,
}

/// What came of a run.
#[derive(Debug, Clone, Default)]
pub struct Traced {
    /// How many calls were counted.
    pub calls: usize,
    /// Where it was killed, if it came that far.
    pub killed: Option<Killed>,
    /// The exit status, if the program ended by itself.
    pub status: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
    /// Whether it did not end in time and was killed for that.
    pub hung: bool,
}

/// What the launcher does: becomes the program, traced by its parent.
pub fn launch(program: &[String]) -> ExitCode {
    let (Some((file, arguments)), Ok(())) = (program.split_first(), ptrace::traceme()) else {
        eprintln!("{OPTION} PROGRAM: cannot be traced");
        return ExitCode::FAILURE;
    };
    // From here on the kernel stops this process when it has become the program.
    let error = Command::new(file).args(arguments).exec();
    eprintln!("{file}: {error}");
    ExitCode::FAILURE
}

/// Runs the launcher with a program, and what that reads.
///
/// # Errors
///
/// If it cannot be started or traced.
pub fn run(
    mut launcher: Command,
    stdin: &[u8],
    at: Option<Kill>,
    deadline: Duration,
) -> Result<Traced, String> {
    // Files, because a program that writes into a pipe that nobody reads would wait.
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

/// A file without a name, in memory if there is such a folder.
fn file() -> Result<File, String> {
    let made = tempfile::tempfile_in("/run/testbed").or_else(|_| tempfile::tempfile());
    made.map_err(|error| format!("make a file for a plugin's output: {error}"))
}

fn text(mut file: File) -> String {
    let mut bytes = Vec::new();
    let _ = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How what stops is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// It goes on to its next system call.
    Counting,
    /// It goes on, and its calls are of no interest.
    Free,
    /// It is killed.
    Killing,
}

/// Follows a program.
struct Tracer<'a> {
    /// The program's first process.
    top: Pid,
    at: Option<Kill>,
    mode: Mode,
    /// Each thread, and whether it is inside a call: it stops at its beginning and at its end.
    inside: BTreeMap<Pid, bool>,
    /// The same threads, for whom watches the time.
    tracees: &'a Mutex<BTreeSet<Pid>>,
    traced: Traced,
}

impl<'a> Tracer<'a> {
    /// Starts the launcher, and waits until it has become the program.
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

    /// Follows until nothing is left.
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
                    // Whatever is new begins with a stop of its own.
                    let new = self.know(pid) && signal == Signal::SIGSTOP;
                    self.resume(pid, (!new).then_some(signal));
                }
                Ok(WaitStatus::PtraceEvent(pid, _, event)) => {
                    self.know(pid);
                    if event == libc::PTRACE_EVENT_EXEC {
                        // It goes by the first thread's id now, and is inside `execve`.
                        self.inside.insert(pid, true);
                    }
                    self.resume(pid, None);
                }
                Ok(WaitStatus::PtraceSyscall(pid)) => self.call(pid),
                Ok(_) | Err(Errno::EINTR) => {}
                // A signal that has no name here, one of the real-time ones: nobody says whose.
                Err(Errno::EINVAL) => self.resume_all(),
                Err(Errno::ECHILD) => return Ok(self.traced),
                Err(error) => return Err(format!("wait for the program: {error}")),
            }
        }
    }

    /// A thread begins or ends a call.
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
        // If it is killed already, it cannot be resumed, which is no error.
        self.resume(pid, None);
    }

    /// Kills whom it is to kill, while `pid` has its call before it.
    fn kill(&mut self, pid: Pid, at: Kill) {
        let other =
            |thread: &Pid| calls::process(*thread).is_some_and(|process| process != self.top);
        self.traced.killed = Some(Killed {
            number: at.number,
            call: calls::describe(pid),
            program: calls::program(pid),
            others: self.inside.keys().any(other),
        });
        self.mode = match at.way {
            Way::Alone => {
                end(self.top);
                Mode::Free
            }
            Way::Everything => {
                self.inside.keys().copied().for_each(end);
                Mode::Killing
            }
        };
    }

    fn resume(&self, pid: Pid, signal: Option<Signal>) {
        // What was killed meanwhile is gone: that is seen next.
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

/// Kills a thread's process. That it is gone already is no error.
fn end(thread: Pid) {
    let _ = kill(thread, Signal::SIGKILL);
}

/// Whether a process has ended, though its parent may not have asked yet.
pub fn has_ended(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before may have anything in it.
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}
