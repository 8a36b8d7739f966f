//! Names that are paths. Plugins use names for files and links.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::fixture::{Container, Fixture};
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::{TestResult, ensure};

use super::scenes::{SCENE, file, folder, listing};

/// The names of network, container and interface.
pub(super) const NAMES: Requirement = Requirement {
    id: "CVE-2021-20206.names",
    source: "CVE-2021-20206 (GHSA-xjqr-g762-pxwp), its kind; CNI 1.1.0, section 2, parameters",
    statement: "A network name, container ID or interface name with `../` must not make the \
        plugin write or delete a file elsewhere",
    level: Level::Must,
    applies_to: AppliesTo::All,
    versions: Versions::Newest,
    test: names_as_paths,
};

/// From any directory of the plugin's files to the root, and down to the file that must stay
/// unchanged.
const TARGET: &str = "../../../../../../../../run/testbed/museum/victim";
/// The settings of all links of a namespace: one level above those of a link.
const ABOVE: &str = "/proc/sys/net";

fn names_as_paths(fixture: &Fixture) -> TestResult {
    let container = fixture.container("a");
    // The state of a plugin that keeps a file for each address, with its owner.
    let victim = folder("victim");
    file(&format!("{victim}/10.1.2.2"), &format!("{}\r\neth0", container.id));
    file(&format!("{victim}/{}", container.id), "10.1.2.2");
    file(&format!("{victim}/eth0"), &container.id);
    file(&format!("{SCENE}/victim.json"), "{}");
    let before = listing(Path::new(SCENE));
    // The plugin may enable forwarding, which changes other settings.
    fixture.host.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    let settings = settings(fixture, &container);
    for verb in ["ADD", "CHECK", "DEL"] {
        for (what, call) in hostile(fixture, &container) {
            call.verb(verb);
            let after = listing(Path::new(SCENE));
            let changes: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
            let more: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
            ensure(
                changes.is_empty() && more.is_empty(),
                format!("{verb} with {what}"),
                format!("no change below {SCENE}"),
                format!("missing now: {changes:?}; new: {more:?}"),
            )?;
        }
    }
    let after = self::settings(fixture, &container);
    ensure(
        settings == after,
        "ADD, CHECK and DEL with the interface's name `./all` and `lo/../default`",
        "the settings of all links stay as they are",
        testbed::diff(&settings, &after),
    )
}

/// Calls with one invalid name each.
fn hostile<'a>(
    fixture: &'a Fixture,
    container: &Container,
) -> Vec<(String, crate::fixture::Call<'a>)> {
    let call = || fixture.call(container).with(|cni| cni.key("type", fixture.case.plugin.as_str()));
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
        let prev = json!({ "cniVersion": fixture.version() });
        let chained = container.prev.clone().unwrap_or(prev);
        calls.push((
            format!("the container ID {id:?}"),
            call().with(|cni| cni.container(&id).prev(&chained)),
        ));
    }
    for name in ["./all", "lo/../default", "..", "a/../../b"] {
        calls.push((format!("the interface's name {name:?}"), call().with(|cni| cni.ifname(name))));
    }
    calls
}

/// The settings of all links, in both namespaces.
fn settings(fixture: &Fixture, container: &Container) -> String {
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
    fixture.host.enter(read) + &container.pod.enter(read)
}
