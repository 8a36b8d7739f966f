//! The kit in the place of a plugin that the plugin under test runs: it records the call, and then
//! runs the real plugin, or gives the answer that a test sets.
//!
//! Meta-plugins run other plugins as delegates. With the records the kit learns which ones, and
//! with which configuration.

use std::env;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::ipam::{self, Answer, IpamCall};
use crate::suite::LINKS;

/// The directory of the watched plugins: a link to the real program for each.
const WATCHED: &str = "/run/testbed/kit/watched";
/// The directory of the recorded calls, with a directory for each plugin.
const CALLS: &str = "/run/testbed/kit/watched-calls";
/// The directory of the answers that a test sets, with a directory for each plugin.
const ANSWERS: &str = "/run/testbed/kit/watched-answers";

/// Puts the kit in the place of all programs in [`LINKS`], except `plugin` and the kit's own.
///
/// # Errors
///
/// If a file cannot be made.
pub fn watch_all(plugin: &str) -> Result<(), String> {
    let entries = fs::read_dir(LINKS).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let names: Vec<String> = names.filter(|name| name != plugin && name != ipam::NAME).collect();
    names.iter().try_for_each(|name| watch(name))
}

/// Puts the kit in the place of a program in [`LINKS`].
///
/// # Errors
///
/// If a file cannot be made.
pub fn watch(name: &str) -> Result<(), String> {
    let link = Path::new(LINKS).join(name);
    let watched = || -> io::Result<()> {
        for folder in [Path::new(WATCHED), &calls_of(name), &answers_of(name)] {
            fs::create_dir_all(folder)?;
        }
        symlink(fs::read_link(&link)?, Path::new(WATCHED).join(name))?;
        fs::remove_file(&link)?;
        symlink(env::current_exe()?, &link)
    };
    watched().map_err(|error| format!("watch {}: {error}", link.display()))
}

/// The recorded calls of a watched plugin, oldest first.
pub fn calls(name: &str) -> Vec<IpamCall> {
    ipam::calls_in(&calls_of(name))
}

/// The watched plugins that were run, in alphabetical order.
pub fn called() -> Vec<String> {
    let entries = fs::read_dir(CALLS).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| !calls(name).is_empty()).collect();
    names.sort();
    names
}

/// Sets the answer of a watched plugin to a command.
///
/// # Errors
///
/// If the answer cannot be written.
pub fn answer(name: &str, verb: &str, stdout: impl ToString, status: u8) -> Result<(), String> {
    let answer = Answer { stdout: stdout.to_string(), status };
    let text = serde_json::to_string(&answer).map_err(|error| error.to_string())?;
    let path = answers_of(name).join(verb);
    fs::write(&path, text).map_err(|error| format!("write {}: {error}", path.display()))
}

/// The name of the watched plugin in whose place this process was started.
pub fn invoked() -> Option<String> {
    let name = PathBuf::from(env::args_os().next()?);
    let name = name.file_name()?.to_str()?.to_owned();
    Path::new(WATCHED).join(&name).symlink_metadata().is_ok().then_some(name)
}

/// The main function in the place of a watched plugin.
pub fn main(name: &str) -> ExitCode {
    run(name).unwrap_or_else(|error| {
        eprintln!("cni-conformance in the place of {name}: {error}");
        ExitCode::FAILURE
    })
}

fn run(name: &str) -> Result<ExitCode, String> {
    let text = |error: io::Error| error.to_string();
    let mut stdin = Vec::new();
    io::stdin().read_to_end(&mut stdin).map_err(text)?;
    let call = IpamCall::of_this_process(&String::from_utf8_lossy(&stdin));
    ipam::keep(&calls_of(name), &call)?;
    if let Ok(answer) = fs::read(answers_of(name).join(call.verb())) {
        let answer: Answer = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        print!("{}", answer.stdout);
        return Ok(ExitCode::from(answer.status));
    }
    let program = fs::read_link(Path::new(WATCHED).join(name)).map_err(text)?;
    let mut child = Command::new(program)
        .args(env::args_os().skip(1))
        .stdin(Stdio::piped())
        .spawn()
        .map_err(text)?;
    if let Some(mut pipe) = child.stdin.take() {
        match pipe.write_all(&stdin) {
            // The plugin may answer before it has read all of its input.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error.to_string()),
            _ => drop(pipe),
        }
    }
    let status = child.wait().map_err(text)?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, Into::into))
}

fn calls_of(name: &str) -> PathBuf {
    Path::new(CALLS).join(name)
}

fn answers_of(name: &str) -> PathBuf {
    Path::new(ANSWERS).join(name)
}
