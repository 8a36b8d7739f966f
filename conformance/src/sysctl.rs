//! The settings of a network namespace, in `/proc/sys/net`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use testbed::Pod;

/// All settings of a namespace that can be read. It omits the number of tracked connections, which
/// is not a setting.
pub fn all(pod: &Pod) -> BTreeMap<PathBuf, String> {
    pod.enter(|| {
        let mut found = BTreeMap::new();
        read(Path::new("/proc/sys/net"), &mut found);
        found.retain(|path, _| !path.ends_with("nf_conntrack_count"));
        found
    })
}

/// The settings below a directory, in the namespace of the calling thread.
fn read(folder: &Path, found: &mut BTreeMap<PathBuf, String>) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            read(&path, found);
        } else if let Ok(value) = fs::read_to_string(&path) {
            found.insert(path, value);
        }
    }
}
