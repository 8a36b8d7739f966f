//! `cnitool lint`: finds mistakes in network configurations before a container starts with them.

mod between;
mod binaries;
mod defaults;
mod document;
mod files;
mod forward;
mod host;
mod ipam;
mod known;
mod list;
mod missing;
mod network;
mod parents;
mod plugin;
mod pools;
mod problem;
mod ranges;
mod renamed;
mod report;
mod rules;
mod schema;
pub mod suggest;
mod syntax;
mod verdict;
mod version;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::env;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

use libcni::Result;
use libcni::runtime::Cache;

use binaries::Binaries;
use files::{File, Files, Kind};
use host::Host;
use network::Network;
use problem::{Problem, Severity};
use ranges::Pool;

use crate::Failure;

/// The options of `cnitool lint`.
#[derive(Debug)]
pub struct Options {
    /// The files and folders to check.
    pub paths: Vec<PathBuf>,
    /// The folders of plugins.
    pub folders: Vec<PathBuf>,
    /// Whether to check the plugins' binaries.
    pub with_plugins: bool,
    /// Whether to compare the networks with this host.
    pub with_host: bool,
    /// The folder of this host's network configurations, and the folder of the result cache.
    pub conf_dir: PathBuf,
    pub cache_dir: PathBuf,
    /// Whether warnings count as errors.
    pub strict: bool,
    pub json: bool,
}

/// Checks all files and returns the report.
///
/// # Errors
///
/// Fails with the report if it contains an error, or if a file cannot be read.
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

/// All findings, in the order of the files.
fn found(options: &Options, files: &[File], mut problems: Vec<Problem>) -> Vec<Problem> {
    let binaries = Binaries::new(options.folders.clone(), options.with_plugins);
    let (list_keys, plugin_keys) = (list::keys(), plugin::common_keys());
    let mut networks = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let has_folder = files.get(index + 1).is_some_and(|next| next.kind == Kind::Part);
        if !list::check(file, has_folder, &list_keys, &plugin_keys, &mut problems) {
            continue;
        }
        let Some(network) = Network::of(index, files) else { continue };
        if file.kind == Kind::List && network.plugins.is_empty() && !network.root.has("plugins") {
            problems.extend(list::without_plugins(&network));
        }
        networks.push(network);
    }
    for network in &networks {
        plugin::check(network, &binaries, &plugin_keys, &mut problems);
        if !network.is_chain() {
            version::check(network, &binaries, &mut problems);
        }
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
    defaults::check(&networks, &mut problems);
    if options.with_host {
        on_host(&networks, files, &binaries, &mut problems);
        let cache = Cache::new(&options.cache_dir);
        renamed::check(&networks, &cache, &options.conf_dir, &mut problems);
    }
    sorted(problems)
}

/// Compares the networks with this host.
fn on_host(
    networks: &[Network<'_>],
    files: &[File],
    binaries: &Binaries,
    problems: &mut Vec<Problem>,
) {
    networks.iter().for_each(|network| rules::tunnel::files(network, problems));
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
    let with_errors: HashSet<usize> = errors.map(|problem| problem.at.spot.file).collect();
    for network in networks.iter().filter(|it| binaries.searched && !it.is_chain()) {
        let rest = files.iter().skip(network.file + 1);
        let parts = rest.take_while(|it| it.kind == Kind::Part).count();
        if !(network.file..=network.file + parts).any(|file| with_errors.contains(&file)) {
            verdict::check(network, binaries, problems);
        }
    }
    networks.iter().for_each(|network| pools::check(network, binaries.searched, problems));
    match Host::look() {
        Ok(mut host) => networks.iter().for_each(|network| host.check(network, problems)),
        Err(error) => crate::note(&format!("cannot read the state of this host: {error}")),
    }
}

/// The maximum number of findings of one kind, for one file and for all files. A user who fixes
/// these has usually fixed the others too.
const OF_A_FILE: usize = 10;
const OF_A_KIND: usize = 30;

/// Sorts the findings by file and position. Removes duplicates, and unknown keys at positions that
/// another finding explains.
fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    let explained: BTreeSet<_> =
        problems.iter().filter(|it| it.rule != "unknown-key").map(|it| it.at.spot).collect();
    problems
        .retain(|problem| problem.rule != "unknown-key" || !explained.contains(&problem.at.spot));
    // Host checks report the bridge's address with its position in the file. The plugin reports the
    // same without one.
    let explained: Vec<_> = problems
        .iter()
        .filter(|it| it.rule == "bridge-address")
        .map(|it| it.at.spot.file)
        .collect();
    problems.retain(|problem| {
        problem.rule != "not-on-this-host"
            || !problem.what.contains("already has an IP address different")
            || !explained.contains(&problem.at.spot.file)
    });
    problems.sort_by_key(|problem| (problem.at.spot, problem.severity));
    problems.dedup();
    bounded(problems)
}

/// Keeps the first findings of each kind, and at least one for each file with errors. One finding
/// counts the rest.
fn bounded(problems: Vec<Problem>) -> Vec<Problem> {
    let mut of_file: BTreeMap<_, usize> = BTreeMap::new();
    let mut of_kind: BTreeMap<_, usize> = BTreeMap::new();
    let mut more: BTreeMap<_, Vec<Problem>> = BTreeMap::new();
    let mut shown = Vec::new();
    for problem in problems {
        let (file, kind) = (problem.at.spot.file, (problem.severity, problem.rule));
        let of_file = of_file.entry((file, kind)).or_default();
        let of_kind = of_kind.entry(kind).or_default();
        let is_first_error = *of_file == 0 && problem.severity == Severity::Error;
        if is_first_error || *of_file < OF_A_FILE && *of_kind < OF_A_KIND {
            (*of_file, *of_kind) = (*of_file + 1, *of_kind + 1);
            shown.push(problem);
        } else {
            more.entry(kind).or_default().push(problem);
        }
    }
    shown.extend(more.into_values().filter_map(|rest| Problem::standing_for(&rest)));
    shown
}

fn colour() -> bool {
    let is_set = |variable| env::var_os(variable).is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal()
        && !is_set("NO_COLOR")
        && env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The maximum width of excerpts from files. Messages are not wrapped.
fn width() -> usize {
    let stdout = io::stdout();
    let columns = rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| size.ws_col);
    if columns == 0 { 140 } else { usize::from(columns).max(40) }
}

#[cfg(test)]
mod tests;
