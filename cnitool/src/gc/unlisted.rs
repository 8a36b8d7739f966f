//! What the plugins remove in GC beyond the cache's entries: what the kernel and host-local have of
//! attachments that are not valid. Also, which of the cache's entries are of attachments that still
//! have an interface.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use ipam::{Holder, PoolConf, Reserved};
use kernel::{Memory, Of, Owner, Stale};
use libcni::runtime::{AttachmentConfig, NetworkConfig};
use libcni::{Attachment, Error, Result};

/// What an attachment in no entry of the cache has, or the network for all attachments.
#[derive(Debug, Default)]
pub struct Unlisted {
    /// Links, rules, files and addresses.
    pub has: Vec<String>,
    /// Why it lives, or may: see [`Life`].
    pub life: Option<Life>,
    namespace: Option<i32>,
}

/// Why an attachment that looks stale is not, or may not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Life {
    /// The process with this ID is in its namespace.
    Process(String),
    /// Its namespace exists, because its interface does, and what keeps the namespace is not seen
    /// from here: a mount or a process of another namespace.
    Unseen,
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Life::Process(id) => write!(f, "process {id} is in its namespace"),
            Life::Unseen => {
                f.write_str("its namespace exists, and what keeps it is not seen from here")
            }
        }
    }
}

/// What is seen of namespaces, by their ids.
struct Seen {
    processes: HashMap<i32, String>,
    mounted: HashSet<i32>,
}

impl Seen {
    fn look(namespaces: &HashSet<i32>) -> Result<Seen> {
        let processes = kernel::inhabitants(namespaces).map_err(of_kernel)?;
        let mounted = kernel::mounted(namespaces).map_err(of_kernel)?;
        Ok(Seen { processes, mounted })
    }

    /// A namespace that only a mount keeps is that of a container that was killed.
    fn life(&self, namespace: i32) -> Option<Life> {
        match self.processes.get(&namespace) {
            Some(id) => Some(Life::Process(id.clone())),
            None => (!self.mounted.contains(&namespace)).then_some(Life::Unseen),
        }
    }
}

/// Who has something that only the plugins remove.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// A container's interface.
    Attachment(String),
    /// Something that does not say whose it is.
    Nameless(String),
    /// The network itself.
    Network,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Attachment(who) => f.write_str(who),
            Who::Nameless(what) => write!(f, "what a killed ADD or a removed link left ({what})"),
            Who::Network => f.write_str("what all attachments share"),
        }
    }
}

/// How long the kernel may take to delete the interfaces of a namespace that has just ended.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// Waits until the interfaces are gone whose namespace has just ended, and returns the stale
/// entries of the cache that live, or may, although their path leads nowhere. An interface ends
/// with its namespace.
///
/// # Errors
///
/// The links, the processes or the mounts cannot be read: then it is not known what lives.
pub fn living<'a>(
    list: &NetworkConfig,
    valid: &[Attachment],
    stale: &'a [AttachmentConfig],
) -> Result<Vec<(&'a Attachment, Life)>> {
    let entries: BTreeMap<String, &Attachment> =
        stale.iter().map(|it| (owner(list, &it.attachment).tag(), &it.attachment)).collect();
    let owners: Vec<Owner> = valid.iter().map(|it| owner(list, it)).collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let links =
            kernel::stale_links(&list.name, &owners, &ferrocni::swept()).map_err(of_kernel)?;
        let seen = Seen::look(&links.iter().filter_map(|link| link.namespace).collect())?;
        let lives = links.iter().filter_map(|link| Some((link, seen.life(link.namespace?)?)));
        let lives: Vec<(&Stale, Life)> = lives.collect();
        if lives.iter().any(|(_, life)| *life == Life::Unseen) && Instant::now() < deadline {
            thread::sleep(PAUSE);
            continue;
        }
        let of_entry = |(link, life): (&Stale, Life)| match &link.of {
            Of::Attachment(owner) => Some((*entries.get(&owner.tag())?, life)),
            _ => None,
        };
        return Ok(lives.into_iter().filter_map(of_entry).collect());
    }
}

/// Who is neither valid nor among the cache's `stale` attachments, with what it has. Neighbour
/// entries go too, and are not listed.
///
/// # Errors
///
/// The kernel's objects, the processes or the reservations cannot be read: then it is not known
/// what goes.
pub fn find(
    list: &NetworkConfig,
    valid: &[Attachment],
    stale: &[AttachmentConfig],
) -> Result<BTreeMap<Who, Unlisted>> {
    let mut found: BTreeMap<Who, Unlisted> = BTreeMap::new();
    let owners: Vec<Owner> = valid.iter().map(|it| owner(list, it)).collect();
    for Stale { what, of, namespace } in stale_objects(list, &owners).map_err(of_kernel)? {
        let Some(who) = unlisted(of, &what, list, stale) else { continue };
        let unlisted = found.entry(who).or_default();
        unlisted.has.push(what);
        unlisted.namespace = unlisted.namespace.or(namespace);
    }
    let seen = Seen::look(&found.values().filter_map(|it| it.namespace).collect())?;
    for unlisted in found.values_mut() {
        unlisted.life = unlisted.namespace.and_then(|id| seen.life(id));
    }
    for plugin in &list.plugins {
        let Some(pool) = PoolConf::of(&plugin.config).ok().flatten() else { continue };
        let Some(reserved) = Reserved::read(&pool.data_dir, &list.name)? else { continue };
        for (ip, holder) in reserved.addresses {
            let Some(who) = holder.ok().and_then(|holder| released(&holder, valid, stale)) else {
                continue;
            };
            found.entry(Who::Attachment(who)).or_default().has.push(ip.to_string());
        }
    }
    Ok(found)
}

/// The kernel's objects and the files that the plugins of this suite remove.
fn stale_objects(list: &NetworkConfig, valid: &[Owner]) -> Result<Vec<Stale>, kernel::Error> {
    let mut found = kernel::stale(&list.name, valid, &ferrocni::swept())?;
    for plugin in &list.plugins {
        let known = ferrocni::PLUGINS.iter().find(|it| it.manual.name == plugin.kind.as_str());
        if let Some(folder) = known.and_then(|known| (known.memory)(&plugin.config)) {
            let files = Memory::stale(&folder, &list.name, valid)?;
            // Two entries of one plugin share their files.
            let new: Vec<_> = files.into_iter().filter(|file| !found.contains(file)).collect();
            found.extend(new);
        }
    }
    Ok(found)
}

/// Whose something is, unless it goes with an entry of the cache.
fn unlisted(of: Of, what: &str, list: &NetworkConfig, stale: &[AttachmentConfig]) -> Option<Who> {
    let mut entries = stale.iter().map(|it| &it.attachment);
    match of {
        Of::Attachment(it) => (!entries.any(|entry| owner(list, entry).tag() == it.tag()))
            .then(|| Who::Attachment(format!("{}/{}", it.container, it.ifname))),
        Of::Container(id) => {
            (!entries.any(|entry| entry.container.as_str() == id)).then_some(Who::Attachment(id))
        }
        Of::Nameless => Some(Who::Nameless(what.trim_start_matches("the interface ").to_owned())),
        Of::Network => Some(Who::Network),
    }
}

fn of_kernel(error: kernel::Error) -> Error {
    Error::internal(error.to_string())
}

/// Whose reservation host-local releases in GC, unless it stays or goes with an entry of the cache.
fn released(holder: &Holder, valid: &[Attachment], stale: &[AttachmentConfig]) -> Option<String> {
    let mut listed = valid.iter().chain(stale.iter().map(|it| &it.attachment));
    match holder {
        Holder::Attachment(it) => {
            (!listed.any(|other| other == it)).then(|| format!("{}/{}", it.container, it.ifname))
        }
        Holder::Container(id) => {
            (!listed.any(|other| other.container == *id)).then(|| id.to_string())
        }
        Holder::Nobody => Some("an empty reservation".to_owned()),
        Holder::Other => None,
    }
}

fn owner(list: &NetworkConfig, attachment: &Attachment) -> Owner {
    Owner {
        network: list.name.to_string(),
        container: attachment.container.to_string(),
        ifname: attachment.ifname.to_string(),
    }
}
