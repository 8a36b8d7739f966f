//! Finds folders of plugins: folders with a network's name, beside the network's file.

use std::path::Path;

use serde_json::Value;

use super::{KINDS, extension, files_of};

/// The maximum size of a configuration in bytes.
const LARGEST: u64 = 8 << 20;

/// Whether a file is in such a folder: whether the parent folder has networks. No runtime looks for
/// networks in a subfolder of a configuration folder. libcni reads the plugins of a list from
/// there, and Multus the plugins of its auxiliary chain.
pub fn is_of_chain(path: &Path) -> bool {
    let Ok(path) = std::path::absolute(path) else { return false };
    let Some(above) = path.parent().and_then(Path::parent) else { return false };
    // A folder that cannot be read counts as one without networks.
    let beside = files_of(above).unwrap_or_default();
    beside.iter().filter(|file| KINDS.contains(&extension(file))).any(|file| is_network(file))
}

fn is_network(file: &Path) -> bool {
    let text = libcni::file::read(file, LARGEST).unwrap_or_default();
    let network: Value = serde_json::from_slice(&text).unwrap_or_default();
    let has = |key: &str| network.get(key).is_some();
    has("plugins") || has("type") && (has("cniVersion") || has("name"))
}
