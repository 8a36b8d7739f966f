//! The plugins that everybody knows: ours and the reference suite's, what they are for, and what
//! ours may be told.

use std::sync::LazyLock;

use libcni::{Manual, Verbs};
use serde_json::Value;

/// What a plugin is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Makes the container's interface.
    Interface,
    /// Works on the interface that a plugin before it made.
    Chained,
    /// Hands out addresses, named by `ipam.type`.
    Addresses,
    /// Something else, or both.
    Other,
}

/// The plugins of the reference suite. Those that this suite has, too, need no line here.
const REFERENCE: [(&str, Role); 13] = [
    ("vlan", Role::Interface),
    ("host-device", Role::Interface),
    ("tap", Role::Interface),
    ("dummy", Role::Interface),
    ("ipvlan", Role::Other),
    ("portmap", Role::Chained),
    ("firewall", Role::Chained),
    ("bandwidth", Role::Chained),
    ("tuning", Role::Chained),
    ("sbr", Role::Chained),
    ("vrf", Role::Chained),
    ("static", Role::Addresses),
    ("dhcp", Role::Addresses),
];

/// This suite's plugin for addresses.
const HOST_LOCAL: Manual = <ipam::HostLocal as Verbs>::MANUAL;

/// This suite's plugins with their roles.
fn ours() -> impl Iterator<Item = (&'static Manual, Role)> {
    let role = |role| match role {
        ferrocni::Role::Interface => Role::Interface,
        ferrocni::Role::Chained => Role::Chained,
        ferrocni::Role::Either => Role::Other,
    };
    let plugins = ferrocni::PLUGINS.iter().map(move |plugin| (&plugin.manual, role(plugin.role)));
    plugins.chain([(&HOST_LOCAL, Role::Addresses)])
}

/// The plugins of both suites with their roles.
fn all() -> impl Iterator<Item = (&'static str, Role)> {
    let is_ours = |name: &str| ours().any(|(manual, _)| manual.name == name);
    let theirs = REFERENCE.into_iter().filter(move |(name, _)| !is_ours(name));
    ours().map(|(manual, role)| (manual.name, role)).chain(theirs)
}

/// Those that the reference suite runs with addresses only.
const NEED_ADDRESSES: [&str; 3] = ["ptp", "vlan", "dummy"];

/// The schemas of this suite's plugins, for a plugin whose binary is not there to print its own.
static SCHEMAS: LazyLock<Vec<(&str, Value)>> = LazyLock::new(|| {
    let read = |(manual, _): (&'static Manual, Role)| {
        Some((manual.name, serde_json::from_str(manual.schema).ok()?))
    };
    ours().filter_map(read).collect()
});

/// Keys of these schemas that the reference suite's plugin of the same name does not know.
const OURS_ONLY: [(&str, &str); 5] = [
    ("bridge", "ipMasqBeyond"),
    ("ptp", "ipMasqBeyond"),
    ("macvlan", "hostAccess"),
    ("macvlan", "hostRoutes"),
    ("macvlan", "promiscuous"),
];

/// What runtimes fill in (the conventions beside the specification).
pub const CAPABILITIES: [&str; 10] = [
    "aliases",
    "bandwidth",
    "cgroupPath",
    "deviceID",
    "dns",
    "infinibandGUID",
    "ipRanges",
    "ips",
    "mac",
    "portMappings",
];

/// The capabilities of those plugins of the reference suite that have no schema. `lint` knows
/// nothing about plugins that are not listed.
const OF_REFERENCE: [(&str, &[&str]); 19] = [
    ("bridge", &["mac"]),
    ("ptp", &[]),
    ("macvlan", &["mac"]),
    ("vlan", &[]),
    ("host-device", &["deviceID"]),
    ("tap", &["mac"]),
    ("dummy", &[]),
    ("ipvlan", &[]),
    ("ipip", &[]),
    ("loopback", &[]),
    ("portmap", &["portMappings"]),
    ("firewall", &[]),
    ("bandwidth", &["bandwidth"]),
    ("tuning", &["mac"]),
    ("sbr", &[]),
    ("vrf", &[]),
    ("host-local", &["ipRanges", "ips"]),
    ("static", &["ips"]),
    ("dhcp", &[]),
];

/// Keys of the reference suite's plugins that users mistake for capabilities.
const KEYS_OF_REFERENCE: [(&str, &[&str]); 3] = [
    (
        "portmap",
        &[
            "backend",
            "conditionsV4",
            "conditionsV6",
            "externalSetMarkChain",
            "markMasqBit",
            "masqAll",
            "snat",
        ],
    ),
    ("bandwidth", &["egressBurst", "egressRate", "ingressBurst", "ingressRate"]),
    ("tuning", &["allmulti", "mtu", "promisc", "sysctl"]),
];

/// The capabilities of a well-known plugin.
pub fn capabilities(name: &str) -> Option<&'static [&'static str]> {
    OF_REFERENCE.iter().find(|(known, _)| *known == name).map(|(_, capabilities)| *capabilities)
}

/// Whether a well-known plugin has a key of this name.
pub fn has_key(name: &str, key: &str) -> bool {
    KEYS_OF_REFERENCE.iter().any(|(known, keys)| *known == name && keys.contains(&key))
}

/// The names of all of them.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().map(|(name, _)| name)
}

/// What the plugin of a name is for, if everybody knows it.
pub fn role(name: &str) -> Option<Role> {
    all().find(|(known, _)| *known == name).map(|(_, role)| role)
}

/// Whether a plugin refuses to work without addresses.
pub fn needs_addresses(name: &str) -> bool {
    NEED_ADDRESSES.contains(&name)
}

/// The keys of one of our plugins.
pub fn schema(name: &str) -> Option<&'static Value> {
    SCHEMAS.iter().find(|(known, _)| *known == name).map(|(_, schema)| schema)
}

/// The schemas of all our plugins, but for that of `name`, with their names.
pub fn other_schemas(name: &str) -> impl Iterator<Item = (&'static str, &'static Value)> {
    SCHEMAS.iter().filter(move |(known, _)| *known != name).map(|(known, schema)| (*known, schema))
}

/// Whether a key is one that only our plugin of this name knows.
pub fn is_ours_only(plugin: &str, key: &str) -> bool {
    OURS_ONLY.iter().any(|(of, known)| *of == plugin && known.eq_ignore_ascii_case(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plugin_is_known_once_and_ours_have_schemas() {
        let mut all: Vec<&str> = names().collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "{all:?}");
        assert_eq!(SCHEMAS.len(), ours().count());
        let has =
            |(plugin, key): &(&str, &str)| schema(plugin).unwrap()["properties"].get(key).is_some();
        assert!(OURS_ONLY.iter().all(has));
    }
}
