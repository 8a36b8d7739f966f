//! Tests refuse binaries that are older than the sources.

#![cfg(test)]

use std::fs::{self, File};
use std::panic::catch_unwind;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use testbed::assert_fresh;

/// A workspace whose files have the given ages in seconds.
fn workspace(files: &[(&str, u64)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, age) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let time = SystemTime::now() - Duration::from_secs(*age);
        File::create(path).unwrap().set_modified(time).unwrap();
    }
    folder
}

/// The error of the check; empty if there is none.
fn said(workspace: &Path) -> String {
    let (bin, workspace) = (workspace.join("bin"), workspace.to_owned());
    match catch_unwind(|| assert_fresh(&bin, &workspace)) {
        Ok(()) => String::new(),
        Err(panic) => panic.downcast_ref::<String>().unwrap().clone(),
    }
}

#[test]
fn newer_binaries_are_fine() {
    let files = [("kernel/src/lib.rs", 20), ("Cargo.lock", 30), ("bin/bridge", 10)];
    assert_eq!(said(workspace(&files).path()), "");
}

#[test]
fn one_binary_older_than_one_source_is_stale() {
    let files =
        [("ipam/static.rs", 9), ("kernel/src/lib.rs", 20), ("bin/bridge", 10), ("bin/ptp", 1)];
    let said = said(workspace(&files).path());
    assert!(said.contains("bin/bridge is older than"), "{said}");
    assert!(said.ends_with("ipam/static.rs: run scripts/build"), "{said}");
}

#[test]
fn the_lock_file_and_manifests_count() {
    for file in ["Cargo.lock", "Cargo.toml", "cnitool/Cargo.toml"] {
        let said = said(workspace(&[(file, 5), ("bin/bridge", 10)]).path());
        assert!(said.contains(&format!("{file}: run scripts/build")), "{said}");
    }
}

#[test]
fn newer_tests_and_documents_do_not_make_binaries_stale() {
    let files = [
        ("plugins/bridge.rs", 20),
        ("plugins/tests/bridge.rs", 1),
        ("testbed/src/lib.rs", 1),
        ("README.md", 1),
        ("bin/bridge", 10),
    ];
    assert_eq!(said(workspace(&files).path()), "");
}

#[test]
fn missing_binaries_are_reported() {
    let said = said(workspace(&[("plugins/bridge.rs", 20), ("bin/.bridge.new", 1)]).path());
    assert!(said.starts_with("no binaries in "), "{said}");
    assert!(said.ends_with("run scripts/build"), "{said}");
}
