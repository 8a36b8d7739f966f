//! The crash tests distinguish a plugin that leaves something behind from one that does not.
#![cfg(test)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// A plugin that keeps a file for each container, and first writes it under another name. DEL and
/// GC remove the pattern `{}`.
const PLUGIN: &str = r#"#!/bin/sh
[ "$CNI_COMMAND" = VERSION ] || read -r config
cd /var/lib/cni
case $CNI_COMMAND in
VERSION) echo '{"cniVersion":"1.1.0","supportedVersions":["1.1.0"]}' ;;
ADD)
    echo taken >"$CNI_CONTAINERID.half"
    mv "$CNI_CONTAINERID.half" "$CNI_CONTAINERID"
    echo '{"cniVersion":"1.1.0","interfaces":[{"name":"lo","sandbox":"'"$CNI_NETNS"'"}]}' ;;
DEL) rm -f {} ;;
esac
"#;

/// Tests the plugin. Returns whether it passed, and the output.
fn judge(removed: &str, requirement: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("loopback");
    fs::write(&plugin, PLUGIN.replace("{}", removed)).unwrap();
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).unwrap();
    let mut kit = Command::new(env!("CARGO_BIN_EXE_cni-conformance"));
    kit.args(["run", "--only", requirement, "--crash-every", "16", "--bin-dir"]).arg(folder.path());
    let output = kit.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn a_plugin_that_forgets_its_temporary_file_is_caught() {
    let (passed, said) = judge(r#""$CNI_CONTAINERID""#, "CRASH.ADD.1");
    assert!(!passed, "{said}");
    assert!(said.contains("left file /var/lib/cni/") && said.contains(".half"), "{said}");
}

#[test]
fn a_plugin_that_removes_all_of_it_passes() {
    let all = r#""$CNI_CONTAINERID" "$CNI_CONTAINERID.half""#;
    for requirement in ["CRASH.ADD.1", "CRASH.DEL.1"] {
        let (passed, said) = judge(all, requirement);
        assert!(passed, "{said}");
    }
}

#[test]
fn a_plugin_without_gc_fails_the_requirement_of_gc() {
    let all = r#""$CNI_CONTAINERID" "$CNI_CONTAINERID.half""#;
    let (passed, said) = judge(all, "CRASH.ADD.3");
    assert!(!passed && said.contains("namespace deleted: left file /var/lib/cni/"), "{said}");
}
