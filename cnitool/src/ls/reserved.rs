//! Reads host-local's folders, and compares the reservations with the cache.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use ipam::{Holder, Reserved};

use crate::ls::Problems;
use crate::ls::attached::Cached;
use crate::netns::State;

/// The maximum age of a reservation without a cache entry that is not a leak: an ADD reserves the
/// address long before the runtime writes the entry.
const BEING_ADDED: Duration = Duration::from_secs(30);

/// The reservations by `dataDir` and network.
#[derive(Default)]
pub struct Folders {
    read: BTreeSet<PathBuf>,
    pub of: BTreeMap<(PathBuf, String), Reserved>,
}

/// A reserved address.
pub struct Reservation {
    pub ip: IpAddr,
    /// `None` if the file cannot be read.
    pub holder: Option<Holder>,
    pub state: Holding,
    /// The time of the reservation, read only for possible leaks.
    pub since: Option<SystemTime>,
}

/// The state of an address's holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holding {
    /// A container with a cache entry.
    Attached,
    /// A cached container whose namespace no longer exists.
    NamespaceGone,
    /// A cached container whose namespace's path is not a namespace.
    NoNamespace,
    /// A container without a cache entry.
    NotInCache,
    /// A container without a cache entry whose reservation is recent, so its ADD is probably in
    /// progress.
    BeingAdded,
    /// No container: the file does not name one.
    Unnamed,
    /// Empty file: the plugin was killed before it wrote the holder.
    Empty,
    /// Unknown, because the file or the cache cannot be read.
    Unknown,
}

impl Folders {
    /// Reads the folders of all networks or of one, in directories that were not read before.
    pub fn read(&mut self, dirs: &BTreeSet<PathBuf>, only: Option<&str>, problems: &mut Problems) {
        for dir in dirs {
            if !self.read.insert(dir.clone()) {
                continue;
            }
            let networks = problems.note(ipam::networks_in(dir)).unwrap_or_default();
            for network in networks {
                if only.is_some_and(|only| &*network != only) {
                    continue;
                }
                if let Some(Some(reserved)) = problems.note(Reserved::read(dir, &network)) {
                    self.of.insert((dir.clone(), network.to_string()), reserved);
                }
            }
        }
    }
}

/// The reservations in a network's folder. All unreadable files together are one problem.
pub fn reservations(
    reserved: &Reserved,
    network: &str,
    cached: &Cached,
    problems: &mut Problems,
) -> Vec<Reservation> {
    let mut unread = Vec::new();
    let look = |(ip, holder): &(IpAddr, std::io::Result<Holder>)| match holder {
        Ok(holder) => {
            let (state, since) = state(holder, network, cached, || reserved.since(*ip));
            Reservation { ip: *ip, holder: Some(holder.clone()), state, since }
        }
        Err(error) => {
            unread.push(format!("{ip}: {error}"));
            Reservation { ip: *ip, holder: None, state: Holding::Unknown, since: None }
        }
    };
    let found = reserved.addresses.iter().map(look).collect();
    if let Some(first) = unread.first() {
        let more = match unread.len() {
            1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        let msg = format!("read {}/{first}{more}", reserved.path().display());
        problems.0.push(libcni::Error::new(libcni::Code::IO_FAILURE, msg));
    }
    found
}

fn state(
    holder: &Holder,
    network: &str,
    cached: &Cached,
    since: impl Fn() -> Option<SystemTime>,
) -> (Holding, Option<SystemTime>) {
    let (container, ifname) = match holder {
        Holder::Attachment(it) => (&it.container, Some(&it.ifname)),
        Holder::Container(container) => (container, None),
        Holder::Other => return (Holding::Unnamed, None),
        Holder::Nobody => return young_or(Holding::Empty, since()),
    };
    let known: Vec<_> = cached.of(container).collect();
    let exact = known.iter().find(|it| &*it.network == network && Some(&it.id.ifname) == ifname);
    if let Some(exact) = exact {
        return (of_namespace(exact.state), None);
    }
    // A meta-plugin may call other plugins with a network name of its own, which the runtime's
    // cache does not have.
    let states = known.iter().map(|it| of_namespace(it.state));
    match states.min() {
        Some(state) => (state, None),
        None if cached.lives_elsewhere(container) => (Holding::Attached, None),
        None if cached.may_know(container.as_str()) => (Holding::Unknown, None),
        None => young_or(Holding::NotInCache, since()),
    }
}

fn of_namespace(state: State) -> Holding {
    match state {
        State::There | State::Unknown => Holding::Attached,
        State::Gone => Holding::NamespaceGone,
        State::NoNamespace => Holding::NoNamespace,
    }
}

fn young_or(state: Holding, since: Option<SystemTime>) -> (Holding, Option<SystemTime>) {
    let age = since.and_then(|since| since.elapsed().ok());
    let state = if age.is_some_and(|age| age < BEING_ADDED) { Holding::BeingAdded } else { state };
    (state, since)
}
