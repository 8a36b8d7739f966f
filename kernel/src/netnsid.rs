//! Other network namespaces by their ids in this namespace (`ip netns list-id`).
//!
//! A link inside a container without another end on the host would be unreachable once the path of
//! the container's namespace is lost. So before such a link is created, its namespace gets an id in
//! the host's; DEL and GC find the link by the ids. An id costs nothing and disappears with its
//! namespace.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use netlink_packet_core::Parseable;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkMessage};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};

use crate::error::{Doing, Result};
use crate::handle::Handle;
use crate::link::{self, Link};
use crate::netns::{Namespace, Place};
use crate::rtnl::{Message, Request};

/// Gives a namespace an id in this one, if it has none: `ip netns set NAME auto`.
pub(crate) fn give(handle: &mut Handle, namespace: &Namespace) -> Result<()> {
    /// `NETNSA_NSID_NOT_ASSIGNED`: the kernel chooses an id (`include/uapi/linux/net_namespace.h`).
    const ANY: i32 = -1;
    let descriptor = namespace.as_fd().as_raw_fd().cast_unsigned();
    let mut message = NsidMessage::default();
    message.attributes = vec![NsidAttribute::Fd(descriptor), NsidAttribute::Id(ANY)];
    let action = "give the container's network namespace an id";
    let request = Request::new(action, 0, Message::NewNsid(message));
    handle.now(request.tolerate(&[nix::libc::EEXIST]))
}

/// The links of every namespace that has an id, all or those of a kind, with that id. Skips a
/// namespace that is being deleted, or whose links this process may not read.
///
/// A veth pair gives its peer's namespace an id too, so there are as many ids as containers. With a
/// kind, each namespace costs two short calls, because the kernel filters.
pub(crate) fn links(handle: &mut Handle, kind: Option<&InfoKind>) -> Result<Vec<(i32, Link)>> {
    const ACTION: &str = "list the ids of network namespaces";
    let bodies = handle.dump(ACTION, Message::GetNsid(NsidMessage::default()))?;
    let mut found = Vec::new();
    for id in bodies.iter().filter_map(|body| id(body)) {
        let inside = [LinkAttribute::IfNetnsId(id)];
        match handle.dump("list the interfaces of a container", link::all_of(kind, inside)) {
            Ok(links) => found.extend(links.iter().map(|body| (id, Link::read(body)))),
            // The namespace is gone, or its user namespace denies access.
            Err(error) if [nix::libc::EINVAL, nix::libc::EACCES].contains(&error.errno) => {}
            Err(error) => return Err(error),
        }
    }
    if let Some(kind) = kind {
        found.retain(|(_, link)| link.kind == kind.to_string());
    }
    Ok(found)
}

fn id(body: &[u8]) -> Option<i32> {
    let message = NsidMessage::parse(body).ok()?;
    message.attributes.iter().find_map(|attribute| match attribute {
        NsidAttribute::Id(id) => Some(*id),
        _ => None,
    })
}

/// The path in `folder` of the namespace with this id (`ip netns list-id`).
pub(crate) fn path(handle: &mut Handle, wanted: i32, folder: &Path) -> Result<Option<PathBuf>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(None) };
    for path in entries.flatten().map(|entry| entry.path()) {
        let Ok(namespace) = Namespace::open(&path) else { continue };
        if id_of(handle, &namespace)? == Some(wanted) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// The id of another namespace in this one, if it has one.
fn id_of(handle: &mut Handle, namespace: &Namespace) -> Result<Option<i32>> {
    let mut message = NsidMessage::default();
    let descriptor = namespace.as_fd().as_raw_fd().cast_unsigned();
    message.attributes = vec![NsidAttribute::Fd(descriptor)];
    let request =
        Request::new("look for the id of a network namespace", 0, Message::GetNsid(message));
    let found = handle.get_each(vec![request], |_| true)?.into_iter().flatten().next();
    Ok(found.and_then(|body| id(&body)))
}

/// A path to each namespace with one of these ids: its mount point, or the path of a process in it.
/// Skips a namespace that has neither.
pub(crate) fn paths(handle: &mut Handle, ids: &HashSet<i32>) -> Result<HashMap<i32, PathBuf>> {
    let mut found = HashMap::new();
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let Ok(namespace) = Namespace::open(&entry.path()) else { continue };
        if let Some(id) = id_of(handle, &namespace)?.filter(|id| ids.contains(id)) {
            found.insert(id, entry.path());
        }
    }
    let left = ids.iter().filter(|id| !found.contains_key(id)).copied().collect();
    for (id, process) in inhabitants(&left)? {
        found.insert(id, Path::new("/proc").join(process).join("ns/net"));
    }
    Ok(found)
}

/// A process in each namespace, by the namespace's id; namespaces without a process are skipped. A
/// namespace whose container was killed may still be mounted, but no process is in it.
///
/// # Errors
///
/// Returns an error if the processes cannot be listed, or if the kernel refuses.
pub fn inhabitants(namespaces: &HashSet<i32>) -> Result<HashMap<i32, String>> {
    let mut found = HashMap::new();
    if namespaces.is_empty() {
        return Ok(found);
    }
    let mut handle = Handle::open(Place::Host, None)?;
    let mut seen = HashSet::new();
    for entry in fs::read_dir("/proc").doing(|| "list the processes")?.flatten() {
        let process = entry.file_name().to_string_lossy().into_owned();
        if !process.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let path = entry.path().join("ns/net");
        // The process has ended.
        let Ok(file) = fs::metadata(&path) else { continue };
        if !seen.insert((file.dev(), file.ino())) {
            continue;
        }
        let Ok(namespace) = Namespace::open(&path) else { continue };
        if let Some(id) = id_of(&mut handle, &namespace)?.filter(|id| namespaces.contains(id)) {
            found.insert(id, process);
        }
    }
    Ok(found)
}

/// The ids of the namespaces that have a path which this process sees: a mount, as `ip netns` makes
/// it.
///
/// # Errors
///
/// Returns an error if the mounts cannot be listed, or if the kernel refuses.
pub fn mounted(namespaces: &HashSet<i32>) -> Result<HashSet<i32>> {
    let mut found = HashSet::new();
    if namespaces.is_empty() {
        return Ok(found);
    }
    let mut handle = Handle::open(Place::Host, None)?;
    for path in mounts()? {
        let Ok(namespace) = Namespace::open(&path) else { continue };
        found.extend(id_of(&mut handle, &namespace)?.filter(|id| namespaces.contains(id)));
    }
    Ok(found)
}

/// The namespaces with these ids in this one. A namespace that is neither mounted nor has a process
/// cannot be opened.
///
/// # Errors
///
/// Returns an error if the mounts or the processes cannot be listed, or if the kernel refuses.
pub(crate) fn open(handle: &mut Handle, ids: &HashSet<i32>) -> Result<HashMap<i32, Namespace>> {
    let (mut found, mut seen) = (HashMap::new(), HashSet::new());
    let processes = fs::read_dir("/proc").doing(|| "list the processes")?.flatten();
    let processes = processes.map(|entry| entry.path().join("ns/net"));
    for path in mounts()?.into_iter().chain(processes) {
        if found.len() == ids.len() {
            break;
        }
        let Ok(file) = fs::metadata(&path) else { continue };
        if !seen.insert((file.dev(), file.ino())) {
            continue;
        }
        let Ok(namespace) = Namespace::open(&path) else { continue };
        if let Some(id) = id_of(handle, &namespace)?.filter(|id| ids.contains(id)) {
            found.insert(id, namespace);
        }
    }
    Ok(found)
}

/// The mount points of network namespaces.
fn mounts() -> Result<Vec<PathBuf>> {
    const MOUNTS: &str = "/proc/self/mountinfo";
    let text = fs::read_to_string(MOUNTS).doing(|| format!("read {MOUNTS}"))?;
    let point = |mount: &str| {
        // proc(5): the fourth word is the root of the mount in its file system, the fifth the mount
        // point.
        let mut words = mount.split(' ').skip(3);
        let (root, point) = (words.next()?, words.next()?);
        root.starts_with("net:[").then(|| PathBuf::from(unescaped(point)))
    };
    Ok(text.lines().filter_map(point).collect())
}

/// A path from the mount table, which writes blanks as octal numbers.
fn unescaped(path: &str) -> String {
    [(r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")]
        .iter()
        .fold(path.to_owned(), |path, (code, c)| path.replace(code, c))
}

/// `ip link del NAME` in the namespace with this id.
pub(crate) fn delete(id: i32, link: &Link) -> Request {
    let mut message = LinkMessage::default();
    message.header.index = link.index;
    message.attributes = vec![LinkAttribute::IfNetnsId(id)];
    let action = format!("delete the interface {} of a container", link.name);
    // EINVAL: the namespace no longer exists, and the link neither.
    Request::new(action, 0, Message::DelLink(message))
        .tolerate(&[nix::libc::ENODEV, nix::libc::EINVAL])
}
