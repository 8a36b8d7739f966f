//! A task that runs in a process and in namespaces of its own.
//!
//! The kit starts itself again for each task. The new process is the first one of a process
//! namespace, and it has mounts and networks of its own. When it ends, for whatever reason, the
//! kernel ends every process that it started and removes everything that it made. It ends when the
//! kit ends.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{getegid, geteuid};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::disk;
use crate::timeout::{self, SLOW_MACHINE};

/// The exit status of a task in which the kit itself failed.
const BROKEN: u8 = 3;

/// A task for a process of its own.
pub trait Task: Serialize + DeserializeOwned {
    /// Identifies the type of the task for the process that performs it.
    const NAME: &'static str;
    /// The process prints it as JSON.
    type Answer: Serialize + DeserializeOwned;
}

/// A task of any type, as the process that performs it gets it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    name: String,
    task: Value,
}

impl Request {
    /// Performs the task and prints the answer, if the task is of this type.
    pub fn perform<T: Task>(&self, perform: impl FnOnce(T) -> T::Answer) -> Option<ExitCode> {
        if self.name != T::NAME {
            return None;
        }
        let task = serde_json::from_value(self.task.clone());
        let answer = perform(task.unwrap_or_else(|error| broken(&error.to_string())));
        let text = serde_json::to_vec(&answer).unwrap_or_default();
        Some(match io::stdout().write_all(&text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => broken(&format!("print the answer: {error}")),
        })
    }
}

/// Runs a task in a process of its own, which is killed after `patience`.
///
/// # Errors
///
/// If the process cannot be started, fails, prints no answer or does not end in time.
pub fn run<T: Task>(task: &T, patience: Duration) -> Result<T::Answer, String> {
    let task = serde_json::to_value(task).map_err(|error| error.to_string())?;
    let request = Request { name: T::NAME.to_owned(), task };
    let output = output(command("--apart", &request)?, patience)?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("{error}; it complained: {complaint}")),
        false => Err(format!("the kit failed ({}): {}", output.status, complaint.trim())),
    }
}

/// Handles the hidden options with which the kit starts itself for a task: `perform` runs in the
/// namespaces. Returns [`None`] if the command line has none of these options.
pub fn hidden(perform: impl FnOnce(&Request) -> ExitCode) -> Option<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [option, request] = arguments.as_slice() else { return None };
    let request =
        || serde_json::from_str(request).unwrap_or_else(|error| broken(&error.to_string()));
    match option.as_str() {
        "--apart" => Some(apart(&request())),
        "--work" => {
            enter();
            Some(perform(&request()))
        }
        _ => None,
    }
}

/// Ends the process because the kit cannot go on. This is no finding about the plugin.
pub fn broken(why: &str) -> ! {
    eprintln!("{why}");
    std::process::exit(BROKEN.into());
}

fn command(option: &str, request: &Request) -> Result<Command, String> {
    let own = env::current_exe().map_err(|error| format!("find the kit's own file: {error}"))?;
    let request = serde_json::to_string(request).map_err(|error| error.to_string())?;
    let mut command = Command::new(own);
    command.arg(option).arg(request).stdin(Stdio::null());
    Ok(command)
}

/// Makes the namespaces, and the first process in them. That process does not outlive this one, and
/// this one does not outlive the kit.
fn apart(request: &Request) -> ExitCode {
    let made = set_pdeathsig(Signal::SIGKILL).map_err(|error| error.to_string());
    let made = made.and_then(|()| namespaces()).and_then(|()| command("--work", request));
    let status = made.and_then(|mut command| command.status().map_err(|error| error.to_string()));
    let status = status.unwrap_or_else(|error| broken(&format!("make namespaces: {error}")));
    match status.code() {
        Some(0) => ExitCode::SUCCESS,
        _ => ExitCode::from(BROKEN),
    }
}

/// An unprivileged user becomes root of a user namespace.
fn namespaces() -> Result<(), String> {
    let (user, group) = (geteuid(), getegid());
    let mut flags = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS;
    if !user.is_root() {
        flags |= CloneFlags::CLONE_NEWUSER;
    }
    unshare(flags).map_err(|error| match user.is_root() {
        true => error.to_string(),
        false => format!(
            "{error}: run as root, or let users make namespaces (sysctl \
             kernel.unprivileged_userns_clone=1)"
        ),
    })?;
    if !user.is_root() {
        let maps = [
            ("setgroups", "deny".to_owned()),
            ("uid_map", format!("0 {user} 1")),
            ("gid_map", format!("0 {group} 1")),
        ];
        for (file, text) in maps {
            let path = format!("/proc/self/{file}");
            fs::write(&path, text).map_err(|error| format!("{path}: {error}"))?;
        }
    }
    Ok(())
}

/// Prepares the first process of the namespaces.
fn enter() {
    let ready = set_pdeathsig(Signal::SIGKILL).and_then(|()| {
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none)
    });
    ready.unwrap_or_else(|error| broken(&format!("make a /proc of its own: {error}")));
    disk::remember_machine().unwrap_or_else(|error| broken(&error));
}

/// Runs a command and kills it after `patience`.
fn output(mut command: Command, patience: Duration) -> Result<Output, String> {
    let patience = timeout::scaled(patience);
    // In a process group of its own the process does not get the SIGINT of Ctrl-C. The kit gets it,
    // and the process ends with the kit.
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|error| format!("start the kit again: {error}"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let read = |pipe: Option<Box<dyn Read + Send>>| {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                let _ = pipe.read_to_end(&mut bytes);
            }
            let _ = sender.send(bytes);
        });
        receiver
    };
    let stdout = read(stdout.map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let stderr = read(stderr.map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let Ok(stdout) = stdout.recv_timeout(patience) else {
        // Its namespaces end with it.
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!(
            "the case did not end within {} s. {SLOW_MACHINE}",
            patience.as_secs()
        ));
    };
    let stderr = stderr.recv_timeout(patience).unwrap_or_default();
    let status = child.wait().map_err(|error| error.to_string())?;
    Ok(Output { status, stdout, stderr })
}
