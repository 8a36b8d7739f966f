//! Tests of the kit with defective plugins: each has one defect, and the requirement for it must
//! fail. For the original plugin the same requirement must pass.
#![cfg(test)]

mod addresses;
mod chained;
mod kernel;
mod own;
mod protocol;
mod stranger;
mod table;
mod unusual;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use serde_json::Value;
use table::Mutant;
use unusual::{UNUSUAL, Unusual};

/// The functions in the shell script of every defective plugin.
const FUNCTIONS: &str = r#"
IN=$(cat)
of() { [ "$CNI_COMMAND" = "$1" ]; }
has() { printf %s "$IN" | jq -e "$1" > /dev/null 2>&1; }
config() { IN=$(printf %s "$IN" | jq -c "$1"); }
real() { printf %s "$IN" | "$REAL"; }
result() { OUT=$(real); S=$?; if of ADD && [ $S = 0 ]; then printf %s "$OUT" | jq "$@"; else printf %s "$OUT"; fi; exit $S; }
error() { OUT=$(real); S=$?; if [ $S != 0 ]; then printf %s "$OUT" | jq "$@"; else printf %s "$OUT"; fi; exit $S; }
"#;

/// All defective plugins.
fn mutants() -> impl Iterator<Item = &'static Mutant> {
    table::MUTANTS
        .iter()
        .chain(protocol::MUTANTS)
        .chain(addresses::MUTANTS)
        .chain(kernel::MUTANTS)
        .chain(chained::MUTANTS)
}

/// The verdicts on a plugin, by requirement.
type Verdicts = BTreeMap<String, Vec<String>>;

/// The versions in which plugins are tested: an old one and the newest one.
const VERSIONS: &str = "0.4.0,1.1.0";

/// Runs the kit with these requirements and versions only.
fn judge(
    folder: &Path,
    plugin: &str,
    ids: &str,
    versions: &str,
    profile: Option<&str>,
) -> Verdicts {
    let report = tempfile::NamedTempFile::new().unwrap();
    let config = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cni-conformance"));
    command.arg("run");
    if let Some(text) = profile {
        fs::write(config.path(), text).unwrap();
        command.arg("--config").arg(config.path());
    }
    let output = command
        .args(["--plugins", plugin, "--only", ids, "--spec", versions, "--jobs", "2"])
        .arg("--bin-dir")
        .arg(folder)
        .arg("--json")
        .arg(report.path())
        .output()
        .unwrap();
    let report = fs::read_to_string(report.path()).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap_or_else(|_| {
        panic!("{plugin}, {ids}: no report: {}", String::from_utf8_lossy(&output.stderr))
    });
    let mut verdicts = Verdicts::new();
    for case in report["cases"].as_array().unwrap() {
        let id = case["requirement"].as_str().unwrap().to_owned();
        verdicts.entry(id).or_default().push(case["verdict"].as_str().unwrap().to_owned());
    }
    verdicts
}

/// A directory with the suite, in which one plugin has a defect.
fn folder_with(mutant: &Mutant) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(testbed::bin()).unwrap().map(Result::unwrap) {
        if entry.file_name() != mutant.plugin {
            symlink(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    let real = testbed::binary(mutant.plugin);
    let script = format!("#!/bin/sh\nREAL='{}'\n{FUNCTIONS}{}\n", real.display(), mutant.script);
    let path = folder.path().join(mutant.plugin);
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// The error of the kit if it does not detect the defect.
fn missed(mutant: &Mutant) -> Option<String> {
    let folder = folder_with(mutant);
    let verdicts = judge(folder.path(), mutant.plugin, mutant.caught_by, VERSIONS, None);
    let of_it = verdicts.get(mutant.caught_by).cloned().unwrap_or_default();
    let caught = of_it.iter().any(|verdict| verdict == "failed")
        && of_it.iter().all(|verdict| verdict != "broken");
    let Mutant { name, plugin, caught_by, .. } = mutant;
    (!caught).then(|| format!("{plugin}, {name}: not caught by {caught_by}: {of_it:?}"))
}

#[test]
fn every_broken_plugin_is_caught() {
    let queue: Mutex<VecDeque<&Mutant>> = Mutex::new(mutants().collect());
    let next = || queue.lock().unwrap().pop_front();
    let work = || std::iter::from_fn(next).filter_map(missed).collect::<Vec<_>>();
    let missed: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// The requirements that detect a defect, by plugin.
fn ids() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut ids: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for mutant in mutants() {
        ids.entry(mutant.plugin).or_default().insert(mutant.caught_by);
    }
    ids
}

/// The requirements, of these, that do not pass in a version to which they apply.
fn not_passed(folder: &Path, plugin: &str, ids: &BTreeSet<&str>) -> Vec<String> {
    let all = ids.iter().copied().collect::<Vec<_>>().join(",");
    let verdicts = judge(folder, plugin, &all, VERSIONS, None);
    let wrong = |id: &&str| {
        let of_it = verdicts.get(*id).cloned().unwrap_or_default();
        let passed = of_it.iter().any(|verdict| verdict == "passed")
            && of_it.iter().all(|verdict| matches!(verdict.as_str(), "passed" | "absent"));
        (!passed).then(|| format!("{plugin}: {id}: {of_it:?}"))
    };
    ids.iter().filter_map(wrong).collect()
}

#[test]
fn the_unbroken_plugins_pass() {
    let of = |(plugin, ids): (&&str, &_)| not_passed(&testbed::bin(), plugin, ids);
    let wrong: Vec<String> = ids().iter().flat_map(of).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Otherwise the requirement would detect the shell script around the plugin.
#[test]
fn a_harmless_shell_wrapper_passes() {
    let script = "case $CNI_COMMAND in ADD) result .;; *) error .;; esac";
    let of = |(plugin, ids): (&&'static str, &_)| {
        let folder = folder_with(&Mutant { name: "nothing", plugin, script, caught_by: "" });
        not_passed(folder.path(), plugin, ids)
    };
    let wrong: Vec<String> = ids().iter().flat_map(of).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_said_against_unusual_plugins() {
    let of = |Unusual { plugin, profile, versions, without }: &Unusual| {
        let folder = folder_with(plugin);
        without.iter().for_each(|name| fs::remove_file(folder.path().join(name)).unwrap());
        let verdicts = judge(folder.path(), plugin.plugin, plugin.caught_by, versions, *profile);
        let wrong = |id: &str| {
            let of_it = verdicts.get(id).cloned().unwrap_or_default();
            // A requirement that does not apply is not held against the plugin either.
            let is_right = |verdict: &String| matches!(verdict.as_str(), "passed" | "absent");
            let right = !of_it.is_empty() && of_it.iter().all(is_right);
            (!right).then(|| format!("{}: {id}: {of_it:?}", plugin.name))
        };
        plugin.caught_by.split(',').filter_map(wrong).collect::<Vec<_>>()
    };
    let wrong: Vec<String> = UNUSUAL.iter().flat_map(of).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!Path::new("/var/lib/of-the-kit").exists(), "a plugin wrote to the machine");
}

#[test]
fn there_are_enough_broken_plugins_and_none_twice() {
    let names: BTreeSet<(&str, &str)> =
        mutants().map(|mutant| (mutant.plugin, mutant.script)).collect();
    assert!(names.len() >= 30, "{}", names.len());
}
