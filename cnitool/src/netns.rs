//! Network namespaces as people name them.

use std::io;
use std::path::{Component, Path, PathBuf};

use libcni::{Context, Error, Result};
use sha2::{Digest, Sha512};

/// Where `ip netns` keeps namespaces (`ip-netns(8)`), today's place first.
const FOLDERS: [&str; 2] = ["/run/netns", "/var/run/netns"];

/// The absolute path of a namespace; a name without a slash is one of `ip netns`.
pub fn path(given: &str) -> Result<String> {
    if given.is_empty() {
        return Err(Error::config("the network namespace is empty"));
    }
    if given.contains('/') {
        let absolute = std::path::absolute(given).context(|| format!("find {given}"))?;
        return clean(&absolute).into_os_string().into_string().map_err(|path| {
            Error::config(format!("the path {} is not UTF-8", path.to_string_lossy()))
        });
    }
    let [today, before] = FOLDERS.map(|folder| format!("{folder}/{given}"));
    Ok(if !Path::new(&today).exists() && Path::new(&before).exists() { before } else { today })
}

/// The container ID the reference's cnitool gives a namespace.
pub fn container_id(path: &str) -> String {
    let digest = Sha512::digest(path.as_bytes());
    let hex: String = digest.iter().take(10).map(|byte| format!("{byte:02x}")).collect();
    format!("cnitool-{hex}")
}

/// Whether nothing is at this path any more. What cannot be looked at counts as there.
pub fn is_gone(path: &str) -> bool {
    let missing = |error: io::Error| {
        matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
    };
    !path.is_empty() && std::fs::metadata(path).is_err_and(missing)
}

/// What is at the path of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// A namespace.
    There,
    /// Nothing.
    Gone,
    /// Something else: what is left of a namespace that was unmounted, or that is mounted where
    /// only others see it.
    NoNamespace,
    /// It is not known: the path was not recorded, or cannot be read.
    Unknown,
}

/// Looks at the path of a namespace.
pub fn state(path: &str) -> State {
    if path.is_empty() {
        return State::Unknown;
    }
    match kernel::Namespace::open(Path::new(path)) {
        Ok(_) => State::There,
        Err(_) if is_gone(path) => State::Gone,
        Err(error) if error.errno == 0 => State::NoNamespace,
        Err(_) => State::Unknown,
    }
}

/// The path without `.` and `..`, by its text alone: container IDs depend on it.
fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(clean.pop()),
            other => clean.push(other),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn container_ids_are_those_of_the_reference() {
        // printf /var/run/netns/testing | sha512sum
        assert_eq!(container_id("/var/run/netns/testing"), "cnitool-77383ca0a0715733ca6f");
    }

    #[test]
    fn paths_become_absolute_and_names_are_those_of_ip_netns() {
        assert_eq!(path("/run//netns/./a/../b").unwrap(), "/run/netns/b");
        assert_eq!(path("/../x").unwrap(), "/x");
        assert_eq!(path("no-such-namespace").unwrap(), "/run/netns/no-such-namespace");
        assert!(path("").is_err());
    }

    #[test]
    fn the_states_of_a_namespace_path_are_distinguished() {
        assert_eq!(state("/proc/self/ns/net"), State::There);
        assert_eq!(state("/proc/self/ns/nothing"), State::Gone);
        assert_eq!(state("/"), State::NoNamespace);
        assert_eq!(state(""), State::Unknown);
    }

    #[test]
    fn a_path_that_leads_nowhere_is_gone() {
        assert!(is_gone("/proc/self/ns/nothing"));
        assert!(is_gone("/proc/self/stat/nothing"));
        assert!(!is_gone("/proc/self/ns/net"));
        assert!(!is_gone(""));
    }
}
