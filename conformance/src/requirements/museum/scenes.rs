//! Directories and programs that an attacker could use.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::isolation::broken;

/// A directory for the tests, on a file system of its own.
pub(super) const SCENE: &str = "/run/testbed/museum";

/// A directory in [`SCENE`].
pub(super) fn folder(name: &str) -> String {
    let path = format!("{SCENE}/{name}");
    fs::create_dir_all(&path).unwrap_or_else(|error| broken(&format!("make {path}: {error}")));
    path
}

/// A program that creates the file `mark` when it runs.
pub(super) fn program(path: &str, mark: &str) {
    let made = fs::write(path, format!("#!/bin/sh\n: > {mark}\n"));
    let made = made.and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)));
    made.unwrap_or_else(|error| broken(&format!("make {path}: {error}")));
}

/// A file with this content.
pub(super) fn file(path: &str, content: &str) {
    fs::write(path, content).unwrap_or_else(|error| broken(&format!("write {path}: {error}")));
}

/// The names and contents of all files below a directory, as lines that can be compared.
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
