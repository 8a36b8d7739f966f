//! The attachments of the result cache, and whether their namespaces and links still exist.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ipnetwork::IpNetwork;
use kernel::{Link, Owner};
use libcni::runtime::{self, Cache};
use libcni::{AddResult, Attachment, ContainerId, Context, NetworkName};

use crate::caches;
use crate::ls::Problems;
use crate::ls::networks::Networks;
use crate::netns;

/// A container's interface on a network.
pub struct Attached {
    pub network: NetworkName,
    pub id: Attachment,
    /// Its namespace and name in Kubernetes.
    pub pod: Option<(String, String)>,
    pub addresses: Vec<IpNetwork>,
    /// The attachment's link on the host, such as the host's end of a veth pair.
    pub link: Option<String>,
    /// Whether this link exists; `None` if unknown.
    pub is_link_there: Option<bool>,
    pub netns: String,
    pub state: netns::State,
    pub file: PathBuf,
    pub since: Option<SystemTime>,
}

/// The content of the result cache.
pub struct Cached {
    pub attached: Vec<Attached>,
    /// The indexes in `attached` of each container.
    containers: HashMap<ContainerId, Vec<usize>>,
    /// The containers that are live according to another cache beside this one.
    elsewhere: HashSet<ContainerId>,
    /// The names of unreadable files, which contain the names of the network, container and
    /// interface.
    broken: Vec<String>,
    /// Whether the folder could be read.
    pub is_known: bool,
}

impl Cached {
    /// Reads the cache, and adds its networks to `networks`.
    pub fn read(dir: &Path, networks: &mut Networks, problems: &mut Problems) -> Cached {
        let cache = Cache::new(dir);
        let elsewhere = problems.note(caches::live_elsewhere(dir)).unwrap_or_default();
        let elsewhere = elsewhere.into_iter().map(|(_, it)| it.conf.attachment.container).collect();
        let (mut attached, mut broken) = (Vec::new(), Vec::new());
        let entries = problems.note(cache.entries());
        let is_known = entries.is_some();
        for entry in entries.into_iter().flatten() {
            let said = || format!("read {}", entry.file.display());
            let Some(cached) = problems.note(entry.cached) else {
                let name = entry.file.file_name().unwrap_or_default();
                broken.push(name.to_string_lossy().into_owned());
                continue;
            };
            let learnt = networks.learn(&cached, &entry.file).context(|| "its configuration");
            problems.note(learnt.context(said));
            let result = problems.note(cached.add_result().context(|| "its result").context(said));
            let result = result.unwrap_or_default();
            attached.push(Attached::new(cached, &result, entry.file, entry.written));
        }
        attached.sort_by(|a, b| a.key().cmp(&b.key()));
        let mut containers: HashMap<ContainerId, Vec<usize>> = HashMap::new();
        for (index, one) in attached.iter().enumerate() {
            containers.entry(one.id.container.clone()).or_default().push(index);
        }
        Cached { attached, containers, elsewhere, broken, is_known }
    }

    /// The attachments of a container.
    pub fn of(&self, container: &ContainerId) -> impl Iterator<Item = &Attached> {
        let places = self.containers.get(container).into_iter().flatten();
        places.filter_map(|place| self.attached.get(*place))
    }

    /// Whether a container is live according to another cache.
    pub fn lives_elsewhere(&self, container: &ContainerId) -> bool {
        self.elsewhere.contains(container)
    }

    /// Whether the cache has no attachments.
    pub fn knows_nobody(&self) -> bool {
        self.containers.is_empty()
    }

    /// Whether an unreadable file may belong to a container.
    pub fn may_know(&self, container: &str) -> bool {
        let part = format!("-{container}-");
        !self.is_known || self.broken.iter().any(|name| name.contains(&part))
    }

    /// Whether a file or the whole cache is unreadable.
    pub fn is_broken(&self) -> bool {
        !self.is_known || !self.broken.is_empty()
    }

    /// Whether the container of a link's owner has an attachment. The tag of a link may contain a
    /// digest instead of the container ID.
    pub fn has(&self, owner: &Owner) -> bool {
        let tag = owner.tag();
        let is_it = |container: &ContainerId| {
            container.as_str() == owner.container
                || Owner { container: container.to_string(), ..owner.clone() }.tag() == tag
        };
        match ContainerId::new(&*owner.container) {
            Ok(it) => self.containers.contains_key(&it) || self.elsewhere.contains(&it),
            Err(_) => self.containers.keys().chain(&self.elsewhere).any(is_it),
        }
    }

    /// Compares the attachments with an earlier list of links. Queries links that are missing in
    /// it, because an ADD may have created them since.
    pub fn compare(&mut self, links: &[Link], mut is_there: impl FnMut(&str) -> bool) {
        let names: HashSet<&str> = links.iter().map(|link| link.name.as_str()).collect();
        let by_tag: HashMap<&str, &str> =
            links.iter().map(|link| (link.alias.as_str(), link.name.as_str())).collect();
        for one in &mut self.attached {
            if one.link.is_none() {
                one.link = by_tag.get(&*one.owner().tag()).map(|name| (*name).to_owned());
            }
            // A link that was deleted with its namespace does not come back.
            let may_come = one.state != netns::State::Gone;
            let there = |name: &String| names.contains(&**name) || may_come && is_there(name);
            one.is_link_there = one.link.as_ref().map(there);
        }
    }
}

impl Attached {
    fn new(
        cached: runtime::Cached,
        result: &AddResult,
        file: PathBuf,
        since: Option<SystemTime>,
    ) -> Attached {
        let argument = |key: &str| {
            let mut arguments = cached.conf.args.iter();
            arguments.find(|(name, _)| name == key).map(|(_, value)| value.clone())
        };
        Attached {
            pod: argument("K8S_POD_NAMESPACE").zip(argument("K8S_POD_NAME")),
            addresses: result.ips.iter().map(|ip| ip.address).collect(),
            link: host_link(result),
            is_link_there: None,
            state: netns::state(&cached.conf.netns),
            network: cached.network,
            id: cached.conf.attachment,
            netns: cached.conf.netns,
            file,
            since,
        }
    }

    /// The sort key of the output.
    fn key(&self) -> impl Ord {
        let address = self.addresses.first().map(|address| address.ip());
        (&self.network, &self.pod, address, &self.id.container, &self.id.ifname)
    }

    /// The owner in the marks of kernel objects.
    fn owner(&self) -> Owner {
        Owner {
            network: self.network.to_string(),
            container: self.id.container.to_string(),
            ifname: self.id.ifname.to_string(),
        }
    }

    /// Whether this is a loopback interface, which cannot leak anything.
    pub fn is_loopback(&self) -> bool {
        self.id.ifname.as_str() == "lo"
    }
}

/// The attachment's link on the host: the last one before the container's first link, because
/// plugins list a bridge first, then the ends of the veth pair.
fn host_link(result: &AddResult) -> Option<String> {
    let on_host = result.interfaces.iter().take_while(|interface| interface.sandbox.is_empty());
    on_host.last().map(|interface| interface.name.clone()).filter(|name| !name.is_empty())
}
