//! Network namespaces by path: several paths can lead to one.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Whether two paths lead to the same network namespace, by its inode. They can differ by a
/// symbolic link (`/var/run` is one), by `/proc/PID/ns/net`, or because the namespace is mounted in
/// several places.
///
/// If the namespace is gone, only the paths are left. They are the same if their names and the
/// folders they are in are, so `/var/run/netns/x` is still `/run/netns/x`.
///
/// ```
/// assert!(libcni::is_same_netns("/proc/self/ns/net", "/proc/self/../thread-self/ns/net"));
/// assert!(!libcni::is_same_netns("/proc/self/ns/net", "/proc/self/ns/mnt"));
/// ```
pub fn is_same_netns(one: &str, other: &str) -> bool {
    one == other || (!one.is_empty() && !other.is_empty() && identity(one) == identity(other))
}

/// The identity of a namespace.
#[derive(PartialEq, Eq)]
enum Identity {
    Inode(u64, u64),
    /// The path does not exist, or may not be read.
    Path(PathBuf, Option<OsString>),
}

fn identity(path: &str) -> Identity {
    if let Ok(meta) = fs::metadata(path) {
        return Identity::Inode(meta.dev(), meta.ino());
    }
    let path = Path::new(path);
    let folder = path.parent().unwrap_or(path);
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    Identity::Path(folder, path.file_name().map(ToOwned::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_nowhere_are_compared_by_their_folders() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("link")).unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        assert!(is_same_netns(&path("gone"), &path("link/gone")));
        assert!(!is_same_netns(&path("gone"), &path("link/other")));
        assert!(!is_same_netns(&path("gone"), &path("nowhere/gone")));
        assert!(!is_same_netns("", "/proc/self/ns/net"));
        assert!(!is_same_netns(&path("gone"), &path("link")));
    }
}
