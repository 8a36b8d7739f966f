//! Finds reservations that look leaked, with the result cache of runtimes that use the reference
//! library.
//!
//! `cnitool ls` applies the same rules and shows more. Neither calls a reservation leaked if the
//! cache has no reliable information about it.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use libcni::{ContainerId, NetworkName, json};
use rustix::fs::OFlags;
use serde_json::Value;

use crate::host_local::holder::Holder;
use crate::host_local::look::Reserved;

/// The directory in which runtimes keep the results of ADD.
pub const RESULTS: &str = "/var/lib/cni/results";

/// The maximum number of reservations, and of cache entries, that a failed ADD reads.
pub const MOST: usize = 1024;
/// The maximum length of an entry in bytes.
const LONGEST: u64 = 1 << 20;
/// The minimum age. An ADD reserves the address long before the runtime writes its entry into the
/// cache.
const BEING_ADDED: Duration = Duration::from_secs(30);

/// The result of judging reservations.
#[derive(Debug, PartialEq, Eq)]
pub enum Judgement {
    /// This many reservations look leaked.
    Leaked(usize),
    /// The number is unknown, for this reason.
    Unknown(String),
}

/// The judgement if too many files would have to be read.
pub fn too_many() -> Judgement {
    Judgement::Unknown(format!("there are more than {MOST} reservations or cache entries"))
}

/// A reserved address, and its holder.
type Taken = (IpAddr, io::Result<Holder>);

/// Counts the reservations in `taken` whose container has no entry in the cache, or an entry whose
/// namespace no longer exists.
pub fn judge(
    results: &Path,
    network: &NetworkName,
    reserved: &Reserved,
    taken: &[&Taken],
) -> Judgement {
    let names = match names(results) {
        Ok(names) => names,
        Err(error) => {
            return Judgement::Unknown(format!("read the folder {}: {error}", results.display()));
        }
    };
    if names.len().max(taken.len()) > MOST {
        return too_many();
    }
    // The runtime of this network may keep its results elsewhere. Then none of its containers has
    // an entry here.
    let prefix = format!("{network}-");
    if !names.iter().any(|name| name.starts_with(&prefix)) {
        return Judgement::Unknown(format!(
            "{} has no entry of network {network}",
            results.display()
        ));
    }
    let is_leaked = |(ip, holder): &&&Taken| {
        let (container, ifname) = match holder {
            Ok(Holder::Attachment(it)) => (&it.container, Some(it.ifname.as_str())),
            Ok(Holder::Container(container)) => (container, None),
            _ => return false,
        };
        // Names of networks, containers and interfaces may contain dashes, so a part of a file name
        // may be the container ID.
        let part = format!("-{container}-");
        let is_known = names.iter().any(|name| name.contains(&part));
        match (is_known, ifname) {
            (false, _) => reserved
                .since(*ip)
                .and_then(|since| since.elapsed().ok())
                .is_some_and(|age| age >= BEING_ADDED),
            (true, Some(ifname)) => {
                let file = results.join(format!("{network}-{container}-{ifname}"));
                namespace(&file, network, container, ifname).is_some_and(|path| is_gone(&path))
            }
            (true, None) => false,
        }
    };
    Judgement::Leaked(taken.iter().filter(is_leaked).count())
}

/// The file names of the cache's entries. A missing directory has none.
fn names(results: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(results) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries.take(MOST + 1) {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    Ok(names)
}

/// The path of the namespace of an attachment; `None` if its entry does not reliably name it.
fn namespace(
    file: &Path,
    network: &NetworkName,
    container: &ContainerId,
    ifname: &str,
) -> Option<String> {
    let entry: Value = serde_json::from_slice(&read(file).ok()?).ok()?;
    let text = |object: &Value, key: &str| {
        let text = json::get(object, key).and_then(Value::as_str);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let is = |key: &str, wanted: &str| text(&entry, key).as_deref() == Some(wanted);
    // The file's name alone does not distinguish network a-b with container c from network a with
    // container b-c.
    let is_its = is("kind", "cniCacheV1")
        && is("networkName", network)
        && is("containerId", container)
        && is("ifName", ifname);
    if !is_its {
        return None;
    }
    // podman 4 and containerd 1.6 use a library that stores the path only in the result.
    let sandbox = || {
        let interfaces = json::get(json::get(&entry, "result")?, "interfaces")?.as_array()?.iter();
        let mut ours = interfaces.filter(|it| text(it, "name").as_deref() == Some(ifname));
        ours.find_map(|it| text(it, "sandbox"))
    };
    text(&entry, "netns").or_else(sandbox)
}

/// Reads a regular file that is no longer than an entry can be.
fn read(file: &Path) -> io::Result<Vec<u8>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(file)?;
    if !file.metadata()?.is_file() {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut content = Vec::new();
    file.take(LONGEST).read_to_end(&mut content)?;
    Ok(content)
}

/// Whether nothing exists at this path any more. A path that cannot be read counts as existing.
fn is_gone(path: &str) -> bool {
    let missing =
        |error: io::Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    fs::metadata(path).is_err_and(missing)
}

#[cfg(test)]
mod tests;
