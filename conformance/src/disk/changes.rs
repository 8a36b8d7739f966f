//! The content of an overlay's upper directory.

use std::fs::{self, File, FileType, Metadata};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::OWN;

/// The changes in `upper`, which covers the directory `folder`. Directories are listed only if they
/// are empty, because the overlay also has those on the way to a change.
pub fn of(upper: &File, folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let way = PathBuf::from(format!("/proc/self/fd/{}", upper.as_raw_fd()));
    look(&way, folder, &mut lines);
    lines
}

/// Returns whether the directory is empty.
fn look(way: &Path, folder: &Path, lines: &mut Vec<String>) -> bool {
    let Ok(entries) = fs::read_dir(way) else { return false };
    let mut is_empty = true;
    for entry in entries.flatten() {
        is_empty = false;
        let path = folder.join(entry.file_name());
        if OWN.iter().any(|own| path == Path::new(own)) {
            continue;
        }
        let Ok(meta) = fs::symlink_metadata(entry.path()) else { continue };
        if !meta.is_dir() || look(&entry.path(), &path, lines) {
            lines.push(line(&meta, &path));
        }
    }
    is_empty
}

fn line(meta: &Metadata, path: &Path) -> String {
    // The overlay marks a removed file by a character device with the number 0.
    if meta.file_type().is_char_device() && meta.rdev() == 0 {
        return format!("removed {}", path.display());
    }
    format!("{} {:04o} {}", kind(meta.file_type()), meta.mode() & 0o7777, path.display())
}

fn kind(kind: FileType) -> &'static str {
    match () {
        () if kind.is_dir() => "dir",
        () if kind.is_symlink() => "symlink",
        () => "file",
    }
}
