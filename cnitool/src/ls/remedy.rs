//! The remedy: the commands that remove possible leaks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use libcni::{PluginType, Version, exec};

use crate::args::{Arguments, quoted};
use crate::ls::attached::Cached;
use crate::ls::leak::{Leak, Why};
use crate::ls::networks::{Network, Networks, Origin};
use crate::ls::pool::Pool;
use crate::ls::reserved::Holding;

/// A step of the remedy.
pub struct Step {
    /// Empty if the step is not a command.
    pub command: String,
    pub about: String,
}

/// The maximum number of objects that each get a command of their own. For more objects, one
/// command is shown as an example.
const EACH: usize = 3;

/// A path that does not exist, for DEL without a namespace.
const NOWHERE: &str = "/nowhere";

impl Step {
    fn new(command: impl Into<String>, about: impl Into<String>) -> Step {
        Step { command: command.into(), about: about.into() }
    }
}

/// The steps for all possible leaks, network by network.
pub fn steps(
    leaks: &[Leak],
    networks: &Networks,
    cached: &Cached,
    pools: &[Pool],
    arguments: &Arguments,
) -> Vec<Step> {
    let mut by_network: BTreeMap<&str, Vec<&Leak>> = BTreeMap::new();
    for leak in leaks {
        by_network.entry(&leak.network).or_default().push(leak);
    }
    let mut steps = Vec::new();
    // A network without leaks also gets a step if a plugin is missing, because DEL of its pods will
    // fail.
    for name in networks.names().filter(|name| !by_network.contains_key(name)) {
        let network = networks.get(name).filter(|it| matches!(it.origin, Origin::File(_)));
        if cached.attached.iter().any(|one| &*one.network == name && !one.is_loopback()) {
            let of = Of { name, leaks: Vec::new(), options: arguments.folders() };
            steps.extend(network.and_then(|network| of.missing(network, arguments)));
        }
    }
    for (name, leaks) in by_network {
        let network = networks.get(name);
        let of = Of { name, leaks, options: options(network, name, arguments) };
        match network {
            Some(network) => {
                steps.extend(of.missing(network, arguments));
                steps.extend(of.restored(network));
                steps.extend(of.gc(network));
                steps.extend(of.del(network));
            }
            None => steps.extend(of.unknown(pools)),
        }
        steps.extend(of.by_hand());
    }
    if steps.iter().any(|step| step.command.starts_with("cnitool gc")) {
        if cached.is_broken() {
            let about = "first repair or remove the unreadable files of the cache: gc removes \
                         attachments without a readable entry";
            steps.insert(0, Step::new("", about));
        }
        let about = "gc relies on this cache and on namespaces: do not run it while containers \
                     start, or for a runtime with another cache (--cache-dir)";
        steps.push(Step::new("", about));
    }
    steps.splice(0..0, warning(leaks, cached, arguments));
    steps
}

/// A container without an entry in this cache may have one in a cache in another place.
fn warning(leaks: &[Leak], cached: &Cached, arguments: &Arguments) -> Option<Step> {
    if !leaks.iter().any(|leak| OF_NO_CACHE.contains(&leak.why)) || !cached.has_no_attachments() {
        return None;
    }
    let about = format!(
        "{} has no attachments: if a runtime has its cache elsewhere, name it (--cache-dir), \
         because otherwise all attachments of this runtime would be removed",
        arguments.cache_dir.join("results").display()
    );
    Some(Step::new("", about))
}

/// The folder for the configuration of a network that only the cache has. It is in `/run`, which a
/// reboot empties.
fn restored_to(network: &str) -> String {
    format!("/run/cnitool/{network}")
}

/// The options for folders that a command about a network needs.
fn options(network: Option<&Network>, name: &str, arguments: &Arguments) -> String {
    match network.map(|network| &network.origin) {
        Some(Origin::Cache { .. }) => arguments.folders_with(&PathBuf::from(restored_to(name))),
        _ => arguments.folders(),
    }
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

    /// Whether the network is unknown to gc and all its leaks are loopback interfaces, which hold
    /// no resources.
    fn is_loopback(&self, network: &Network) -> bool {
        let is_hidden = matches!(network.origin, Origin::Cache { .. });
        is_hidden
            && self.leaks.iter().all(|leak| leak.ifname == "lo" && leak.why == Why::NamespaceGone)
    }

    /// The step for plugins of DEL and GC that are not installed.
    fn missing(&self, network: &Network, arguments: &Arguments) -> Option<Step> {
        let is_missing = |kind: &&PluginType| exec::find(kind, &arguments.path).is_err();
        let missing: Vec<&str> =
            network.plugins.iter().filter(is_missing).map(PluginType::as_str).collect();
        if missing.is_empty() || self.is_loopback(network) {
            return None;
        }
        let folders: Vec<_> = arguments.path.iter().map(|it| it.display().to_string()).collect();
        let about = format!(
            "first install {} in {}: without it DEL of {} fails in every runtime, and pods stay \
             Terminating. cnitool del and gc continue without it, and exit with status 1: its \
             objects may remain, such as firewall rules",
            missing.join(" and "),
            folders.join(" or "),
            self.name
        );
        Some(Step::new("", about))
    }

    /// The step that restores the configuration, in a folder that only `gc` and `del` read: a
    /// runtime that reads it would start pods on this network.
    fn restored(&self, network: &Network) -> Option<Step> {
        let Origin::Cache { file, ending } = &network.origin else { return None };
        if self.is_loopback(network) {
            return None;
        }
        let folder = restored_to(self.name);
        let conf = format!("{folder}/{}.{ending}", self.name);
        let [from, folder, to] = [&file.to_string_lossy(), &*folder, &*conf].map(quoted);
        // The command uses programs that every host has. The first "config" in the file is the
        // configuration.
        let command = format!(
            "mkdir -p {folder} && grep -o '\"config\":\"[^\"]*' {from} | head -n 1 | cut -d '\"' \
             -f 4 | base64 -d >{to}"
        );
        let about = format!(
            "copies the configuration of {} from the cache to a folder that no runtime reads",
            self.name
        );
        Some(Step::new(command, about))
    }

    fn gc(&self, network: &Network) -> Option<Step> {
        let (gone, rest) = (self.has(&[Why::NamespaceGone]), self.has(&OF_NO_CACHE));
        let rest = rest && asks_plugins(network);
        if network.disable_gc || self.is_loopback(network) || !(gone || rest) {
            return None;
        }
        let gone = gone.then_some(
            "runs DEL for the attachments whose namespace is gone (--dry-run: only lists them)",
        );
        let rest = rest.then_some(
            "runs GC of the plugins, which removes objects without a cache entry (the reference \
             plugins do not support it)",
        );
        let about: Vec<_> = gone.into_iter().chain(rest).collect();
        let command = format!("cnitool gc {}{}", self.name, self.options);
        Some(Step::new(command, about.join(", and ")))
    }

    /// The steps for leaks that gc of this network does not remove.
    fn del(&self, network: &Network) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.is_loopback(network) {
            let about = "a loopback interface has no resources except this file";
            return each(&self.leaks, rm, about);
        }
        let del = |leak: &&Leak| {
            let netns = if leak.netns.is_empty() { NOWHERE } else { &*leak.netns };
            format!(
                "cnitool del {} {} --container-id {} --ifname {}{}",
                self.name,
                quoted(netns),
                quoted(&leak.container),
                quoted(ifname_of(leak)),
                self.options
            )
        };
        if network.disable_gc {
            let about =
                "removes attachments that gc skips, because the configuration has disableGC";
            steps.extend(each(&self.all(&[Why::NamespaceGone]), del, about));
        }
        if network.disable_gc || !asks_plugins(network) {
            let about = match network.disable_gc {
                true => "removes objects that gc skips, because the configuration has disableGC",
                false => {
                    "removes objects that gc skips, because plugins support GC only from \
                     cniVersion 1.1.0 on"
                }
            };
            // A container's reservation and its link belong to one attachment, so one DEL removes
            // both.
            let mut rest = self.all(&[Why::NotInCache, Why::LinkNotInCache]);
            let mut seen = BTreeSet::new();
            rest.retain(|leak| seen.insert((leak.container.as_str(), ifname_of(leak))));
            steps.extend(each(&rest, del, about));
            let about = "an empty file reserves its address only for the reference's host-local";
            steps.extend(each(&self.all(&[Why::Empty]), rm, about));
        }
        steps
    }

    /// The steps for a network that has only a folder or links.
    fn unknown(&self, pools: &[Pool]) -> Vec<Step> {
        let about = format!("if no container uses the network {} any more", self.name);
        let mut steps = Vec::new();
        let is_leaked = |pool: &Pool| {
            let leaked = [Holding::NotInCache, Holding::Empty];
            pool.reservations.iter().all(|one| leaked.contains(&one.state))
        };
        let (whole, parts): (Vec<_>, Vec<_>) = pools
            .iter()
            .filter(|pool| pool.network == self.name && !pool.reservations.is_empty())
            .partition(|pool| is_leaked(pool));
        let remove = |pool: &&Pool| format!("rm -r {}", quoted(&pool.folder.to_string_lossy()));
        steps.extend(each(&whole, remove, &about));
        if !parts.is_empty() {
            steps.extend(each(&self.all(&[Why::NotInCache, Why::Empty]), rm, &about));
        }
        let links = self.all(&[Why::LinkNotInCache]);
        let links: Vec<_> = links.iter().filter_map(|leak| leak.link.as_ref()).collect();
        steps.extend(each(&links, |link| format!("ip link del {}", quoted(link)), &about));
        steps
    }

    /// The steps for objects that may still be in use, so no command removes them automatically.
    fn by_hand(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let (files, broken) = (self.all(&[Why::NoNamespace]), self.all(&[Why::LinkGone]));
        let about = "if its container no longer exists: gc then removes the attachment";
        steps.extend(each(&files, |leak| format!("rm {}", quoted(&leak.netns)), about));
        let repair = |leak: &&Leak| {
            format!("cnitool repair {} {}{}", self.name, quoted(&leak.netns), self.options)
        };
        let about = "creates the host interface again, if the plugins support it; otherwise \
                     restart the container";
        steps.extend(each(&broken, repair, about));
        steps
    }
}

const OF_NO_CACHE: [Why; 3] = [Why::NotInCache, Why::LinkNotInCache, Why::Empty];

/// The interface's name, which reservations of old versions do not contain.
fn ifname_of(leak: &Leak) -> &str {
    if leak.ifname.is_empty() { "eth0" } else { &leak.ifname }
}

/// Whether gc also calls GC of the plugins, in addition to DEL of cached attachments.
fn asks_plugins(network: &Network) -> bool {
    !network.disable_gc && network.version >= Version::new(1, 1, 0)
}

fn rm(leak: &&Leak) -> String {
    leak.files
        .iter()
        .fold("rm".to_owned(), |command, file| command + " " + &quoted(&file.to_string_lossy()))
}

/// A command for each object, or one command as an example for all.
fn each<T>(of: &[T], command: impl Fn(&T) -> String, about: &str) -> Vec<Step> {
    let shown = if of.len() <= EACH { of.len() } else { 1 };
    let mut steps: Vec<Step> =
        of.iter().take(shown).map(|one| Step::new(command(one), about)).collect();
    if let Some(first) = steps.first_mut().filter(|_| shown < of.len()) {
        first.about = format!("repeat for each of the {}: {about}", of.len());
    }
    steps
}
