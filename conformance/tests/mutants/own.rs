//! Defects of a plugin that manages its addresses itself. The kit knows of it only what can be
//! seen: its results and the kernel.

use super::stranger::Stranger;
use super::table::{Mutant, mutant};

/// The plugin, which is correct.
const PLUGIN: Stranger = Stranger {
    name: "own",
    program: include_str!("own/plugin.sh"),
    profile: r#"{ "config": { "type": "own" }, "reaches": ["host", "container"] }"#,
    mutants: MUTANTS,
};

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
/// The defective plugins.
pub const MUTANTS: &[Mutant] = &[
    own("S2.ADD.2", "CNI_IFNAME is not respected", "of ADD && export CNI_IFNAME=net0; real"),
    own(
        "S2.ADD.4",
        "ADD replaces an interface",
        "of ADD && nsenter --net=$CNI_NETNS ip link del $CNI_IFNAME 2> /dev/null; real",
    ),
    own(
        "S2.ADD.5",
        "a second ADD removes the first",
        "of ADD && [ -e /var/lib/own/judged/$CNI_CONTAINERID:$CNI_IFNAME ] && \
         { CNI_COMMAND=DEL real; REFUSE; }; real",
    ),
    own(
        "S2.ADD.6",
        "ADD removes all addresses of the container",
        "of ADD && nsenter --net=$CNI_NETNS sh -c 'for i in $(ls /proc/sys/net/ipv4/conf); do \
         ip addr flush dev $i; done' 2> /dev/null; real",
    ),
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
    own("LINUX.NAME.1", "DEL removes all attachments of the container", DEL_ALL),
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

#[test]
fn defects_of_a_plugin_without_ipam_are_caught() {
    PLUGIN.defects_are_caught();
}

#[test]
fn a_plugin_without_ipam_passes() {
    PLUGIN.passes();
}
