//! Defects of a plugin that manages its addresses itself. The kit knows of it only what can be
//! seen: its results and the kernel.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::VERSIONS;
use super::run::{FUNCTIONS, judge_all};
use super::table::{Mutant, mutant};

/// The plugin, which is correct.
const PLUGIN: &str = include_str!("own/plugin.sh");
/// Its profile.
const PROFILE: &str = r#"{ "config": { "type": "own" }, "reaches": ["host", "container"] }"#;

const fn own(caught_by: &'static str, name: &'static str, script: &'static str) -> Mutant {
    mutant("own", caught_by, name, script)
}

/// A plugin that claims success and does nothing.
const NOTHING: &str = "of VERSION && { real; exit; }; of ADD && printf %s \"$IN\" | \
    jq '{cniVersion, interfaces: [], ips: []}'; exit 0";
/// CHECK finds nothing.
const NO_CHECK: &str = "of CHECK && exit 0; real";
/// DEL removes all attachments of the container.
const DEL_ALL: &str = "of DEL && for file in /var/lib/own/judged/$CNI_CONTAINERID:*; do \
    CNI_IFNAME=${file##*:} real; done; real";
/// An error, after a test that is wrong.
const REFUSE: &str = "echo '{\"code\": 100, \"msg\": \"no\"}'; exit 1";

/// The defective plugins; `REFUSE` in a script prints an error.
const MUTANTS: &[Mutant] = &[
    own("S2.CHECK.3", "CHECK does nothing", NO_CHECK),
    own("S2.CHECK.4", "CHECK does nothing", NO_CHECK),
    own("S2.CHECK.5", "CHECK does nothing", NO_CHECK),
    own("S2.CHECK.6", "CHECK does nothing", NO_CHECK),
    own("S2.CHECK.7", "CHECK does nothing", NO_CHECK),
    own("S2.CHECK.8", "CHECK does nothing", NO_CHECK),
    own("S2.CHECK.9", "CHECK does nothing", NO_CHECK),
    own(
        "S2.CHECK.10",
        "CHECK counts the addresses",
        "of CHECK && [ $(nsenter --net=$CNI_NETNS ip -o -4 addr show $CNI_IFNAME | wc -l) -gt 1 ] \
         && { REFUSE; }; real",
    ),
    own(
        "S2.CHECK.11",
        "CHECK remembers the MAC address of ADD",
        "F=/run/own-mac-$CNI_CONTAINERID; mac() { nsenter --net=$CNI_NETNS ip -br link show \
         $CNI_IFNAME | awk '{ print $3 }'; }; of CHECK && [ \"$(cat $F)\" != \"$(mac)\" ] && \
         { REFUSE; }; real; S=$?; of ADD && mac > $F; exit $S",
    ),
    own(
        "S2.CHECK.12",
        "CHECK wants a default route",
        "of CHECK && [ -z \"$(nsenter --net=$CNI_NETNS ip route show default)\" ] && \
         { REFUSE; }; real",
    ),
    own(
        "S2.CHECK.13",
        "CHECK counts the interfaces",
        "of CHECK && has '.prevResult.interfaces | length > 2' && { REFUSE; }; real",
    ),
    own(
        "S2.CHECK.14",
        "CHECK adds an address",
        "of CHECK && nsenter --net=$CNI_NETNS ip addr replace 10.77.9.9/32 dev $CNI_IFNAME; real",
    ),
    own(
        "S2.CHECK.15",
        "CHECK counts the attachments",
        "of CHECK && [ $(ls /var/lib/own/judged | wc -l) -gt 1 ] && { REFUSE; }; real",
    ),
    own("S2.DEL.1", "ADD and DEL do nothing", NOTHING),
    own("S2.DEL.1", "DEL does nothing", "of DEL && exit 0; real"),
    own(
        "S2.DEL.2",
        "DEL leaves a route",
        "real; S=$?; of ADD && ip route add blackhole 192.0.2.$(cat /run/own.counter); exit $S",
    ),
    own(
        "S2.DEL.8",
        "DEL without prevResult does nothing",
        "of DEL && ! has .prevResult && exit 0; real",
    ),
    own(
        "S2.DEL.9",
        "DEL needs the interface",
        "of DEL && [ -e \"$CNI_NETNS\" ] && ! nsenter --net=$CNI_NETNS ip link show $CNI_IFNAME \
         > /dev/null && { REFUSE; }; real",
    ),
    own(
        "S2.DEL.10",
        "DEL needs the host's links",
        "of DEL && ! ip link | grep -q ': own' && { REFUSE; }; real",
    ),
    own(
        "S2.DEL.11",
        "DEL removes the oldest attachment",
        "of DEL && ip link del \"$(ip -o link | grep -o 'own[0-9a-f]*' | head -n 1)\"; real",
    ),
    own("S2.DEL.12", "DEL removes all attachments of the container", DEL_ALL),
    own("S2.DEL.13", "DEL removes all attachments of the container", DEL_ALL),
    own(
        "S2.DEL.15",
        "DEL removes the link of that name, whatever the namespace is",
        "of DEL && nsenter --net=\"$CNI_NETNS\" ip link del \"$CNI_IFNAME\" 2> /dev/null; real",
    ),
    own(
        "S2.DEL.16",
        "DEL without a namespace is done on the host",
        "of DEL && [ ! -e \"$CNI_NETNS\" ] && ip link del \"$CNI_IFNAME\" 2> /dev/null; real",
    ),
    own(
        "S2.GC.2",
        "GC removes everything",
        "of GC && config '.[\"cni.dev/valid-attachments\"] = []'; real",
    ),
    own(
        "S2.GC.4",
        "GC removes what all networks have",
        "of GC && for folder in /var/lib/own/*; do config \".name = \\\"${folder##*/}\\\"\"; real; \
         done; real",
    ),
    own("S2.GC.11", "GC does nothing", "of GC && exit 0; real"),
    own(
        "S2.GC.12",
        "GC removes all attachments of a container",
        "of GC && for file in /var/lib/own/judged/*:net1; do [ -e $file ] && \
         config '.[\"cni.dev/valid-attachments\"] = []'; done; real",
    ),
    own(
        "LINUX.ADD.11",
        "an address on lo",
        "real; S=$?; of ADD && nsenter --net=$CNI_NETNS ip addr add 10.77.9.9/32 dev lo; exit $S",
    ),
    own(
        "LINUX.NAME.1",
        "one interface for each container",
        "of ADD && [ -e /var/lib/own/judged/$CNI_CONTAINERID:eth0 ] && { REFUSE; }; real",
    ),
    own(
        "LINUX.NAME.2",
        "names of up to 12 bytes",
        "of ADD && [ ${#CNI_IFNAME} -gt 12 ] && { REFUSE; }; real",
    ),
    own(
        "LINUX.NAME.5",
        "the interface is made on the host first",
        "of ADD && ip link show dev $CNI_IFNAME > /dev/null 2>&1 && { REFUSE; }; real",
    ),
];

/// A directory with a program.
fn folder_with(program: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("own"), program);
    folder
}

fn write(path: &Path, program: &str) {
    fs::write(path, program).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The error of the kit if it does not detect the defect.
fn missed(mutant: &Mutant) -> Option<String> {
    let folder = folder_with("");
    let real = folder.path().join("real");
    write(&real, PLUGIN);
    let script = mutant.script.replace("REFUSE", REFUSE);
    let program = format!("#!/bin/sh\nREAL='{}'\n{FUNCTIONS}{script}\n", real.display());
    write(&folder.path().join("own"), &program);
    let verdicts = judge_all(folder.path(), "own", mutant.caught_by, VERSIONS, Some(PROFILE));
    let of_it = verdicts.of(mutant.caught_by);
    let caught = of_it.contains(&"failed") && !of_it.contains(&"broken");
    (!caught).then(|| format!("{}: not caught by {}: {of_it:?}", mutant.name, mutant.caught_by))
}

#[test]
fn defects_of_a_plugin_without_ipam_are_caught() {
    let missed: Vec<String> = MUTANTS.iter().filter_map(missed).collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn a_plugin_without_ipam_passes() {
    let ids: BTreeSet<&str> = MUTANTS.iter().map(|mutant| mutant.caught_by).collect();
    let all = ids.iter().copied().collect::<Vec<_>>().join(",");
    let verdicts = judge_all(folder_with(PLUGIN).path(), "own", &all, VERSIONS, Some(PROFILE));
    let wrong = |id: &&str| {
        let of_it = verdicts.of(id);
        let passed = of_it.contains(&"passed")
            && of_it.iter().all(|verdict| matches!(*verdict, "passed" | "absent"));
        (!passed).then(|| format!("{id}: {of_it:?}"))
    };
    let wrong: Vec<String> = ids.iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
