//! `scripts/new-plugin` writes plugins that are at once green, in a copy of the workspace.
#![cfg(test)]

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

#[test]
fn new_plugins_are_green() {
    let copied = tempfile::tempdir().unwrap();
    let copied = copied.path();
    copy(copied);
    run(copied, "scripts/new-plugin", &["made-link"]);
    run(copied, "scripts/new-plugin", &["made-change", "--chained"]);
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
