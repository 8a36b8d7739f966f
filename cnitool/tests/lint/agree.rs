//! What is said to be refused is refused, and what is not is not: the plugins have the last word.

use std::fs;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use testbed::Node;

use crate::corpus::broken;
use crate::{Bed, Run, copy, name, run};

/// Mistakes that cnitool and our plugins forgive, and runtimes in Go or the reference plugins do
/// not.
const FORGIVEN: [&str; 1] = [
    // Our runtime writes versions out.
    "version-short.conflist",
];
/// What cannot be tried everywhere: this needs a kernel with tunnels.
const NOT_HERE: [&str; 1] = ["ipip-without-peers.conflist"];

#[test]
fn errors_are_refused_and_warnings_are_not() {
    let node = Node::new();
    node.sh(
        "ip link add eth0 type veth peer name other; ip link set eth0 up; ip link set other up",
    );
    // The carrier is left out, because it comes at a time of the kernel's choice.
    let links = || node.sh("ip -o link | sed 's/<.*>//; s/ state [A-Z]*//'");
    let before = links();
    let mut tried = [0, 0];
    for (path, expected) in broken() {
        let file = name(&path);
        if path.is_dir() || NOT_HERE.contains(&&*file) {
            continue;
        }
        let is_said = expected.ends_with("exit status 1\n");
        let (lint, add) = add(&node, &path);
        // The plugins' own word, which lint asks for, is no other than at ADD.
        assert_eq!(lint.status == Some(1), is_said, "{file}: {lint:?}");
        let is_refused = is_said && !FORGIVEN.contains(&&*file);
        assert_eq!(add.status == Some(1), is_refused, "{file}: {add:?}\n{expected}");
        tried[usize::from(is_refused)] += 1;
        // The next one finds nothing of it.
        node.sh("ip -o link show type bridge | cut -d: -f2 | xargs -rn1 ip link del; rm -rf \
            /var/lib/cni/*");
        assert_eq!(links(), before, "{file}");
    }
    assert!(tried[0] >= 15 && tried[1] >= 70, "{tried:?}");
}

/// What is said of the network of a file on a host, and what becomes of an ADD to it.
fn add(node: &Node, path: &Path) -> (Run, Run) {
    let pod = node.pod("a");
    let bed = Bed::new();
    bed.write("net.d/nothing", "");
    copy(path, &bed.path("net.d").join(name(path)));
    let lint = bed.lint(&["--path", "plugins:reference", "net.d"]);
    let cnitool = |verb: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cnitool"));
        command.args([verb, "pods"]).arg(pod.path()).arg("--conf-dir").arg(bed.path("net.d"));
        let plugins =
            [bed.path("plugins"), bed.path("reference")].map(|it| it.display().to_string());
        run(command.args(["--path", &plugins.join(":")]))
    };
    let add = cnitool("add");
    if add.status == Some(0) {
        cnitool("del");
    }
    node.delete(&pod);
    (lint, add)
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
