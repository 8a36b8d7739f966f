//! Runs of the kit on a suite with a defective plugin.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::table::Mutant;

/// The functions in the shell script of every defective plugin.
pub const FUNCTIONS: &str = r#"
IN=$(cat)
of() { [ "$CNI_COMMAND" = "$1" ]; }
has() { printf %s "$IN" | jq -e "$1" > /dev/null 2>&1; }
config() { IN=$(printf %s "$IN" | jq -c "$1"); }
real() { printf %s "$IN" | "$REAL"; }
result() { OUT=$(real); S=$?; if of ADD && [ $S = 0 ]; then printf %s "$OUT" | jq "$@"; else printf %s "$OUT"; fi; exit $S; }
error() { OUT=$(real); S=$?; if [ $S != 0 ]; then printf %s "$OUT" | jq "$@"; else printf %s "$OUT"; fi; exit $S; }
after() { OUT=$(real); S=$?; if of ADD && [ $S = 0 ]; then "$@" >&2; fi; printf %s "$OUT"; exit $S; }
fail() { printf '{"code": %s, "msg": "%s"}' "$1" "$2"; exit 1; }
inside() { nsenter --net="$CNI_NETNS" "$@"; }
mac() { inside ip -br link show "$CNI_IFNAME" | awk '{print $3}'; }
filter() { nft "add table inet f; add chain inet f $1 { type filter hook $1 priority $2; }; add rule inet f $1 $3"; }
FILE=/run/testbed/$CNI_CONTAINERID
"#;

/// The verdicts on a plugin, by requirement, each with what the kit saw.
pub struct Verdicts(BTreeMap<String, Vec<(String, String)>>);

impl Verdicts {
    /// The verdicts on a requirement, one for each version.
    pub fn of(&self, id: &str) -> Vec<&str> {
        self.0.get(id).into_iter().flatten().map(|(verdict, _)| verdict.as_str()).collect()
    }
}

impl Display for Verdicts {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (id, cases) in &self.0 {
            cases.iter().try_for_each(|(verdict, seen)| writeln!(f, "  {id} {verdict} {seen}"))?;
        }
        Ok(())
    }
}

/// Tests a defective plugin in this directory.
pub fn judge(folder: &Path, mutant: &Mutant) -> Verdicts {
    judge_all(folder, mutant.plugin, mutant.caught_by, mutant.versions, None)
}

/// Runs the kit with these requirements and versions only.
pub fn judge_all(
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
        .args(["--crash-every", "16", "--bin-dir"])
        .arg(folder)
        .arg("--json")
        .arg(report.path())
        .output()
        .unwrap();
    let report = fs::read_to_string(report.path()).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap_or_else(|_| {
        panic!("{plugin}, {ids}: no report: {}", String::from_utf8_lossy(&output.stderr))
    });
    let mut verdicts = BTreeMap::<_, Vec<_>>::new();
    for case in report["cases"].as_array().unwrap() {
        let text = |key: &str| case[key].as_str().unwrap_or_default().to_owned();
        let seen = format!("{} {}", case["finding"], text("why"));
        verdicts.entry(text("requirement")).or_default().push((text("verdict"), seen));
    }
    Verdicts(verdicts)
}

/// The file of a plugin: ours, or else the reference suite's.
fn file(plugin: &str) -> PathBuf {
    let own = testbed::bin().join(plugin);
    if own.exists() { own } else { testbed::reference().join(plugin) }
}

/// A directory with our plugins, and those that only the reference suite has.
pub fn suite() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for suite in [testbed::bin(), testbed::reference()] {
        for entry in fs::read_dir(suite).unwrap().map(Result::unwrap) {
            // The first suite has the link already.
            let _ = symlink(entry.path(), folder.path().join(entry.file_name()));
        }
    }
    folder
}

/// A directory with the suite, in which one plugin has a defect.
pub fn folder_with(mutant: &Mutant) -> tempfile::TempDir {
    let folder = suite();
    let real = file(mutant.plugin);
    let script = format!("#!/bin/sh\nREAL='{}'\n{FUNCTIONS}{}\n", real.display(), mutant.script);
    let path = folder.path().join(mutant.plugin);
    fs::remove_file(&path).unwrap();
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mutant.mode)).unwrap();
    folder
}
