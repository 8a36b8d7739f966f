//! `cnitool`: joins network namespaces to CNI networks by hand, as a container runtime would, and
//! shows what is there.

mod action;
mod args;
mod attach;
mod before;
mod caches;
mod capabilities;
mod fill;
mod found;
mod gc;
mod interrupt;
mod lint;
mod ls;
mod netns;
mod plan;
mod repair;
mod tree;
mod usage;
mod version;

use std::io::{self, Write};
use std::process::ExitCode;

use libcni::runtime::{NetworkConfig, Runtime};
use libcni::{Code, Context, Error, output, text};

use action::Action;
use args::Arguments;
use interrupt::Interrupt;

fn main() -> ExitCode {
    let interrupt = output::survive_file_size_limit()
        .context(|| "block the signal of the file size limit")
        .and_then(|()| Interrupt::watch());
    match interrupt.as_ref().map_err(|error| Failure::Cni(error.clone())).and_then(run) {
        Ok(text) => finish(&text),
        Err(Failure::Usage(text)) => {
            note(&text);
            ExitCode::FAILURE
        }
        Err(Failure::Answered(text)) => {
            finish(&text);
            ExitCode::FAILURE
        }
        Err(Failure::Cni(error)) => {
            note(&error.to_string());
            match interrupt.is_ok_and(|interrupt| interrupt.received()) {
                true => ExitCode::from(INTERRUPTED),
                false => ExitCode::FAILURE,
            }
        }
    }
}

/// The exit status after Ctrl-C, as shells have it: 128 and the signal's number.
const INTERRUPTED: u8 = 130;

/// Why there is nothing to print on standard output.
enum Failure {
    /// The command line was not understood; this text says how it is meant.
    Usage(String),
    /// The operation failed.
    Cni(Error),
    /// This is the answer, but something was found wrong, or could not be looked at and standard
    /// error has the reasons.
    Answered(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Cni(error)
    }
}

/// What every action works with.
struct Session<'a> {
    arguments: &'a Arguments,
    list: NetworkConfig,
    runtime: Runtime<'a>,
    interrupt: &'a Interrupt,
}

/// Does what the command line says and returns what goes to standard output.
fn run(interrupt: &Interrupt) -> Result<String, Failure> {
    let arguments = match args::parse()? {
        args::Parsed::Help(text) => return Ok(text),
        args::Parsed::Run(arguments) => arguments,
    };
    match arguments.action {
        Action::Lint => return lint::lint(&arguments.lint()),
        Action::Ls => {
            interrupt.ignore();
            return ls::ls(&arguments);
        }
        _ => {}
    }
    let Some(network) = &arguments.network else { return Ok(version::own(arguments.json)) };
    let mut runtime = arguments.runtime();
    runtime.cancel = Some(interrupt.fd());
    let list = NetworkConfig::find(&arguments.conf_dir, network)
        .map_err(|error| lost(error, network, &arguments, &runtime))?;
    let session = Session { arguments: &arguments, list, runtime, interrupt };
    Ok(match arguments.action {
        Action::Add => attach::add(&session)?,
        Action::Check => attach::check(&session)?,
        Action::Del => attach::del(&session)?,
        Action::Status => attach::status(&session)?,
        Action::Gc => gc::gc(&session)?,
        Action::Plan => plan::plan(&session)?,
        Action::Repair => repair::repair(&session)?,
        Action::Lint | Action::Ls | Action::Version => version::of_plugins(&session)?,
    })
}

/// Adds a hint if the cache has attachments, and with them the configuration, of a network that no
/// file configures.
fn lost(error: Error, network: &str, arguments: &Arguments, runtime: &Runtime<'_>) -> Error {
    let cached = runtime.cache.attachments(None).unwrap_or_default();
    if error.code != Code::INVALID_CONFIG || !cached.iter().any(|it| &*it.network == network) {
        return error;
    }
    let command = format!("cnitool ls {network}{}", arguments.folders());
    error.line(&format!(
        "the cache has attachments of it: run `{command}` to see how to remove them"
    ))
}

fn finish(text: &str) -> ExitCode {
    match output::write(text) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has closed the pipe.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(error) => {
            note(&format!("write to standard output: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints a message on standard error. Names and paths from files can hold any characters; a
/// terminal must not interpret them.
fn note(message: &str) {
    let message = text::lines(message);
    // There is nowhere to report that standard error is closed.
    writeln!(io::stderr(), "{message}").ok();
}
