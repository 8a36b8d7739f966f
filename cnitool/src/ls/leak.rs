//! Possible leaks. They are not certain, because other runtimes may have other caches.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use ipam::Holder;
use kernel::{Link, Owner};

use crate::ls::attached::Cached;
use crate::ls::networks::Networks;
use crate::ls::pool::Pool;
use crate::ls::reserved::Holding;
use crate::netns::State;

/// A possible leak.
pub struct Leak {
    pub network: String,
    pub why: Why,
    /// Empty if unknown.
    pub container: String,
    /// Empty if unknown.
    pub ifname: String,
    pub pod: Option<(String, String)>,
    pub addresses: Vec<IpAddr>,
    /// The link on the host; if it is the reason of the leak, it no longer exists.
    pub link: Option<String>,
    pub netns: String,
    /// The time of the attachment or the reservation.
    pub since: Option<SystemTime>,
    /// The related files: in the cache, or in the network's folder of reservations.
    pub files: Vec<PathBuf>,
}

/// The reason of a possible leak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// An attachment whose namespace no longer exists.
    NamespaceGone,
    /// An attachment whose namespace's path is not a namespace.
    NoNamespace,
    /// An attachment whose namespace exists, but not its link on the host.
    LinkGone,
    /// Addresses that are reserved for a container without a cache entry.
    NotInCache,
    /// A link on the host whose container has no cache entry.
    LinkNotInCache,
    /// An empty reservation file.
    Empty,
}

/// All possible leaks, sorted by network and reason.
pub fn leaks(networks: &Networks, cached: &Cached, pools: &[Pool], links: &[Link]) -> Vec<Leak> {
    let mut leaks = of_cache(cached);
    leaks.extend(pools.iter().flat_map(of_pool));
    let coming = being_added(pools);
    for link in links {
        let Some(owner) = Owner::of_tag(&link.alias) else { continue };
        let is_known = cached.has(&owner) || cached.may_know(&owner.container);
        if is_known || coming.contains(&(&*owner.network, &*owner.container)) {
            continue;
        }
        let Owner { network, container, ifname } = owner;
        // The tag may contain a digest of a long name.
        let of_tag = |name: &&str| Owner::tag_is_of_network(&link.alias, name);
        let leak =
            Leak::new(networks.names().find(of_tag).unwrap_or(&network), Why::LinkNotInCache);
        leaks.push(Leak { container, ifname, link: Some(link.name.clone()), ..leak });
    }
    leaks.sort_by(|a, b| (&a.network, a.why).cmp(&(&b.network, b.why)));
    leaks
}

/// Cache entries whose namespace or link no longer exists. Entries that a DEL has removed meanwhile
/// are skipped.
fn of_cache(cached: &Cached) -> Vec<Leak> {
    let mut leaks = Vec::new();
    for one in &cached.attached {
        let why = match (one.state, one.is_link_there) {
            (State::Gone, _) => Why::NamespaceGone,
            (State::NoNamespace, _) => Why::NoNamespace,
            (_, Some(false)) => Why::LinkGone,
            _ => continue,
        };
        if !one.file.exists() {
            continue;
        }
        leaks.push(Leak {
            container: one.id.container.to_string(),
            ifname: one.id.ifname.to_string(),
            pod: one.pod.clone(),
            addresses: one.addresses.iter().map(|address| address.ip()).collect(),
            link: one.link.clone().filter(|_| one.is_link_there == Some(why != Why::LinkGone)),
            netns: one.netns.clone(),
            since: one.since,
            files: vec![one.file.clone()],
            ..Leak::new(&one.network, why)
        });
    }
    leaks
}

/// Reservations without a live container. All reservations of one interface of a container are one
/// leak.
fn of_pool(pool: &Pool) -> Vec<Leak> {
    let mut leaks: BTreeMap<(String, String), Leak> = BTreeMap::new();
    let mut empty = Vec::new();
    for one in &pool.reservations {
        let file = pool.folder.join(one.ip.to_string());
        let since = one.since;
        if one.state == Holding::Empty {
            let leak = Leak::new(&pool.network, Why::Empty);
            empty.push(Leak { addresses: vec![one.ip], since, files: vec![file], ..leak });
            continue;
        }
        if one.state != Holding::NotInCache {
            continue;
        }
        let (container, ifname) = match &one.holder {
            Some(Holder::Attachment(it)) => (it.container.to_string(), it.ifname.to_string()),
            Some(Holder::Container(container)) => (container.to_string(), String::new()),
            _ => continue,
        };
        let leak = leaks.entry((container, ifname)).or_insert_with_key(|(container, ifname)| {
            let (container, ifname) = (container.clone(), ifname.clone());
            let leak = Leak::new(&pool.network, Why::NotInCache);
            Leak { container, ifname, since, ..leak }
        });
        leak.addresses.push(one.ip);
        leak.files.push(file);
    }
    let mut leaks: Vec<Leak> = leaks.into_values().chain(empty).collect();
    leaks.sort_by(|a, b| a.addresses.cmp(&b.addresses));
    leaks
}

/// The networks and containers whose ADD is probably in progress.
fn being_added(pools: &[Pool]) -> BTreeSet<(&str, &str)> {
    let mut coming = BTreeSet::new();
    for pool in pools {
        for one in pool.reservations.iter().filter(|one| one.state == Holding::BeingAdded) {
            match &one.holder {
                Some(Holder::Attachment(it)) => {
                    coming.insert((&*pool.network, it.container.as_str()))
                }
                Some(Holder::Container(it)) => coming.insert((&*pool.network, it.as_str())),
                _ => false,
            };
        }
    }
    coming
}

impl Leak {
    fn new(network: &str, why: Why) -> Leak {
        Leak {
            network: network.to_owned(),
            why,
            container: String::new(),
            ifname: String::new(),
            pod: None,
            addresses: Vec::new(),
            link: None,
            netns: String::new(),
            since: None,
            files: Vec::new(),
        }
    }
}
