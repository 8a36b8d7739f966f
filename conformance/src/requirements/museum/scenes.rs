//! Folders and programs that an attacker would like to be used.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::bench::broken;

/// A folder of the tests' own, on a file system of their own.
pub(super) const SCENE: &str = "/run/testbed/museum";

/// A folder in [`SCENE`].
pub(super) fn folder(name: &str) -> String {
    let path = format!("{SCENE}/{name}");
    fs::create_dir_all(&path).unwrap_or_else(|error| broken(&format!("make {path}: {error}")));
    path
}

/// A program that leaves the file `mark` behind if it is run.
pub(super) fn program(path: &str, mark: &str) {
    let made = fs::write(path, format!("#!/bin/sh\n: > {mark}\n"));
    let made = made.and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)));
    made.unwrap_or_else(|error| broken(&format!("make {path}: {error}")));
}

/// A file with that content.
pub(super) fn file(path: &str, content: &str) {
    fs::write(path, content).unwrap_or_else(|error| broken(&format!("write {path}: {error}")));
}

/// All that is below a folder, as lines that compare: names, and what is in the files.
pub(super) fn listing(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        match meta.is_dir() {
            true => lines.extend(listing(&path)),
            false => {
                let content = fs::read(&path).unwrap_or_default();
                lines.push(format!("{} {:?}", path.display(), String::from_utf8_lossy(&content)));
            }
        }
        if meta.is_dir() {
            lines.push(path.display().to_string());
        }
    }
    lines.sort();
    lines
}
