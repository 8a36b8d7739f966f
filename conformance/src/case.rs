//! One case: a requirement, a plugin and a version of the specification, tested in a process of its own.
//!
//! The process is the first of a process namespace, and its mounts and networks are its own too. When it ends, for
//! whatever reason, the kernel ends everything it started and forgets everything it made. It ends when the kit ends.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{self, Write};
use std::process::{Command, ExitCode, Stdio};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{getegid, geteuid};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::bench::{Bench, Called, broken};
use crate::profile::Profile;
use crate::requirement::{Finding, Stop};
use crate::requirements;
use crate::suite::Suite;

/// The exit status of a case in which the kit itself failed.
pub const BROKEN: i32 = 3;

/// What a case is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Case {
    /// The requirement's id.
    pub requirement: String,
    /// The plugin's type.
    pub plugin: String,
    /// The version of the specification.
    pub version: String,
    /// Where the plugin is.
    pub suite: Suite,
    /// The text of the plugin's profile, if it is not one that everybody knows.
    pub profile: Option<String>,
    /// Of how many parts this is which, counted from 0: `(part, parts)`. For tests that take long.
    pub part: (usize, usize),
    /// Of the system calls that a plugin could be killed before, every which one is tried.
    #[serde(default)]
    pub crash_every: usize,
}

/// How a case ended.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ended {
    /// In short.
    pub verdict: Verdict,
    /// Why not, for what was not tested.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Whether it could not be tested because this kernel lacks a kind of link, which others have.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lacking: bool,
    /// The kernel's release, if it was tested in the lab.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub lab: String,
    /// The evidence of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<Finding>,
    /// The last calls before a failure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Called>,
    /// Figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// How a case ended, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The plugin does what is asked.
    Passed,
    /// It does not.
    Failed,
    /// It is not asked of this plugin.
    Absent,
    /// It cannot be tested on this machine.
    Untestable,
    /// The kit failed, not the plugin.
    #[default]
    Broken,
}

/// Work that is done in a process of its own, in namespaces of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Work {
    /// A case is tested.
    Test(Case),
    /// Plugins of a suite are asked for the versions that they speak.
    Versions(Suite, Vec<String>),
    /// It is found out which kinds of links the kernel makes.
    Abilities(Vec<String>),
    /// A scenario of a comparison is run with one suite.
    Scenario(crate::compare::Scenario),
}

impl Work {
    /// A command that does this work and prints what comes of it, as JSON.
    ///
    /// # Errors
    ///
    /// If the kit's own file cannot be found.
    pub fn command(&self) -> Result<Command, String> {
        command("--apart", self)
    }
}

/// The hidden options that do work: what follows them is the work as JSON. Returns [`None`] without one.
pub fn hidden() -> Option<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let Some((crate::trace::OPTION, program)) =
        arguments.split_first().map(|(option, rest)| (option.as_str(), rest))
    {
        return Some(crate::trace::launch(program));
    }
    let [option, work] = arguments.as_slice() else { return None };
    let work = || serde_json::from_str(work).unwrap_or_else(|error| broken(&error.to_string()));
    match option.as_str() {
        "--apart" => Some(apart(&work())),
        "--work" => Some(inside(work())),
        _ => None,
    }
}

fn command(option: &str, work: &Work) -> Result<Command, String> {
    let own = env::current_exe().map_err(|error| format!("find the kit's own file: {error}"))?;
    let work = serde_json::to_string(work).map_err(|error| error.to_string())?;
    let mut command = Command::new(own);
    command.arg(option).arg(work).stdin(Stdio::null());
    Ok(command)
}

/// Makes the namespaces, and the first process in them. It does not outlive this one, nor this one the kit.
fn apart(work: &Work) -> ExitCode {
    let made = set_pdeathsig(Signal::SIGKILL).map_err(|error| error.to_string());
    let made = made.and_then(|()| namespaces()).and_then(|()| command("--work", work));
    let status = made.and_then(|mut command| command.status().map_err(|error| error.to_string()));
    let status = status.unwrap_or_else(|error| broken(&format!("make namespaces: {error}")));
    match status.code() {
        Some(0) => ExitCode::SUCCESS,
        _ => ExitCode::from(u8::try_from(BROKEN).unwrap_or(u8::MAX)),
    }
}

/// An ordinary user becomes root of a user namespace.
fn namespaces() -> Result<(), String> {
    let (user, group) = (geteuid(), getegid());
    let mut flags = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS;
    if !user.is_root() {
        flags |= CloneFlags::CLONE_NEWUSER;
    }
    unshare(flags).map_err(|error| match user.is_root() {
        true => error.to_string(),
        false => format!(
            "{error}: run as root, or let users make namespaces (sysctl kernel.unprivileged_userns_clone=1)"
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

/// The first process of the namespaces.
fn inside(work: Work) -> ExitCode {
    let ready = set_pdeathsig(Signal::SIGKILL).and_then(|()| {
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none)
    });
    ready.unwrap_or_else(|error| broken(&format!("make a /proc of its own: {error}")));
    match work {
        Work::Test(case) => say(&test(case)),
        Work::Versions(suite, names) => {
            let versions = |name: String| (name.clone(), suite.versions(&name));
            say(&names.into_iter().map(versions).collect::<BTreeMap<_, _>>())
        }
        Work::Abilities(kinds) => say(&crate::runner::abilities(&kinds)),
        Work::Scenario(scenario) => say(&crate::compare::run(&scenario)),
    }
}

fn say(answer: &impl Serialize) -> ExitCode {
    let text = serde_json::to_vec(answer).unwrap_or_default();
    match io::stdout().write_all(&text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => broken(&format!("print the answer: {error}")),
    }
}

/// The profile of a plugin: the one given, or the one that everybody knows.
pub fn profile(plugin: &str, given: Option<&str>) -> Profile {
    let profile = match given {
        Some(text) => Profile::parse(text).map(|(_, profile)| profile),
        None => Profile::known(plugin).ok_or_else(|| format!("{plugin}: no profile")),
    };
    profile.unwrap_or_else(|error| broken(&error))
}

fn test(case: Case) -> Ended {
    let requirement = requirements::find(&case.requirement)
        .unwrap_or_else(|| broken(&format!("{}: no such requirement", case.requirement)));
    let profile = profile(&case.plugin, case.profile.as_deref());
    let bench = Bench::new(case, profile);
    let verdict = (requirement.test)(&bench);
    let (calls, notes) = bench.evidence();
    let ended = Ended { notes, ..Ended::default() };
    match verdict {
        Ok(()) => Ended { verdict: Verdict::Passed, ..ended },
        Err(Stop::Failed(finding)) => {
            Ended { verdict: Verdict::Failed, finding: Some(finding), calls, ..ended }
        }
        Err(Stop::Absent(why)) => Ended { verdict: Verdict::Absent, why, ..ended },
        Err(Stop::Untestable(why)) => Ended { verdict: Verdict::Untestable, why, ..ended },
    }
}

/// What a process that did [`Work`] printed, or why it did not.
///
/// # Errors
///
/// What it complained about, if it failed or printed something else.
pub fn answer<T: DeserializeOwned>(output: &std::process::Output) -> Result<T, String> {
    let complaint = String::from_utf8_lossy(&output.stderr);
    match output.status.success() {
        true => serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("{error}; it complained: {complaint}")),
        false => Err(format!("the kit failed ({}): {}", output.status, complaint.trim())),
    }
}
