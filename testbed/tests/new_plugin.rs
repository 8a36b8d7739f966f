//! `scripts/new-plugin` writes plugins that are at once green, in a copy of the workspace. Two
//! plugins and a kind of kernel object change two files that a person writes.
#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// What is compiled in the copy goes beside what the workspace has compiled, whose dependencies are
/// used. All files are new (`tar -m`), so that nothing of an earlier copy is taken for this one's.
/// The packages of the copy have another version, because cargo takes packages of the same
/// name, version and place in a workspace for the same.
fn copy(to: &Path) {
    let files =
        "tar -c --exclude=./target --exclude=./bin --exclude=./.git . | tar -x -m -C \"$0\"";
    let copied = Command::new("sh").args(["-ec", files]).arg(to).current_dir(workspace()).status();
    assert!(copied.unwrap().success());
    let manifest = std::fs::read_to_string(to.join("Cargo.toml")).unwrap();
    let other = manifest.replacen("\nversion = \"0.1.0\"\n", "\nversion = \"0.1.99\"\n", 1);
    assert_ne!(manifest, other, "the version of the workspace");
    std::fs::write(to.join("Cargo.toml"), other).unwrap();
}

fn target() -> PathBuf {
    let given = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    workspace().join(given.unwrap_or_else(|| "target".into()))
}

#[track_caller]
fn run(folder: &Path, command: &str, args: &[&str]) {
    let output = Command::new(command)
        .args(args)
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (printed, complained) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command} {args:?}\n{printed}{complained}");
}

/// All files below a folder.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => drop(found.insert(path.clone(), fs::read(&path).unwrap_or_default())),
        }
    }
    found
}

/// Changes a file of the copy.
fn edit(copied: &Path, file: &str, from: &str, to: &str) {
    let text = fs::read_to_string(copied.join(file)).unwrap();
    assert!(text.contains(from), "{file} has no {from:?}");
    fs::write(copied.join(file), text.replacen(from, to, 1)).unwrap();
}

/// A kind of kernel object.
const KIND: &str = r#"use serde::Serialize;

use super::{At, Kind, Place, Sweep};
use crate::error::Result;

/// An object that is always there.
#[derive(Debug, Clone, Serialize)]
pub struct MadeKind {}

impl Kind for MadeKind {
    fn name(&self) -> &'static str {
        "made-kind"
    }

    fn show(&self, _place: Place) -> String {
        "true".to_owned()
    }

    fn apply(&self, _at: &mut At<'_>) -> Result<()> {
        Ok(())
    }

    fn diff(&self, _at: &mut At<'_>) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

impl Sweep for MadeKind {}
"#;

/// Gives the plugin `made-change` a kind of kernel object of its own, which GC removes.
fn add_kind(copied: &Path) {
    fs::write(copied.join("kernel/src/object/made_kind.rs"), KIND).unwrap();
    let list = "kernel/src/object.rs";
    edit(copied, list, "mod masquerade;", "mod made_kind;\nmod masquerade;");
    let public = "pub use made_kind::MadeKind;\npub use masquerade::";
    edit(copied, list, "pub use masquerade::", public);
    let swept = "impl Chained for MadeChange {\n    const SWEPT: &'static [kernel::Swept] = \
                 &[kernel::Swept::of::<kernel::MadeKind>()];\n";
    edit(copied, "plugins/src/made_change.rs", "impl Chained for MadeChange {\n", swept);
}

#[test]
fn new_plugins_are_green() {
    let copied = tempfile::tempdir().unwrap();
    let copied = copied.path();
    copy(copied);
    let before = files(copied);
    run(copied, "scripts/new-plugin", &["made-link"]);
    run(copied, "scripts/new-plugin", &["made-change", "--chained"]);
    add_kind(copied);
    let after = files(copied);
    let changed = before.iter().filter(|(path, text)| after.get(*path) != Some(text));
    let changed: Vec<_> =
        changed.map(|(path, _)| path.strip_prefix(copied).unwrap().to_str().unwrap()).collect();
    // The parts of the pages are generated.
    let pages = ["README.md", "docs/README.md"];
    assert_eq!(changed, [&pages[..], &["kernel/src/object.rs", "plugins/src/lib.rs"]].concat());
    let cargo = |args: &str| run(copied, env!("CARGO"), &args.split(' ').collect::<Vec<_>>());
    cargo("fmt -p plugins --check");
    cargo("clippy -p plugins --all-targets --all-features --offline -- -D warnings");
    // Tests that drive built binaries need a release build of the copy.
    cargo(
        "test -p plugins --offline --lib --test docs --test suite --test made_link --test \
         made_change -- --skip the_built_programs --skip del_leaves_the_host --skip it_follows_ptp \
         --skip one_program",
    );
}

#[test]
fn names_that_cannot_be_are_refused() {
    for name in ["", "Upper", "a--b", "../x", "1st", "bridge", "common", "-x"] {
        let script = workspace().join("scripts/new-plugin");
        let output = Command::new(script).arg(name).output().unwrap();
        assert!(!output.status.success(), "{name}");
    }
}
