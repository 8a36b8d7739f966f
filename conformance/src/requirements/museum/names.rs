//! Names that are paths: they become files, and the host's links.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::bench::{Bench, Container};
use crate::requirement::{Level, Of, Requirement, Verdict, Versions, ensure};

use super::scenes::{SCENE, file, folder, listing};

/// Network, container and interface.
pub(super) const NAMES: Requirement = Requirement {
    id: "CVE-2021-20206.names",
    source: "CVE-2021-20206 (GHSA-xjqr-g762-pxwp), its kind; CNI 1.1.0, section 2, parameters",
    says: "A network's, container's or interface's name with `../` in it writes and deletes no file elsewhere",
    level: Level::Must,
    of: Of::All,
    versions: Versions::Newest,
    test: names_as_paths,
};

/// From wherever the plugin keeps its files to the root, and down to what shall stay as it is.
const TARGET: &str = "../../../../../../../../run/testbed/museum/victim";
/// Settings of all links of a namespace: one level above those of a link.
const ABOVE: &str = "/proc/sys/net";

fn names_as_paths(bench: &Bench) -> Verdict {
    let container = bench.container("a");
    // As a plugin would have left it that keeps a file for each address, with its owner.
    let victim = folder("victim");
    file(&format!("{victim}/10.1.2.2"), &format!("{}\r\neth0", container.id));
    file(&format!("{victim}/{}", container.id), "10.1.2.2");
    file(&format!("{victim}/eth0"), &container.id);
    file(&format!("{SCENE}/victim.json"), "{}");
    let before = listing(Path::new(SCENE));
    // Forwarding may be switched on, which changes other settings.
    bench.host.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    let settings = settings(bench, &container);
    for verb in ["ADD", "CHECK", "DEL"] {
        for (what, call) in hostile(bench, &container) {
            call.verb(verb);
            let after = listing(Path::new(SCENE));
            let changes: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
            let more: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
            ensure(
                changes.is_empty() && more.is_empty(),
                format!("{verb} with {what}"),
                format!("all below {SCENE} stays as it is"),
                format!("not there any more: {changes:?}; new: {more:?}"),
            )?;
        }
    }
    let after = self::settings(bench, &container);
    ensure(
        settings == after,
        "ADD, CHECK and DEL with the interface's name `./all` and `lo/../default`",
        "the settings of all links stay as they are",
        testbed::diff(&settings, &after),
    )
}

/// Calls with one bad name each.
fn hostile<'a>(bench: &'a Bench, container: &Container) -> Vec<(String, crate::bench::Call<'a>)> {
    let call = || bench.call(container).with(|cni| cni.key("type", bench.case.plugin.as_str()));
    let mut calls = Vec::new();
    for name in [TARGET.to_owned(), format!("{TARGET}/"), format!("x/{TARGET}")] {
        calls.push((
            format!("the network's name {name:?}"),
            call().with(|cni| cni.key("name", name)),
        ));
    }
    for id in
        [format!("{TARGET}/{}", container.id), format!("{TARGET}/10.1.2.2"), TARGET.to_owned()]
    {
        let prev = json!({ "cniVersion": bench.version() });
        let chained = container.prev.clone().unwrap_or(prev);
        calls.push((
            format!("the container id {id:?}"),
            call().with(|cni| cni.container(&id).prev(&chained)),
        ));
    }
    for name in ["./all", "lo/../default", "..", "a/../../b"] {
        calls.push((format!("the interface's name {name:?}"), call().with(|cni| cni.ifname(name))));
    }
    calls
}

/// The settings of all links, in both namespaces.
fn settings(bench: &Bench, container: &Container) -> String {
    let read = || {
        let mut text = String::new();
        for family in ["ipv4", "ipv6"] {
            for of in ["all", "default", "lo"] {
                let path = format!("{ABOVE}/{family}/conf/{of}");
                let mut keys: Vec<_> =
                    fs::read_dir(&path).into_iter().flatten().flatten().collect();
                keys.sort_by_key(fs::DirEntry::file_name);
                for key in keys {
                    let value = fs::read_to_string(key.path()).unwrap_or_default();
                    text.push_str(&format!("{} = {value}", key.path().display()));
                }
            }
        }
        text
    };
    bench.host.enter(read) + &container.pod.enter(read)
}
