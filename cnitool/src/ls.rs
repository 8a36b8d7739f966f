//! `cnitool ls`: lists the attachments on this node, the used addresses of the pools, and possible
//! leaks. It only reads: it takes no locks and changes nothing.

mod attached;
mod json;
mod leak;
mod networks;
mod pool;
mod remedy;
mod reserved;
mod table;
mod text;
pub mod time;

use std::collections::BTreeSet;

use kernel::Survey;
use libcni::Error;

use crate::args::Arguments;
use crate::{Failure, note};
use attached::{Attached, Cached};
use leak::{Leak, Why};
use networks::Networks;
use pool::Pool;
use remedy::Step;
use reserved::Folders;

/// The state of the node.
struct Look {
    attached: Vec<Attached>,
    pools: Vec<Pool>,
    leaks: Vec<Leak>,
    remedy: Vec<Step>,
    /// Whether the cache could be read.
    is_cache_known: bool,
}

/// The errors of reads that failed. The rest of the output is still shown.
#[derive(Default)]
struct Problems(Vec<Error>);

impl Problems {
    /// Returns the value, or records the error.
    fn note<T>(&mut self, result: Result<T, impl Into<Error>>) -> Option<T> {
        result.map_err(|error| self.0.push(error.into())).ok()
    }
}

/// Shows attachments, pools and leaks of one network or of all.
pub fn ls(arguments: &Arguments) -> Result<String, Failure> {
    let mut problems = Problems::default();
    let look = look(arguments, &mut problems)?;
    let text = if arguments.json { json::of(&look) } else { text::of(&look, arguments) };
    problems.0.iter().for_each(|problem| note(&problem.to_string()));
    if !problems.0.is_empty() && !rustix::process::geteuid().is_root() {
        note("root may read more");
    }
    if problems.0.is_empty() { Ok(text) } else { Err(Failure::Answered(text)) }
}

/// The possible leaks of a network without a cache entry, as container and interface. `gc` removes
/// them only through plugins that support GC.
///
/// # Errors
///
/// Returns an error if the network is not known. Failed reads are reported on standard error.
pub fn uncached(arguments: &Arguments) -> Result<Vec<(String, String)>, Failure> {
    let mut problems = Problems::default();
    let look = look(arguments, &mut problems)?;
    problems.0.iter().for_each(|problem| note(&problem.to_string()));
    let leaks = look.leaks.into_iter();
    let uncached = leaks.filter(|leak| matches!(leak.why, Why::NotInCache | Why::LinkNotInCache));
    let mut names: Vec<_> = uncached.map(|leak| (leak.container, leak.ifname)).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// Reads the cache last: an ADD reserves addresses and creates links before it writes the cache
/// entry, so an ADD that finishes meanwhile is found in the cache.
fn look(arguments: &Arguments, problems: &mut Problems) -> Result<Look, Failure> {
    let only = arguments.network.as_deref();
    let mut networks = Networks::configured(&arguments.conf_dir, problems);
    let mut folders = Folders::default();
    folders.read(&networks.data_dirs(), only, problems);
    let mut survey = problems.note(Survey::host().map_err(of_kernel));
    let links = survey.as_mut().and_then(|it| problems.note(it.links().map_err(of_kernel)));
    let mut cached = Cached::read(&arguments.cache_dir, &mut networks, problems);
    // Reads the folders of networks that are only in the cache.
    folders.read(&networks.data_dirs(), only, problems);
    if let (Some(survey), Some(links)) = (&mut survey, &links) {
        cached.compare(links, |name| survey.link(name).is_ok_and(|link| link.is_some()));
    }

    let mut pools = pool::pools(&networks, &folders, &cached, problems);
    let mut leaks = leak::leaks(&networks, &cached, &pools, &links.unwrap_or_default());
    if let Some(only) = only {
        refuse_unknown(only, &networks, &pools, &cached)?;
        cached.attached.retain(|attached| &*attached.network == only);
        pools.retain(|pool| pool.network == only);
        leaks.retain(|leak| leak.network == only);
    }
    let remedy = remedy::steps(&leaks, &networks, &cached, &pools, arguments);
    let Cached { attached, is_known: is_cache_known, .. } = cached;
    Ok(Look { attached, pools, leaks, remedy, is_cache_known })
}

/// Fails for a network that is neither configured, cached nor has reservations: its name is most
/// likely misspelled.
fn refuse_unknown(
    name: &str,
    networks: &Networks,
    pools: &[Pool],
    cached: &Cached,
) -> Result<(), Error> {
    let mut known: BTreeSet<&str> = networks.names().collect();
    known.extend(pools.iter().map(|pool| pool.network.as_str()));
    known.extend(cached.attached.iter().map(|attached| attached.network.as_str()));
    if known.contains(name) {
        return Ok(());
    }
    let known: Vec<&str> = known.into_iter().collect();
    let there = match known.is_empty() {
        true => "no network is known".to_owned(),
        false => format!("known networks: {}", known.join(", ")),
    };
    Err(Error::config(format!("there is no network {name:?}")).details(there))
}

fn of_kernel(error: kernel::Error) -> Error {
    Error::internal(error.to_string())
}
