//! Finding and running the binaries of plugins: by a runtime, and by a plugin that delegates to an
//! IPAM plugin.

mod child;

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{Code, Error, PluginType, Result, json};
use child::Output;
pub(crate) use child::Running;

/// The most a plugin may write to its standard output, in bytes.
pub const MAX_OUTPUT: usize = 16 << 20;

/// How much of the end of a plugin's standard error is kept, in bytes.
pub const KEPT_STDERR: usize = 16 << 10;

/// How often a binary that is just being written ("text file busy") is run again, a second apart.
const BUSY_RETRIES: usize = 5;

/// Finds the binary of a plugin: the first regular file of its name in the folders of `path`.
///
/// # Errors
///
/// No folders were given, or none of them has the plugin.
pub fn find(plugin: &PluginType, path: &[PathBuf]) -> Result<PathBuf> {
    if path.is_empty() {
        return Err(Error::internal("no paths provided").details("set CNI_PATH"));
    }
    let binary = path.iter().map(|folder| folder.join(plugin.as_str()));
    binary.into_iter().find(|file| file.is_file()).ok_or_else(|| {
        let folders: Vec<_> = path.iter().map(|folder| folder.display().to_string()).collect();
        Error::internal(format!(
            "failed to find plugin {:?} in path [{}]",
            plugin.as_str(),
            folders.join(" ")
        ))
        .details("install it in one of these folders, or set CNI_PATH")
    })
}

/// One run of a plugin's binary.
///
/// ```
/// use libcni::exec::Exec;
///
/// let program = std::path::Path::new("/bin/cat");
/// let stdin = br#"{"name": "pods"}"#;
/// let exec = Exec { program, env: &[], stdin, deadline: None, cancel: None };
/// assert_eq!(exec.run()?, b"{\"name\": \"pods\"}");
/// # Ok::<(), libcni::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Exec<'a> {
    /// The binary, see [`find`].
    pub program: &'a Path,
    /// Variables to set, or to override, in the environment inherited from this process.
    pub env: &'a [(String, String)],
    /// What the plugin reads.
    pub stdin: &'a [u8],
    /// When to kill it; never, if none.
    pub deadline: Option<Instant>,
    /// Kill it as soon as this is readable, for example a signalfd or the read end of a pipe.
    pub cancel: Option<BorrowedFd<'a>>,
}

impl Exec<'_> {
    /// Runs the plugin and returns what it printed.
    ///
    /// The plugin runs in a process group of its own, which is killed as a whole at the deadline or
    /// on cancel. A process it leaves behind is not waited for, even if that keeps the pipes open.
    /// What a plugin says on its standard error goes to ours, unless it ended up in the error's
    /// details.
    ///
    /// # Errors
    ///
    /// The plugin's own error, unchanged, if it printed one. Otherwise: it could not be run, failed
    /// without an error that can be read, was killed by a signal, printed more than [`MAX_OUTPUT`],
    /// or did not finish in time ([`Code::TRY_AGAIN`]).
    pub fn run(&self) -> Result<Vec<u8>> {
        self.finish(self.start()?)
    }

    /// Waits for a started plugin, see [`Exec::run`].
    pub(crate) fn finish(&self, mut running: Running<'_>) -> Result<Vec<u8>> {
        let status = running.finish(self.deadline, self.cancel);
        let output = running.output();
        match status {
            Ok(status) if status.success() => {
                forward(&output.stderr);
                Ok(output.stdout)
            }
            Ok(status) => Err(self.failure(status, &output)),
            Err(error) => Err(with_stderr(self.about(error), &output)),
        }
    }

    /// Runs a plugin that has to answer with a JSON object.
    ///
    /// # Errors
    ///
    /// As [`Exec::run`]; and [`Code::DECODE_FAILURE`] if the plugin succeeded but its output is not
    /// a JSON object.
    pub fn run_json(&self) -> Result<Value> {
        self.answer(json::parse)
    }

    /// As [`Exec::run_json`], for a result of ADD: as leniently as Go reads it. `null` is an empty
    /// object, and bytes that are not UTF-8 become replacement characters.
    #[cfg(feature = "runtime")]
    pub(crate) fn run_result(&self) -> Result<Value> {
        self.answer(|stdout| match stdout.trim_ascii() {
            b"null" => Ok(Value::Object(serde_json::Map::new())),
            stdout => json::parse(String::from_utf8_lossy(stdout).as_bytes()),
        })
    }

    fn answer(&self, read: impl Fn(&[u8]) -> Result<Value>) -> Result<Value> {
        let stdout = self.run()?;
        read(&stdout).map_err(|error| {
            let said = match stdout.as_slice() {
                [] => "it printed nothing".to_owned(),
                said => format!("{}: {:?}", error.msg, excerpt(said)),
            };
            Error::new(Code::DECODE_FAILURE, "netplugin succeeded but its result cannot be read")
                .details(format!("{}: {said}", self.program.display()))
        })
    }

    /// Starts the plugin; a binary that is still being written gets a few seconds to be complete.
    ///
    /// # Errors
    ///
    /// [`Code::IO_FAILURE`] if it cannot be started, [`Code::TRY_AGAIN`] if the deadline has
    /// passed, or memory or processes are short.
    pub(crate) fn start(&self) -> Result<Running<'_>> {
        let mut command = Command::new(self.program);
        command.envs(self.env.iter().map(|(key, value)| (OsStr::new(key), OsStr::new(value))));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut retries = BUSY_RETRIES;
        loop {
            match Running::start(&mut command, self.stdin) {
                Err(error) if busy(&error) && retries > 0 => retries -= 1,
                Err(error) => {
                    let doing = format!("failed to run {}", self.program.display());
                    return Err(Error::io(doing, &error));
                }
                Ok(running) => return Ok(running),
            }
            let next = Instant::now() + Duration::from_secs(1);
            let until = self.deadline.map_or(next, |deadline| deadline.min(next));
            child::pause(until, self.cancel).map_err(|error| self.about(error))?;
        }
    }

    /// The error that a plugin printed which exited with a failure, or why there is none to be
    /// read.
    fn failure(&self, status: ExitStatus, output: &Output) -> Error {
        let silent = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_whitespace);
        if silent(&output.stdout) {
            let msg = if silent(&output.stderr) || status.signal().is_some() {
                format!("netplugin failed with no error message: {}", ending(status))
            } else {
                format!("netplugin failed: {:?}", excerpt(&output.stderr))
            };
            return with_stderr(self.about(Error::internal(msg)), output);
        }
        match own_error(&output.stdout) {
            Ok(error) => {
                forward(&output.stderr);
                error
            }
            Err(why) => {
                let said = excerpt(&output.stdout);
                let msg = format!(
                    "netplugin failed but error parsing its diagnostic message {said:?}: {why}"
                );
                let error = self.about(Error::internal(msg)).line(&ending(status));
                with_stderr(error, output)
            }
        }
    }

    /// Says which program the error is about.
    fn about(&self, error: Error) -> Error {
        error.line(&self.program.display().to_string())
    }
}

/// Runs a plugin as a person would, with arguments and no verb, and returns what it printed:
/// nothing if it does not know them. Its error is ignored.
///
/// # Errors
///
/// It could not be run, or did not end in time.
pub fn by_hand(program: &Path, args: &[&str], deadline: Instant) -> Result<Vec<u8>> {
    let about = |error: Error| error.line(&program.display().to_string());
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for (variable, _) in std::env::vars_os() {
        if variable.as_encoded_bytes().starts_with(b"CNI_") {
            command.env_remove(variable);
        }
    }
    let mut running = Running::start(&mut command, b"")
        .map_err(|error| Error::io(format!("failed to run {}", program.display()), &error))?;
    let status = running.finish(Some(deadline), None).map_err(about)?;
    Ok(if status.success() { running.output().stdout } else { Vec::new() })
}

/// The error a plugin printed. Some plugins print a result first and fail later: the last document
/// counts.
fn own_error(stdout: &[u8]) -> Result<Error, String> {
    let documents = serde_json::Deserializer::from_slice(stdout).into_iter::<Value>();
    let last = documents.last().ok_or("no document")?.map_err(|error| error.to_string())?;
    let code = json::get(&last, "code").and_then(Value::as_u64);
    let text = |key| json::get(&last, key).and_then(Value::as_str).map(str::to_owned);
    let (Some(code), Some(msg)) = (code.and_then(|code| u32::try_from(code).ok()), text("msg"))
    else {
        return Err("it has no code and msg".to_owned());
    };
    Ok(Error::new(code.into(), msg).details(text("details").unwrap_or_default()))
}

fn busy(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ETXTBSY as i32)
}

/// How a process ended, in words.
fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => match Signal::try_from(signal) {
            Ok(Signal::SIGKILL) => "signal: killed (SIGKILL)".to_owned(),
            Ok(signal) => format!("signal: {signal}"),
            Err(_) => format!("signal: {signal}"),
        },
        (None, None) => status.to_string(),
    }
}

/// The start of what a plugin printed, short enough for an error.
fn excerpt(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim();
    match text.char_indices().nth(1000) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}

/// Adds the end of the plugin's standard error to an error of ours.
fn with_stderr(error: Error, output: &Output) -> Error {
    match String::from_utf8_lossy(&output.stderr).trim() {
        "" => error,
        stderr => error.line(&format!("its stderr ends with: {stderr}")),
    }
}

/// Hands a plugin's standard error on.
fn forward(stderr: &[u8]) {
    // There is nowhere to report that our own standard error is closed.
    io::stderr().write_all(stderr).ok();
}

#[cfg(test)]
mod tests;
