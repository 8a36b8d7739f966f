//! Defects of chained plugins.

use super::stranger::Stranger;
use super::table::{Mutant, mutant};

/// A chained plugin that has effects in the container and on the host, and is correct.
const PLUGIN: Stranger = Stranger {
    name: "mark",
    program: include_str!("chained/plugin.sh"),
    profile: r#"{ "kind": "chained", "config": { "type": "mark" } }"#,
    mutants: OF_MARK,
};

/// A plugin that returns `prevResult` and does nothing.
const PASSES: &str = "of VERSION && { real; exit; }; of ADD && printf %s \"$IN\" | \
    jq '.cniVersion as $v | .prevResult | .cniVersion = $v'; exit 0";

/// Defects of a plugin that the kit knows.
pub const MUTANTS: &[Mutant] = &[
    mutant("tuning", "LINUX.CHAIN.1", "ADD, CHECK and DEL do nothing", PASSES),
    mutant("tuning", "S2.CHECK.16", "CHECK does nothing", "of CHECK && exit 0; real"),
    mutant(
        "tuning",
        "S3.LIST.1",
        "CHECK wants the interfaces that the kit makes",
        "of CHECK && ! has '.prevResult.interfaces[] | select(.name | startswith(\"host-\"))' && \
         { echo '{\"code\": 100, \"msg\": \"no\"}'; exit 1; }; real",
    ),
];

const fn mark(caught_by: &'static str, name: &'static str, script: &'static str) -> Mutant {
    mutant("mark", caught_by, name, script)
}

/// DEL does nothing.
const NO_DEL: &str = "of DEL && exit 0; real";

/// Defects of the plugin above.
pub const OF_MARK: &[Mutant] = &[
    mark("S2.GC.6", "GC does nothing", "of GC && exit 0; real"),
    mark("S2.GC.11", "GC does nothing", "of GC && exit 0; real"),
    mark(
        "S2.DEL.16",
        "DEL without a namespace is done on the host",
        "of DEL && [ ! -e \"$CNI_NETNS\" ] && ip link set \"$CNI_IFNAME\" mtu 1400; real",
    ),
    mark(
        "LINUX.DEL.4",
        "DEL needs the namespace",
        "of DEL && [ ! -e \"$CNI_NETNS\" ] && exit 0; real",
    ),
    mark(
        "LINUX.CHAIN.2",
        "an address that is not on the link",
        "result '.ips[0].address = \"10.9.9.9/24\"'",
    ),
    mark(
        "LINUX.CHAIN.3",
        "an address that is not in the result",
        "of ADD && nsenter --net=$CNI_NETNS ip addr add 192.0.2.9/32 dev $CNI_IFNAME; real",
    ),
    mark(
        "LINUX.CHAIN.3",
        "a MAC address that is not in the result",
        "of ADD && config 'del(.prevResult.interfaces[].mac)'; of ADD && \
         nsenter --net=$CNI_NETNS ip link set $CNI_IFNAME address 02:00:00:00:00:09; real",
    ),
    mark(
        "LINUX.CHAIN.4",
        "DEL leaves the MTU",
        "of ADD && nsenter --net=$CNI_NETNS ip link set $CNI_IFNAME mtu 1400; real",
    ),
    mark("LINUX.CHAIN.5", "DEL does nothing", NO_DEL),
    mark(
        "LINUX.CHAIN.5",
        "ADD changes another attachment",
        "of ADD && for name in $(ls /run/netns); do [ /run/netns/$name = $CNI_NETNS ] || \
         ip -n $name route add blackhole 192.0.2.9; done; real",
    ),
    mark(
        "S3.LIST.1",
        "CHECK wants one interface",
        "of CHECK && has '.prevResult.interfaces | length != 1' && { REFUSE; }; real",
    ),
    mark("S3.LIST.2", "DEL does nothing", NO_DEL),
    mark("S3.LIST.3", "DEL needs prevResult", "of DEL && ! has .prevResult && { REFUSE; }; real"),
    mark(
        "S3.LIST.3",
        "DEL needs an ADD",
        "of DEL && [ ! -e /var/lib/mark/judged/$CNI_CONTAINERID:$CNI_IFNAME ] && { REFUSE; }; real",
    ),
    mark(
        "S3.LIST.4",
        "GC removes everything",
        "of GC && config '.[\"cni.dev/valid-attachments\"] = []'; real",
    ),
    mark(
        "S3.LIST.5",
        "DEL needs that the interface is gone",
        "of DEL && nsenter --net=$CNI_NETNS ip link show $CNI_IFNAME > /dev/null && \
         { REFUSE; }; real",
    ),
    mark(
        "S3.LIST.6",
        "DEL needs the namespace",
        "of DEL && [ ! -e \"$CNI_NETNS\" ] && exit 0; real",
    ),
    mark("S3.LIST.7", "GC does nothing", "of GC && exit 0; real"),
];

#[test]
fn defects_of_a_chained_plugin_are_caught() {
    PLUGIN.defects_are_caught();
}

#[test]
fn a_chained_plugin_passes() {
    PLUGIN.passes();
}
