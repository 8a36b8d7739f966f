//! Long input is read once, and rejected before it takes much memory.

use std::fs::File;
use std::process::Stdio;

use serde_json::{Value, json};
use testbed::{Cni, Node};

use crate::plugins;

/// The maximum memory of a plugin's call, in bytes.
const MEMORY: &str = "--as=200000000";

/// A configuration of about 8 MiB with as many small values as fit.
fn of_small(value: &str) -> String {
    let values = vec![value; (8 << 20) / (value.len() + 1) - 200].join(",");
    format!(r#"{{"cniVersion": "1.1.0", "name": "pods", "type": "bridge", "x": [{values}]}}"#)
}

#[test]
fn many_small_values_are_refused_before_they_take_memory() {
    for (value, why) in
        [("{\"\":0}", "100000 objects"), ("[]", "100000 objects"), ("0", "400000 values")]
    {
        let call = Cni::new("bridge").conf(of_small(value)).under(&["prlimit", MEMORY]);
        let (code, msg, _) = call.env("CNI_NETNS", "/run/netns/a").add().err();
        assert!(code == 6 && msg.contains(&format!("the document has more than {why}")), "{msg}");
    }
}

#[test]
fn lists_of_real_length_are_read() {
    let node = Node::new();
    // The largest known number of attachments in a list of GC.
    let valid: Vec<Value> = (0..50_000)
        .map(|n| json!({ "containerID": format!("{n:064x}"), "ifname": "eth0" }))
        .collect();
    let config = &plugins()[0];
    let call = node.plugin("bridge").conf(config).key("cni.dev/valid-attachments", valid);
    call.under(&["prlimit", MEMORY]).gc().ok();
    let peers: Vec<Value> = (0..3_000)
        .map(|n| {
            let (high, low) = (n / 250, n % 250 + 1);
            json!({ "node": format!("192.0.{high}.{low}"), "podCIDRs": [format!("10.{}.{low}.0/24", 100 + high)] })
        })
        .collect();
    let config = json!({ "cniVersion": "1.1.0", "name": "pods", "type": "ipip", "peers": peers });
    let call = node.plugin("ipip").conf(config).under(&["prlimit", MEMORY]);
    // The error names what this host lacks for a tunnel, and not the list.
    let outcome = call.status();
    assert!(!outcome.stdout.contains("document"), "{outcome}");
}

#[test]
fn version_reads_long_input_once() {
    // A version after four megabytes, which the plugin reaches within its time limit.
    let config = format!(r#"{{"x": [{}0], "cniVersion": "0.4.0"}}"#, "0,".repeat(2 << 20));
    let call = Cni::new("bridge").conf(config).under(&["prlimit", MEMORY]);
    assert_eq!(call.version().ok()["cniVersion"], "0.4.0");
    // Endless input costs only the time limit.
    let (mut command, _) = call.prepared("VERSION");
    command.stdin(File::open("/dev/zero").unwrap()).stdout(Stdio::piped());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
