//! The way out: what to type where something looks leaked.

use std::collections::BTreeMap;
use std::fs;

use libcni::Version;

use crate::args::{Arguments, quoted};
use crate::ls::attached::Cached;
use crate::ls::leak::{Leak, Why};
use crate::ls::networks::{Network, Networks, Origin};
use crate::ls::pool::Pool;
use crate::ls::reserved::Holding;

/// A step.
pub struct Way {
    /// Empty if it cannot be typed.
    pub command: String,
    pub about: String,
}

/// Where so many or fewer are meant, each has a command of its own; otherwise one command shows how.
const EACH: usize = 3;

/// What is behind no namespace's name, for DEL.
const NOWHERE: &str = "/nowhere";

impl Way {
    fn new(command: impl Into<String>, about: impl Into<String>) -> Way {
        Way { command: command.into(), about: about.into() }
    }
}

/// What to do about what looks leaked, network by network.
pub fn ways(
    leaks: &[Leak],
    networks: &Networks,
    cached: &Cached,
    pools: &[Pool],
    arguments: &Arguments,
) -> Vec<Way> {
    let mut by_network: BTreeMap<&str, Vec<&Leak>> = BTreeMap::new();
    for leak in leaks {
        by_network.entry(&leak.network).or_default().push(leak);
    }
    let mut ways = Vec::new();
    for (name, leaks) in by_network {
        let of = Of { name, leaks, options: arguments.folders() };
        match networks.get(name) {
            Some(network) => {
                ways.extend(of.restored(network, arguments));
                ways.extend(of.gc(network));
                ways.extend(of.del(network));
            }
            None => ways.extend(of.unknown(pools)),
        }
        ways.extend(of.by_hand());
    }
    if ways.iter().any(|way| way.command.starts_with("cnitool gc")) {
        if cached.is_broken() {
            let about = "first see to the files of the cache that cannot be read: gc takes down what is in no other";
            ways.insert(0, Way::new("", about));
        }
        let about = "gc goes by this cache and by namespaces: do not run it while containers are being started, nor for a \
                     runtime that keeps another cache (--cache-dir)";
        ways.push(Way::new("", about));
    }
    ways.splice(0..0, warning(leaks, cached, arguments));
    ways
}

/// What is in no entry of this cache may be alive in another: cri-dockerd's is in `/var/lib/cni/cache`, for example, and that
/// of Multus in `/var/lib/cni/multus`.
fn warning(leaks: &[Leak], cached: &Cached, arguments: &Arguments) -> Option<Way> {
    let dir = &arguments.cache_dir;
    if !leaks.iter().any(|leak| OF_NO_CACHE.contains(&leak.why)) {
        return None;
    }
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let beside = entries.map(|entry| entry.path()).filter(|path| path.join("results").is_dir());
    let mut beside: Vec<String> = beside.map(|path| path.display().to_string()).collect();
    beside.sort();
    let about = match beside.is_empty() {
        false => format!(
            "first look into the other caches, {} (cnitool ls --cache-dir DIR): what only they know looks leaked here, and would \
             be taken down",
            beside.join(" and ")
        ),
        true if cached.knows_nobody() => format!(
            "no attachment is in {} at all: if a runtime has its cache elsewhere, name that (--cache-dir), because all that it \
             attached would be taken down",
            dir.join("results").display()
        ),
        true => return None,
    };
    Some(Way::new("", about))
}

/// The leaks of a network.
struct Of<'a> {
    name: &'a str,
    leaks: Vec<&'a Leak>,
    options: String,
}

impl Of<'_> {
    fn all(&self, why: &[Why]) -> Vec<&Leak> {
        self.leaks.iter().copied().filter(|leak| why.contains(&leak.why)).collect()
    }

    fn has(&self, why: &[Why]) -> bool {
        self.leaks.iter().any(|leak| why.contains(&leak.why))
    }

    /// Only loopback interfaces, which hold nothing, of a network that gc would not find.
    fn is_loopback(&self, network: &Network) -> bool {
        let is_hidden = matches!(network.origin, Origin::Cache { .. });
        is_hidden
            && self.leaks.iter().all(|leak| leak.ifname == "lo" && leak.why == Why::NamespaceGone)
    }

    /// The configuration has to be where gc and del look for it.
    fn restored(&self, network: &Network, arguments: &Arguments) -> Option<Way> {
        let Origin::Cache { file, ending } = &network.origin else { return None };
        if self.is_loopback(network) {
            return None;
        }
        let conf = arguments.conf_dir.join(format!("{}.{ending}", self.name));
        let [from, to] = [file, &conf].map(|path| quoted(&path.to_string_lossy()));
        let command = format!("jq -r .config {from} | base64 -d >{to}");
        Some(Way::new(
            command,
            format!("brings the configuration of {} back, for as long as it takes", self.name),
        ))
    }

    fn gc(&self, network: &Network) -> Option<Way> {
        let (gone, rest) = (self.has(&[Why::NamespaceGone]), self.has(&OF_NO_CACHE));
        let rest = rest && asks_plugins(network);
        if network.disable_gc || self.is_loopback(network) || !(gone || rest) {
            return None;
        }
        let gone = gone.then_some(
            "runs DEL for the attachments whose namespace is gone (--dry-run: only names them)",
        );
        let rest = rest.then_some(
            "has the plugins remove what is in no cache entry, if they know GC (the reference's do not)",
        );
        let about: Vec<_> = gone.into_iter().chain(rest).collect();
        let command = format!("cnitool gc {}{}", self.name, self.options);
        Some(Way::new(command, about.join(", and ")))
    }

    /// What gc of this network does not reach.
    fn del(&self, network: &Network) -> Vec<Way> {
        let mut ways = Vec::new();
        if self.is_loopback(network) {
            let about = "a loopback interface holds nothing but this file";
            return each(&self.leaks, rm, about);
        }
        let del = |leak: &&Leak| {
            let netns = if leak.netns.is_empty() { NOWHERE } else { &*leak.netns };
            let ifname = if leak.ifname.is_empty() { "eth0" } else { &*leak.ifname };
            format!(
                "cnitool del {} {} --container-id {} --ifname {}{}",
                self.name,
                quoted(netns),
                quoted(&leak.container),
                quoted(ifname),
                self.options
            )
        };
        if network.disable_gc {
            let about = "takes down what gc does not, because the configuration has disableGC";
            ways.extend(each(&self.all(&[Why::NamespaceGone]), del, about));
        }
        if network.disable_gc || !asks_plugins(network) {
            let about = match network.disable_gc {
                true => "removes what gc does not, because the configuration has disableGC",
                false => {
                    "removes what gc does not, because plugins know GC only from cniVersion 1.1.0 on"
                }
            };
            ways.extend(each(&self.all(&[Why::NotInCache, Why::LinkNotInCache]), del, about));
            let about =
                "an empty file reserves nothing here, but does with the reference's host-local";
            ways.extend(each(&self.all(&[Why::Empty]), rm, about));
        }
        ways
    }

    /// Of a network that only has a folder, or links.
    fn unknown(&self, pools: &[Pool]) -> Vec<Way> {
        let about = format!("if nobody uses the network {} any more", self.name);
        let mut ways = Vec::new();
        let is_leaked = |pool: &Pool| {
            let leaked = [Holding::NotInCache, Holding::Empty];
            pool.reservations.iter().all(|one| leaked.contains(&one.state))
        };
        let (whole, parts): (Vec<_>, Vec<_>) = pools
            .iter()
            .filter(|pool| pool.network == self.name && !pool.reservations.is_empty())
            .partition(|pool| is_leaked(pool));
        let remove = |pool: &&Pool| format!("rm -r {}", quoted(&pool.folder.to_string_lossy()));
        ways.extend(each(&whole, remove, &about));
        if !parts.is_empty() {
            ways.extend(each(&self.all(&[Why::NotInCache, Why::Empty]), rm, &about));
        }
        let links = self.all(&[Why::LinkNotInCache]);
        let links: Vec<_> = links.iter().filter_map(|leak| leak.link.as_ref()).collect();
        ways.extend(each(&links, |link| format!("ip link del {}", quoted(link)), &about));
        ways
    }

    /// What is no leftover for sure, so that nothing takes it down.
    fn by_hand(&self) -> Vec<Way> {
        let mut ways = Vec::new();
        let (files, broken) = (self.all(&[Why::NoNamespace]), self.all(&[Why::LinkGone]));
        let about = "if its container is gone: then its namespace is, too, and gc takes the attachment down";
        ways.extend(each(&files, |leak| format!("rm {}", quoted(&leak.netns)), about));
        let repair = |leak: &&Leak| {
            format!("cnitool repair {} {}{}", self.name, quoted(&leak.netns), self.options)
        };
        let about = "makes the host interface again, if the plugins can; otherwise start the container anew";
        ways.extend(each(&broken, repair, about));
        ways
    }
}

const OF_NO_CACHE: [Why; 3] = [Why::NotInCache, Why::LinkNotInCache, Why::Empty];

/// Whether gc calls the plugins, not only DEL for what is cached.
fn asks_plugins(network: &Network) -> bool {
    !network.disable_gc && network.version >= Version::new(1, 1, 0)
}

fn rm(leak: &&Leak) -> String {
    leak.files
        .iter()
        .fold("rm".to_owned(), |command, file| command + " " + &quoted(&file.to_string_lossy()))
}

/// A command for each, or one of them as an example for all.
fn each<T>(of: &[T], command: impl Fn(&T) -> String, about: &str) -> Vec<Way> {
    let shown = if of.len() <= EACH { of.len() } else { 1 };
    let mut ways: Vec<Way> =
        of.iter().take(shown).map(|one| Way::new(command(one), about)).collect();
    if let Some(first) = ways.first_mut().filter(|_| shown < of.len()) {
        first.about = format!("and so for each of the {}: {about}", of.len());
    }
    ways
}
