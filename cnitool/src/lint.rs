//! `cnitool lint`: finds what is wrong with network configurations before a container does.

mod between;
mod binaries;
mod document;
mod files;
mod host;
mod ipam;
mod known;
mod list;
mod network;
mod plugin;
mod problem;
mod ranges;
mod report;
mod rules;
mod schema;
mod suggest;
mod syntax;
mod verdict;
mod version;

use std::env;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use libcni::Result;

use binaries::Binaries;
use files::{File, Files, Kind};
use host::Host;
use network::Network;
use problem::{Problem, Severity};
use ranges::Pool;

use crate::Failure;

/// What to look at, and how.
#[derive(Debug)]
pub struct Options {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// Where plugins are.
    pub folders: Vec<PathBuf>,
    /// Whether to look for plugins.
    pub with_plugins: bool,
    /// Whether to look at this host.
    pub with_host: bool,
    /// Whether warnings count as errors.
    pub strict: bool,
    pub json: bool,
}

/// Looks at all files, and says what was found.
///
/// # Errors
///
/// With what was found, if an error is among it; or a file could not be read.
pub fn lint(options: &Options) -> Result<String, Failure> {
    let mut files = Files::default();
    for path in &options.paths {
        files.add(path)?;
    }
    let Files { all, problems } = files;
    let problems = found(options, &all, problems);
    let is_bad = |problem: &Problem| match problem.severity {
        Severity::Error => true,
        Severity::Warning => options.strict,
        Severity::Note => false,
    };
    let is_bad = problems.iter().any(is_bad);
    let text = match options.json {
        true => report::for_programs(&all, &problems),
        false => report::for_people(&all, &problems, colour(), width()),
    };
    if is_bad { Err(Failure::Answered(text)) } else { Ok(text) }
}

/// Everything that is wrong, in the order of the files.
fn found(options: &Options, files: &[File], mut problems: Vec<Problem>) -> Vec<Problem> {
    let binaries = Binaries::new(options.folders.clone(), options.with_plugins);
    let (list_keys, plugin_keys) = (list::keys(), plugin::common_keys());
    let mut networks = Vec::new();
    for (index, file) in files.iter().enumerate() {
        if !list::check(file, &list_keys, &plugin_keys, &mut problems) {
            continue;
        }
        let Some(network) = Network::of(index, files) else { continue };
        if file.kind == Kind::List
            && network.plugins.is_empty()
            && network.root.get("plugins").is_none()
        {
            problems.extend(list::without_plugins(&network));
        }
        networks.push(network);
    }
    for network in &networks {
        plugin::check(network, &binaries, &plugin_keys, &mut problems);
        version::check(network, &binaries, &mut problems);
        for (index, plugin) in network.plugins.iter().enumerate() {
            rules::check(network, index, &binaries, &mut problems);
            if let Some(pool) = Pool::of(network, plugin) {
                let is_ours = plugin.kind.as_ref().is_none_or(|kind| {
                    let binary = binaries.get(kind);
                    binary.is_ours || binary.file.is_none()
                });
                ipam::check(&pool, is_ours, &mut problems);
            }
        }
    }
    between::check(files, &networks, &mut problems);
    if options.with_host {
        on_host(&networks, files, &binaries, &mut problems);
    }
    sorted(problems)
}

/// What has to do with this host.
fn on_host(
    networks: &[Network<'_>],
    files: &[File],
    binaries: &Binaries,
    problems: &mut Vec<Problem>,
) {
    for network in networks.iter().filter(|_| binaries.searched) {
        let is_of_it = |problem: &Problem| {
            let file = problem.at.spot.file;
            let parts = || {
                files.iter().skip(network.file + 1).take_while(|it| it.kind == Kind::Part).count()
            };
            (network.file..=network.file + parts()).contains(&file)
        };
        if !problems.iter().any(|problem| problem.severity == Severity::Error && is_of_it(problem))
        {
            verdict::check(network, binaries, problems);
        }
    }
    match Host::look() {
        Ok(mut host) => networks.iter().for_each(|network| host.check(network, problems)),
        Err(error) => crate::note(&format!("this host could not be looked at: {error}")),
    }
}

/// By file and place; each once, and no guess about what has been explained.
fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    let explained: Vec<_> =
        problems.iter().filter(|it| it.rule != "unknown-key").map(|it| it.at.spot).collect();
    problems
        .retain(|problem| problem.rule != "unknown-key" || !explained.contains(&problem.at.spot));
    problems.sort_by_key(|problem| (problem.at.spot, problem.severity));
    problems.dedup();
    problems
}

fn colour() -> bool {
    let is_set = |variable| env::var_os(variable).is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal()
        && !is_set("NO_COLOR")
        && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// How wide lines of files may be; messages are not broken.
fn width() -> usize {
    let stdout = io::stdout();
    let columns = rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| size.ws_col);
    if columns == 0 { 140 } else { usize::from(columns).max(40) }
}

#[cfg(test)]
mod tests;
