//! What is said to be refused is refused, and what is not is not: the plugins have the last word.

use std::fs;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use testbed::Node;

use crate::corpus::broken;
use crate::{Bed, Run, copy, name};

/// Mistakes that cnitool and our plugins forgive, and runtimes in Go or the reference plugins do not.
const FORGIVEN: [&str; 2] = [
    // Our runtime matches the keys of a list in any case.
    "list-key-in-capitals.conflist",
    // Our runtime writes versions out.
    "version-short.conflist",
];
/// What cannot be tried everywhere: this needs a kernel with tunnels.
const NOT_HERE: [&str; 1] = ["ipip-without-peers.conflist"];

#[test]
fn errors_are_refused_and_warnings_are_not() {
    let mut tried = [0, 0];
    for (path, expected) in broken() {
        let file = name(&path);
        if path.is_dir() || NOT_HERE.contains(&&*file) {
            continue;
        }
        let is_error = expected.ends_with("exit status 1\n") && !FORGIVEN.contains(&&*file);
        // Each on a node of its own.
        let add = std::thread::spawn(move || add(&path)).join().unwrap();
        assert_eq!(add.status == Some(1), is_error, "{file}: {add:?}\n{expected}");
        tried[usize::from(is_error)] += 1;
    }
    assert!(tried[0] >= 15 && tried[1] >= 70, "{tried:?}");
}

/// What becomes of an ADD to the network of a file.
fn add(path: &std::path::Path) -> Run {
    let node = Node::new();
    let pod = node.pod("a");
    node.sh(
        "ip link add eth0 type veth peer name other; ip link set eth0 up; ip link set other up",
    );
    let bed = Bed::new();
    bed.write("net.d/nothing", "");
    copy(path, &bed.path("net.d").join(name(path)));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cnitool"));
    command.args(["add", "pods"]).arg(pod.path()).arg("--conf-dir").arg(bed.path("net.d"));
    let plugins = format!("{}:{}", bed.path("plugins").display(), bed.path("reference").display());
    let output = command.args(["--path", &plugins]).output().unwrap();
    Run {
        status: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// What somebody could write under `ipam`, right or wrong.
fn ipam() -> impl Strategy<Value = Value> {
    let address = || {
        (0..3u8, 0..9u8, 0..8u8).prop_map(|(family, net, host)| match family {
            0 => format!("fd00:{net}::{host:x}"),
            _ => format!("10.0.{net}.{host}"),
        })
    };
    // Mostly right, so that there is something left for the rules that come later.
    let host = || prop_oneof![20 => Just(0u8), 1 => Just(1), 1 => Just(4)];
    let prefix = || prop_oneof![20 => 24..29u8, 1 => 20..24u8, 1 => 29..33u8];
    let subnet = move || {
        (0..4u8, 0..9u8, host(), prefix()).prop_map(|(family, net, host, prefix)| match family {
            0 => format!("fd00:{net}::{host:x}/{}", u16::from(prefix) * 4),
            _ => format!("10.0.{net}.{host}/{prefix}"),
        })
    };
    let end = move || prop_oneof![12 => Just(None), 1 => address().prop_map(Some)];
    let range = move || {
        (subnet(), end(), end()).prop_map(|(subnet, start, end)| {
            let mut range = json!({ "subnet": subnet });
            if let Some(start) = start {
                range["rangeStart"] = start.into();
            }
            if let Some(end) = end {
                range["rangeEnd"] = end.into();
            }
            range
        })
    };
    let sets = prop::collection::vec(
        prop_oneof![
            20 => prop::collection::vec(range(), 1..3),
            1 => Just(Vec::new())
        ],
        0..3,
    );
    (sets, prop::option::weighted(0.3, range())).prop_map(|(sets, simple)| {
        let mut ipam = simple.unwrap_or_else(|| json!({}));
        ipam["type"] = "host-local".into();
        ipam["ranges"] = sets.into();
        ipam
    })
}

#[test]
fn ranges_are_judged_as_host_local_does() {
    const CASES: usize = 300;
    let node = Node::new();
    let pod = node.pod("a");
    let bed = Bed::new();
    let mut runner = TestRunner::deterministic();
    let mut verdicts = Vec::new();
    for case in 0..CASES {
        let mut ipam = ipam().new_tree(&mut runner).unwrap().current();
        ipam["dataDir"] = bed.path("data").to_str().unwrap().into();
        let config = json!({ "cniVersion": "1.0.0", "name": format!("n{case}"), "type": "macvlan", "ipam": ipam });
        bed.write(&format!("net.d/{case:03}.conf"), config.to_string());
        let add = node.plugin("host-local").conf(&config).netns(&pod).raw("ADD");
        verdicts.push((config, add.status.success(), add.stdout));
    }
    let run = bed.lint(&["--no-host", "--json", "--path", "plugins", "net.d"]);
    let found: Vec<Value> = serde_json::from_str(&run.stdout).unwrap();
    let refused = verdicts.iter().filter(|(_, is_accepted, _)| !is_accepted).count();
    assert!((50..CASES - 50).contains(&refused), "{refused} of {CASES} are refused");
    for (case, (config, is_accepted, said)) in verdicts.iter().enumerate() {
        let file = format!("net.d/{case:03}.conf");
        let errors: Vec<&Value> =
            found.iter().filter(|it| it["file"] == *file && it["severity"] == "error").collect();
        assert_eq!(errors.is_empty(), *is_accepted, "{config}\n{said}\n{errors:?}");
    }
    fs::remove_dir_all(bed.path("data")).ok();
}
