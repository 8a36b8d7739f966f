//! The places of the interfaces in a result.

use std::fs;
use std::os::unix::fs::MetadataExt;

/// The place of an interface, by its `sandbox`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the host: it has no `sandbox`.
    Host,
    /// In a network namespace.
    Container,
    /// In a virtual machine, for example: the `sandbox` is an identifier of any kind.
    Elsewhere,
}

impl Place {
    /// The place of an interface with this `sandbox`.
    pub fn of(sandbox: &str) -> Place {
        let device = |path: &str| fs::metadata(path).map(|meta| meta.dev());
        let namespaces = device("/proc/self/ns/net");
        match (device(sandbox), namespaces) {
            _ if sandbox.is_empty() => Place::Host,
            _ if !sandbox.starts_with('/') => Place::Elsewhere,
            // Namespaces are files of one file system of the kernel.
            (Ok(device), Ok(namespaces)) if device != namespaces => Place::Elsewhere,
            _ => Place::Container,
        }
    }
}
