//! The plugins of this suite and of the reference suite: their roles, capabilities and keys.

use std::sync::LazyLock;

use libcni::Manual;
use serde_json::Value;

/// The role of a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Creates the container's interface.
    Interface,
    /// Changes the interface of a plugin before it.
    Chained,
    /// Assigns addresses, as the plugin of `ipam.type`.
    Addresses,
    /// Another role, or several.
    Other,
}

/// The plugins of the reference suite. A plugin of this suite with the same name takes precedence.
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

/// This suite's plugins with their roles.
fn ours() -> impl Iterator<Item = (&'static Manual, Role)> {
    let role = |role| match role {
        ferrocni::Role::Interface => Role::Interface,
        ferrocni::Role::Chained => Role::Chained,
        ferrocni::Role::Either => Role::Other,
    };
    let plugins = ferrocni::PLUGINS.iter().map(move |plugin| (&plugin.manual, role(plugin.role)));
    plugins.chain(ipam::PLUGINS.iter().map(|manual| (manual, Role::Addresses)))
}

/// The plugins of both suites with their roles.
fn all() -> impl Iterator<Item = (&'static str, Role)> {
    let is_ours = |name: &str| ours().any(|(manual, _)| manual.name == name);
    let theirs = REFERENCE.into_iter().filter(move |(name, _)| !is_ours(name));
    ours().map(|(manual, role)| (manual.name, role)).chain(theirs)
}

/// Plugins of the reference suite that require addresses.
const NEED_ADDRESSES: [&str; 3] = ["ptp", "vlan", "dummy"];

/// The schemas of this suite's plugins, for a plugin whose binary does not exist.
static SCHEMAS: LazyLock<Vec<(&str, Value)>> = LazyLock::new(|| {
    let read = |(manual, _): (&'static Manual, Role)| {
        Some((manual.name, serde_json::from_str(manual.schema).ok()?))
    };
    ours().filter_map(read).collect()
});

/// Keys of these schemas that the reference suite's plugin of the same name does not have.
const OURS_ONLY: [(&str, &str); 5] = [
    ("bridge", "ipMasqBeyond"),
    ("ptp", "ipMasqBeyond"),
    ("macvlan", "hostAccess"),
    ("macvlan", "hostRoutes"),
    ("macvlan", "promiscuous"),
];

/// The capabilities of the specification's conventions (`CONVENTIONS.md`).
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

/// The capabilities of well-known plugins, for a plugin without a schema.
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

/// The names of all well-known plugins.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().map(|(name, _)| name)
}

/// The role of a well-known plugin.
pub fn role(name: &str) -> Option<Role> {
    all().find(|(known, _)| *known == name).map(|(_, role)| role)
}

/// Whether a plugin fails without addresses.
pub fn needs_addresses(name: &str) -> bool {
    NEED_ADDRESSES.contains(&name)
}

/// The schema of a plugin of this suite.
pub fn schema(name: &str) -> Option<&'static Value> {
    SCHEMAS.iter().find(|(known, _)| *known == name).map(|(_, schema)| schema)
}

/// The schemas of this suite's plugins except `name`, with their names.
pub fn other_schemas(name: &str) -> impl Iterator<Item = (&'static str, &'static Value)> {
    SCHEMAS.iter().filter(move |(known, _)| *known != name).map(|(known, schema)| (*known, schema))
}

/// Whether only this suite's plugin of this name has a key.
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
