//! Other result caches on this node. A runtime can have a cache of its own: cri-dockerd in
//! `/var/lib/cni/cache`, Multus in `/var/lib/cni/multus`. An attachment that only such a cache has
//! is live too.

use std::fs;
use std::path::{Path, PathBuf};

use libcni::Result;
use libcni::runtime::{Cache, Cached};

use crate::netns;

/// The folders below and above a cache's folder that also have a cache.
pub fn beside(dir: &Path) -> Vec<PathBuf> {
    let below = |dir: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    };
    let above = dir.parent().filter(|above| above.join("results").is_dir());
    let mut all = below(dir);
    all.extend(above.into_iter().flat_map(below));
    all.extend(above.map(Path::to_owned));
    all.retain(|other| other != dir && other.join("results").is_dir());
    all.sort();
    all.dedup();
    all
}

/// The attachments in other caches whose namespace exists, each with the cache's folder.
///
/// # Errors
///
/// Returns an error if a cache cannot be read, because live attachments would then be missing.
pub fn live_elsewhere(dir: &Path) -> Result<Vec<(PathBuf, Cached)>> {
    let mut live = Vec::new();
    for other in beside(dir) {
        let cached = Cache::new(&other).attachments(None)?;
        let alive = cached.into_iter().filter(|cached| !netns::is_gone(&cached.conf.netns));
        live.extend(alive.map(|cached| (other.clone(), cached)));
    }
    Ok(live)
}
