//! Runs of the kit on a suite with a defective plugin.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::table::{CRASH_EVERY, Mutant};

/// The functions in the shell script of every defective plugin.
pub const FUNCTIONS: &str = r#"
IN=$(cat)
of() { [ "$CNI_COMMAND" = "$1" ]; }
has() { printf %s "$IN" | jq -e "$1" > /dev/null 2>&1; }
config() { IN=$(printf %s "$IN" | jq -c "$1"); }
real() { printf %s "$IN" | "$REAL"; }
added() { OUT=$(real); S=$?; of ADD && [ $S = 0 ]; }
show() { printf %s "$OUT"; exit $S; }
result() { added && OUT=$(printf %s "$OUT" | jq "$@"); show; }
error() { added || [ $S = 0 ] || OUT=$(printf %s "$OUT" | jq "$@"); show; }
after() { added && "$@" >&2; show; }
fail() { printf '{"code": %s, "msg": "%s"}' "$1" "$2"; exit 1; }
inside() { nsenter --net="$CNI_NETNS" "$@"; }
mac() { inside ip -br link show "$CNI_IFNAME" | awk '{print $3}'; }
filter() {
    nft "add table inet f; add chain inet f $1 { type filter hook $1 priority $2; }"
    nft "add rule inet f $1 $3"
}
FILE=/run/testbed/$CNI_CONTAINERID
"#;

/// The verdicts on a plugin, by requirement, one for each version.
#[derive(Debug, Default)]
pub struct Verdicts {
    of: BTreeMap<String, Vec<String>>,
    /// What the kit saw, in the same order.
    seen: Vec<String>,
}

impl Verdicts {
    /// The verdicts on a requirement.
    pub fn of(&self, id: &str) -> Vec<&str> {
        self.of.get(id).into_iter().flatten().map(String::as_str).collect()
    }
}

impl Display for Verdicts {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.seen.iter().try_for_each(|seen| writeln!(f, "  {seen}"))
    }
}

/// Runs the kit with these requirements and versions only.
pub fn judge_all(
    folder: &Path,
    plugin: &str,
    ids: &str,
    versions: &str,
    profile: Option<&str>,
) -> Verdicts {
    let config = tempfile::NamedTempFile::new().unwrap();
    let mut options = vec!["--plugins", plugin, "--only", ids, "--spec", versions];
    if let Some(text) = profile {
        fs::write(config.path(), text).unwrap();
        options.extend(["--config", config.path().to_str().unwrap()]);
    }
    run(folder, &options, CRASH_EVERY)
}

/// Tests a defective plugin in this directory.
pub fn judge(folder: &Path, mutant: &Mutant) -> Verdicts {
    let Mutant { plugin, caught_by, versions, crash_every, .. } = *mutant;
    run(folder, &["--plugins", plugin, "--only", caught_by, "--spec", versions], crash_every)
}

fn run(folder: &Path, options: &[&str], crash_every: &str) -> Verdicts {
    let report = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cni-conformance"));
    command.arg("run").args(options).args(["--jobs", "2", "--crash-every", crash_every]);
    command.arg("--bin-dir").arg(folder).arg("--json").arg(report.path());
    let output = command.output().unwrap();
    let report = fs::read_to_string(report.path()).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap_or_else(|_| {
        panic!("{options:?}: no report: {}", String::from_utf8_lossy(&output.stderr))
    });
    let mut verdicts = Verdicts::default();
    for case in report["cases"].as_array().unwrap() {
        let text = |key: &str| case[key].as_str().unwrap_or_default().to_owned();
        let (id, verdict) = (text("requirement"), text("verdict"));
        verdicts.seen.push(format!("{id} {verdict} {} {}", case["finding"], text("why")));
        verdicts.of.entry(id).or_default().push(verdict);
    }
    verdicts
}

/// The file of a plugin: ours, or else the reference suite's.
fn file(plugin: &str) -> PathBuf {
    let own = testbed::bin().join(plugin);
    if own.exists() { own } else { testbed::reference().join(plugin) }
}

/// A directory with our plugins, and those that only the reference suite has.
fn suite() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for suite in [testbed::bin(), testbed::reference()] {
        for entry in fs::read_dir(suite).unwrap().map(Result::unwrap) {
            // The first suite has the link already.
            let _ = symlink(entry.path(), folder.path().join(entry.file_name()));
        }
    }
    folder
}

/// A directory with the suite, in which one plugin has a defect. Without a defect it is the real
/// plugin.
pub fn folder_with(mutant: &Mutant) -> tempfile::TempDir {
    let folder = suite();
    let path = folder.path().join(mutant.plugin);
    fs::remove_file(&path).unwrap();
    match (mutant.real, mutant.script) {
        (Some(text), _) => program(&path, &edited(text, mutant.edits), mutant.mode),
        (None, "") => symlink(file(mutant.plugin), path).unwrap(),
        (None, script) => {
            let real = file(mutant.plugin);
            let script = format!("#!/bin/sh\nREAL='{}'\n{FUNCTIONS}{script}\n", real.display());
            program(&path, &script, mutant.mode);
        }
    }
    folder
}

fn edited(text: &str, edits: &[(&str, &str)]) -> String {
    edits.iter().fold(text.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "{old} is not in the real plugin");
        text.replace(old, new)
    })
}

fn program(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
