//! Plugins and their files in any place: each test has a disk of its own, and programs stay visible.
#![cfg(test)]

use std::process::{Command, Output};

/// Runs shell commands in a mount namespace with an empty `/run`. `$KIT` is the kit, `$BIN` the
/// directory of the built plugins.
fn apart(script: &str) -> Output {
    let script = format!("set -e; mount -t tmpfs tmpfs /run; {script}");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    command.env("KIT", env!("CARGO_BIN_EXE_cni-conformance")).env("BIN", testbed::bin());
    command.output().unwrap()
}

fn assert_passes(output: &Output) {
    let (out, complaint) = (&output.stdout, &output.stderr);
    let shown = format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(complaint));
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("0 failed"), "{shown}");
}

#[test]
fn plugins_and_the_kit_below_run_are_tested() {
    let output = apart(
        "mkdir /run/plugins /run/kit; cp $BIN/ptp $BIN/host-local /run/plugins; cp $KIT /run/kit
         /run/kit/cni-conformance run --bin-dir /run/plugins --plugins ptp --spec 1.1.0 \
             --only S2.ADD.1,LINUX.ADD.12,S4.ADD.1",
    );
    assert_passes(&output);
}

#[test]
fn a_file_system_of_the_machine_is_overlaid_too() {
    let output = apart(
        r#"mkdir /run/plugins; mount -t tmpfs tmpfs /srv; cp $BIN/host-local /run/plugins
         printf '#!/bin/sh\ntouch /srv/$CNI_COMMAND\nexec %s\n' $BIN/ptp > /run/plugins/ptp
         chmod 755 /run/plugins/ptp
         $KIT run --bin-dir /run/plugins --plugins ptp --only S2.ADD.1 --spec 1.1.0
         ls -A /srv | grep . && exit 1; true"#,
    );
    assert_passes(&output);
}
