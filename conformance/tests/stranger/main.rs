//! A plugin in bash by an author who knew the specification, but not the kit: the kit's messages
//! alone led from its first version to its final one. `log.md` tells the steps.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Requirements that the first version does not meet.
const UNMET: [&str; 17] = [
    "CVE-2021-20206.names",
    "S1.JSON.1",
    "S1.JSON.2",
    "S1.NAME.2",
    "S1.TYPES.1",
    "S2.CHECK.2",
    "S2.ENV.12",
    "S2.ENV.5",
    "S2.ENV.7",
    "S2.ENV.9",
    "S2.ERR.1",
    "S2.ERR.3",
    "S2.ERR.4",
    "S2.ERR.6",
    "S2.GC.10",
    "S2.STATUS.3",
    "S3.CHAIN.6",
];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stranger").join(name)
}

/// Tests a version of the plugin. Returns the output, and the requirements that it does not meet.
fn judge(version: &str, options: &[&str]) -> (Output, BTreeSet<String>) {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("plainnet");
    fs::copy(file(version), &plugin).unwrap();
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).unwrap();
    let report = tempfile::NamedTempFile::new().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_cni-conformance"))
        // Each call of the plugin starts some dozens of programs.
        .env("CNI_CONFORMANCE_PATIENCE", "6")
        .args(["run", "--jobs", "2", "--bin-dir"])
        .arg(folder.path())
        .arg("--config")
        .arg(file("plainnet.json"))
        .arg("--json")
        .arg(report.path())
        .args(options)
        .output()
        .unwrap();
    let report: Value = serde_json::from_reader(report.as_file()).unwrap();
    let cases = report["cases"].as_array().unwrap().iter();
    let unmet = cases.filter(|case| case["verdict"] == "failed" || case["verdict"] == "broken");
    let unmet = unmet.map(|case| case["requirement"].as_str().unwrap().to_owned());
    (output, unmet.collect())
}

#[test]
fn the_first_version_fails() {
    let (output, unmet) = judge("first.sh", &["--only", &UNMET.join(",")]);
    assert_eq!(output.status.code(), Some(1));
    let expected: BTreeSet<String> = UNMET.map(str::to_owned).into();
    assert_eq!(unmet, expected, "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_final_version_meets_all_requirements() {
    let (output, unmet) = judge("final.sh", &[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(unmet.is_empty(), "{unmet:?}\n{said}");
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("the plugins conform"), "{said}");
}
