//! What the kit has to know of a kind of plugin to test it: a configuration, and what the host must look like before.
//!
//! The profiles of the plugins that everybody knows are in `conformance/profiles/TYPE.json`. For any other plugin a file is
//! given with `--config`: a profile of the same shape, or just a network configuration.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::bench::set;

/// A plugin type and how it is tested.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What the plugin does.
    #[serde(default)]
    pub kind: Kind,
    /// The kinds of links that the kernel must be able to make: `["ipvlan"]`. `bridge-vlan` is VLAN filtering, `iptables`
    /// that program with a kernel it can work with.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Lines of shell, run on the host before: the parent interface `uplink`, for example.
    #[serde(default)]
    pub setup: Vec<String>,
    /// Lines of shell, run on the host for each new container: the device that shall be moved into it, for example.
    /// `$NAME` is its namespace's name, `$NUMBER` a number of its own, from [`FIRST_NUMBER`] on.
    #[serde(default)]
    pub container_setup: Vec<String>,
    /// The configuration. The kit puts in `cniVersion`, `name`, and `type` if it is not there. An `ipam` of `"any"`
    /// becomes one of an address management plugin of the suite. `$NUMBER` in a text becomes the container's number, and
    /// a text that then has only digits becomes a number: `"8$NUMBER"` is the port 8101.
    pub config: Value,
    /// Other configurations, as keys that replace those of `config`: a scenario each for comparisons.
    #[serde(default)]
    pub variants: Vec<Variant>,
    /// Whether the plugin refuses addresses of IPv6.
    #[serde(default)]
    pub ipv4_only: bool,
    /// The keys of the configuration that name what each network has for itself: a bridge, a tunnel.
    #[serde(default)]
    pub per_network: Vec<String>,
    /// With whom containers can talk: `host`, `container`.
    #[serde(default)]
    pub reaches: Vec<Reach>,
}

/// A configuration that differs in some keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// What it is called in lists.
    pub name: String,
    /// Whether it makes no sense, so that a plugin has to refuse it.
    #[serde(default)]
    pub refused: bool,
    /// The keys. `null` takes one away.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// Further lines of shell, run on the host before.
    #[serde(default)]
    pub setup: Vec<String>,
    /// Further lines of shell, run on the host for each new container.
    #[serde(default)]
    pub container_setup: Vec<String>,
    /// What the kernel must be able to make, beyond the profile's.
    #[serde(default)]
    pub needs: Vec<String>,
}

/// What a plugin does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It makes an interface in the container.
    #[default]
    Interface,
    /// It manages addresses.
    Ipam,
    /// It is called after another plugin, with its result.
    Chained,
}

/// Whom a container can talk to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// The host.
    Host,
    /// Other containers of the network on the same host.
    Container,
}

/// `(type, profile)` of the plugins that everybody knows.
const KNOWN: &[(&str, &str)] = &[
    ("bandwidth", include_str!("../profiles/bandwidth.json")),
    ("bridge", include_str!("../profiles/bridge.json")),
    ("dummy", include_str!("../profiles/dummy.json")),
    ("firewall", include_str!("../profiles/firewall.json")),
    ("host-device", include_str!("../profiles/host-device.json")),
    ("host-local", include_str!("../profiles/host-local.json")),
    ("ipip", include_str!("../profiles/ipip.json")),
    ("ipvlan", include_str!("../profiles/ipvlan.json")),
    ("loopback", include_str!("../profiles/loopback.json")),
    ("macvlan", include_str!("../profiles/macvlan.json")),
    ("portmap", include_str!("../profiles/portmap.json")),
    ("ptp", include_str!("../profiles/ptp.json")),
    ("sbr", include_str!("../profiles/sbr.json")),
    ("static", include_str!("../profiles/static.json")),
    ("tap", include_str!("../profiles/tap.json")),
    ("tuning", include_str!("../profiles/tuning.json")),
    ("vlan", include_str!("../profiles/vlan.json")),
    ("vrf", include_str!("../profiles/vrf.json")),
];

/// `(name, why)`: what suites come with that has no profile.
const WITHOUT: &[(&str, &str)] = &[
    ("cni-conformance", "is this kit"),
    ("cnitool", "is a command for people, not a plugin"),
    ("dhcp", "needs a DHCP server and its own daemon, which the kit has not"),
];

/// What `$NUMBER` is for the first container: three digits, so that numbers made with it have the same length.
pub const FIRST_NUMBER: u32 = 101;

impl Profile {
    /// The profile of a plugin that everybody knows.
    pub fn known(plugin: &str) -> Option<Profile> {
        let (_, text) = KNOWN.iter().find(|(name, _)| *name == plugin)?;
        serde_json::from_str(text).ok()
    }

    /// The types that have a profile.
    pub fn all() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().map(|(name, _)| *name)
    }

    /// Why a program is not judged that has no profile.
    pub fn why_without(program: &str) -> &'static str {
        let known = WITHOUT.iter().find(|(name, _)| *name == program);
        known.map_or("is not known to the kit; describe it with --config FILE", |(_, why)| *why)
    }

    /// The configuration that has this key: the profile's own, or the first variant's that has it.
    pub fn config_with(&self, key: &str) -> Option<Value> {
        let own = [None].into_iter().chain(self.variants.iter().map(Some));
        own.map(|variant| self.config_of(variant)).find(|config| config.get(key).is_some())
    }

    /// Reads what `--config` names: the plugin's type, and its profile.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<(String, Profile), String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let profile: Profile = match value.get("config") {
            Some(_) => serde_json::from_value(value).map_err(|error| error.to_string())?,
            None => {
                // Of a list the kit tests the plugin at its head.
                let first = value.pointer("/plugins/0").unwrap_or(&value).clone();
                serde_json::from_value(json!({ "config": first }))
                    .map_err(|error| error.to_string())?
            }
        };
        let plugin = profile.config.get("type").and_then(Value::as_str);
        let plugin = plugin.ok_or("the configuration has no \"type\"")?.to_owned();
        Ok((plugin, profile))
    }

    /// Reads several: the text and the profile of each plugin, by its type.
    ///
    /// # Errors
    ///
    /// What is wrong with a text.
    pub fn parse_all(texts: &[String]) -> Result<BTreeMap<String, (String, Profile)>, String> {
        let parsed = texts.iter().map(|text| {
            let (name, profile) = Profile::parse(text)?;
            Ok((name, (text.clone(), profile)))
        });
        parsed.collect()
    }

    /// What the kernel must be able to do for a variant; for the configuration itself if it is none.
    pub fn needs_of<'a>(
        &'a self,
        variant: Option<&'a Variant>,
    ) -> impl Iterator<Item = &'a String> {
        self.needs.iter().chain(variant.into_iter().flat_map(|variant| &variant.needs))
    }

    /// Makes a configuration that of another network, number `number` of those beside the usual one.
    pub fn rename(&self, config: &mut Value, network: &str, number: usize) {
        set(config, "name", network);
        for key in &self.per_network {
            let other =
                config.get(key).and_then(Value::as_str).map(|own| format!("{own}-{number}"));
            other.into_iter().for_each(|other| set(config, key, other));
        }
    }

    /// The configuration with the keys of the variant of that name in their place; none is the configuration itself.
    pub fn config_of(&self, variant: Option<&Variant>) -> Value {
        let mut config = self.config.clone();
        for (key, value) in variant.into_iter().flat_map(|variant| &variant.config) {
            let Some(keys) = config.as_object_mut() else { break };
            match value {
                Value::Null => drop(keys.remove(key)),
                _ => drop(keys.insert(key.clone(), value.clone())),
            }
        }
        config
    }
}

/// Puts a container's number into a configuration: see [`Profile::config`].
pub fn put_number(value: &mut Value, number: u32) {
    match value {
        Value::String(text) if text.contains("$NUMBER") => {
            let text = text.replace("$NUMBER", &number.to_string());
            *value = text.parse::<u64>().map_or(Value::String(text), Value::from);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| put_number(item, number)),
        Value::Object(keys) => keys.values_mut().for_each(|value| put_number(value, number)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{KNOWN, Kind, Profile, put_number};

    #[test]
    fn a_number_is_put_into_texts_and_becomes_one_if_nothing_else_is_there() {
        let mut config =
            json!({ "device": "dev$NUMBER", "ports": [{ "hostPort": "8$NUMBER" }], "mtu": 1400 });
        put_number(&mut config, 102);
        let expected = json!({ "device": "dev102", "ports": [{ "hostPort": 8102 }], "mtu": 1400 });
        assert_eq!(config, expected);
    }

    #[test]
    fn every_known_profile_can_be_read() {
        for (name, text) in KNOWN {
            let profile: Result<Profile, _> = serde_json::from_str(text);
            assert!(profile.is_ok(), "{name}: {profile:?}");
        }
    }

    #[test]
    fn a_plain_configuration_is_a_profile() {
        let parsed = Profile::parse(r#"{"type": "mine", "ipam": {"type": "host-local"}}"#);
        assert!(parsed.is_ok_and(|(name, p)| name == "mine" && p.kind == Kind::Interface));
    }

    #[test]
    fn of_a_list_the_first_plugin_is_meant() {
        let parsed = Profile::parse(r#"{"name": "n", "plugins": [{"type": "a"}, {"type": "b"}]}"#);
        assert!(parsed.is_ok_and(|(name, _)| name == "a"));
    }

    #[test]
    fn what_has_no_type_is_no_profile() {
        assert!(Profile::parse("{}").is_err_and(|error| error.contains("type")));
    }
}
