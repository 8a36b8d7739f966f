//! Plugins that print what no plugin should print: the kit finds failures, and does not fail itself.
#![cfg(test)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// `(name, script)`: shell commands that print the result of ADD, in place of `$OUT`.
const ODD: &[(&str, &str)] = &[
    ("invalid next hops", r#"edit '.ips[].gateway = "no" | .routes = [{dst: "::/0", gw: "x"}]'"#),
    ("text for numbers", r#"edit '.ips[].interface = "2" | .interfaces[].mtu = "x" | .dns = 1'"#),
    ("numbers for text", "edit '.ips[].address = 7 | .interfaces[] |= {name: 1, sandbox: 2}'"),
    ("numbers out of range", "edit '.ips[].interface = -1 | .interfaces[].mtu = 1e99'"),
    ("null", "edit '.ips = null | .interfaces = null | .routes = null'"),
    ("objects for lists", "edit '.ips = {} | .interfaces = {a: 1} | .routes = {}'"),
    (
        "NUL in names",
        r#"edit '.interfaces[].name = "a/\u0000" | .interfaces[].sandbox = "\u0000"'"#,
    ),
    ("deep JSON", r#"printf '[%.0s' $(seq 100000)"#),
    ("much output", r"head -c 5000000 /dev/zero | tr '\0' x"),
    ("no text", r#"printf '\377\376\0%s\0' "$OUT""#),
];

/// What the tests of these requirements read from results.
const READERS: &str = "S5.INTERFACES,S5.IPS,LINUX.ADD.1,NET.PING.1,CRASH.ADD.2";

/// A directory with the suite, in which `bridge` prints something odd.
fn folder_with(script: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(testbed::bin()).unwrap().map(Result::unwrap) {
        if entry.file_name() != "bridge" {
            symlink(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    let real = testbed::binary("bridge");
    let script = format!(
        "#!/bin/sh\nOUT=$({}); S=$?\nedit() {{ printf %s \"$OUT\" | jq \"$@\"; }}\n\
         if [ $CNI_COMMAND = ADD ] && [ $S = 0 ]; then {script}; else printf %s \"$OUT\"; fi; exit $S\n",
        real.display()
    );
    let path = folder.path().join("bridge");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Runs the kit. Returns the report as text and as JSON.
fn report(folder: &Path) -> (String, Value) {
    let file = folder.join("report.json");
    let output = Command::new(env!("CARGO_BIN_EXE_cni-conformance"))
        .args(["run", "--plugins", "bridge", "--only", READERS, "--spec", "1.1.0"])
        .args(["--crash-every", "400", "--bin-dir"])
        .arg(folder)
        .arg("--json")
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(file).unwrap();
    let value = serde_json::from_str(&text).unwrap();
    (text, value)
}

#[test]
fn odd_results_are_failures_of_the_plugin_and_not_of_the_kit() {
    for (name, script) in ODD {
        let folder = folder_with(script);
        let (text, report) = report(folder.path());
        let cases = report["cases"].as_array().unwrap();
        let count = |verdict: &str| cases.iter().filter(|c| c["verdict"] == verdict).count();
        assert!(count("failed") > 0, "{name}: {text}");
        assert_eq!(count("broken"), 0, "{name}: {text}");
        assert!(text.len() < 1_500_000, "{name}: the report has {} bytes", text.len());
    }
}
