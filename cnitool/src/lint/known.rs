//! The plugins that everybody knows: ours and the reference suite's, what they are for, and what ours may be told.

use std::sync::LazyLock;

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

const PLUGINS: [(&str, Role); 19] = [
    ("bridge", Role::Interface),
    ("ptp", Role::Interface),
    ("macvlan", Role::Interface),
    ("vlan", Role::Interface),
    ("host-device", Role::Interface),
    ("tap", Role::Interface),
    ("dummy", Role::Interface),
    ("ipvlan", Role::Other),
    ("ipip", Role::Other),
    ("loopback", Role::Other),
    ("portmap", Role::Chained),
    ("firewall", Role::Chained),
    ("bandwidth", Role::Chained),
    ("tuning", Role::Chained),
    ("sbr", Role::Chained),
    ("vrf", Role::Chained),
    ("host-local", Role::Addresses),
    ("static", Role::Addresses),
    ("dhcp", Role::Addresses),
];

/// Those that the reference suite runs with addresses only.
const NEED_ADDRESSES: [&str; 3] = ["ptp", "vlan", "dummy"];

/// The schemas of our plugins, for where no plugin brings its own.
const TEXTS: [(&str, &str); 6] = [
    ("bridge", include_str!("../../../plugins/bridge.schema.json")),
    ("ipip", include_str!("../../../plugins/ipip.schema.json")),
    ("loopback", include_str!("../../../plugins/loopback.schema.json")),
    ("macvlan", include_str!("../../../plugins/macvlan.schema.json")),
    ("ptp", include_str!("../../../plugins/ptp.schema.json")),
    ("host-local", include_str!("../../../ipam/host-local.schema.json")),
];

static SCHEMAS: LazyLock<Vec<(&str, Value)>> = LazyLock::new(|| {
    let read =
        |(name, text): &(&'static str, &str)| Some((*name, serde_json::from_str(text).ok()?));
    TEXTS.iter().filter_map(read).collect()
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

/// The names of all of them.
pub fn names() -> impl Iterator<Item = &'static str> {
    PLUGINS.iter().map(|(name, _)| *name)
}

/// What the plugin of a name is for, if everybody knows it.
pub fn role(name: &str) -> Option<Role> {
    PLUGINS.iter().find(|(known, _)| *known == name).map(|(_, role)| *role)
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
    fn all_our_schemas_are_known() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let mut found: Vec<String> = ["plugins", "ipam"]
            .iter()
            .flat_map(|folder| std::fs::read_dir(format!("{root}/{folder}")).unwrap())
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(".schema.json").map(str::to_owned))
            .collect();
        found.sort();
        let mut known: Vec<&str> = SCHEMAS.iter().map(|(name, _)| *name).collect();
        known.sort_unstable();
        assert_eq!(found, known);
        assert!(known.iter().all(|name| role(name).is_some()));
        let has =
            |(plugin, key): &(&str, &str)| schema(plugin).unwrap()["properties"].get(key).is_some();
        assert!(OURS_ONLY.iter().all(has));
    }
}
