//! The output of `scripts/e2e bench` is complete. The test asserts no durations.
#![cfg(test)]

use std::path::Path;
use std::process::Command;

use bench::sandboxes::{NO_NETWORK, Sandboxes, picture};
use e2e::{Containerd, Machine, Release, Sandbox};
use serde_json::json;

#[test]
fn everybody_is_measured() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sandboxes");
    std::fs::create_dir_all(&out).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandboxes"));
    command.args(["--only", "bridge", "--turns", "2", "--bursts", "1", "--at-once", "3"]);
    command.arg("--peer").arg(format!("theirs={}", testbed::reference().display()));
    let output = command.arg("--out").arg(&out).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let results = Sandboxes::read(&out).unwrap().unwrap();
    assert!(results.runtime.starts_with("containerd 1."), "{}", results.runtime);
    let rows: Vec<_> = results.rows.iter().map(|row| (row.verb.as_str(), row.at_once)).collect();
    assert_eq!(rows, [("start", 1), ("stop", 1), ("start", 3), ("stop", 3)]);
    for row in &results.rows {
        let turns = if row.at_once == 1 { 2 } else { 1 };
        let labels: Vec<_> = row.figures.iter().map(|of| of.label.as_str()).collect();
        assert_eq!(labels, ["ferrocni", "theirs", NO_NETWORK]);
        for of in &row.figures {
            assert!(of.failed.is_empty(), "{}", of.failed);
            assert_eq!(of.turns, turns, "{of:?}");
            assert!(0.0 < of.median && of.median <= of.p90 && of.median <= of.all, "{of:?}");
            assert_eq!(of.network.is_none(), of.label == NO_NETWORK, "{of:?}");
            assert_eq!(of.ratio.is_none(), of.label == "ferrocni", "{of:?}");
            assert!(said.contains(&of.label));
        }
    }
    assert_eq!(std::fs::read_to_string(out.join("containerd.svg")).unwrap(), picture(&results));
}

#[test]
fn without_a_network_no_plugin_is_called() {
    let machine = Machine::new();
    // A plugin that would fail.
    machine.network(json!({ "cniVersion": "1.0.0", "name": "pods", "plugins": [
        { "type": "bridge", "ipam": { "type": "missing" } }
    ]}));
    let containerd = Containerd::start(&machine, Release::Stable);
    let before = machine.state();
    let without = Sandbox { host_network: true, ..Sandbox::new("without") };
    let id = containerd.run_sandbox(&without).unwrap();
    testbed::assert_same!(before, machine.state());
    assert_eq!(machine.namespaces(), Vec::<String>::new());
    containerd.remove_sandbox(&id).unwrap();
    containerd.run_sandbox(&Sandbox::new("with")).unwrap_err();
}
