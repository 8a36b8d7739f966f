//! A profile contains what the kit needs to test a type of plugin: a configuration, and the
//! preparation of the host.
//!
//! The profiles of well-known plugins are in `conformance/profiles/TYPE.json`. For any other plugin
//! the user gives a file with `--config`: a profile, or only a network configuration.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::json::set;

/// How to test a plugin type.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What the plugin does.
    #[serde(default)]
    pub kind: Kind,
    /// The kinds of links that the kernel must support: `["ipvlan"]`. `bridge-vlan` means VLAN
    /// filtering, `iptables` the program and its support in the kernel, `udhcpd` busybox's server.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Shell commands that prepare the host. They create the parent interface `uplink`, for
    /// example. `$PLUGINS` is the directory with all programs of the suite. Processes in the
    /// background end with the test.
    #[serde(default)]
    pub setup: Vec<String>,
    /// Shell commands that run on the host for each new container. They create the device that the
    /// plugin moves into it, for example. `$NAME` is the name of the namespace, `$NUMBER` a unique
    /// number from [`FIRST_NUMBER`] on.
    #[serde(default)]
    pub container_setup: Vec<String>,
    /// The network configuration. The kit adds `cniVersion`, `name`, and `type` if it is missing.
    /// It replaces an `ipam` of `"any"` with the configuration of an IPAM plugin of the suite, and
    /// `$NUMBER` in a string with the number of the container. A string that then consists of
    /// digits becomes a number: `"8$NUMBER"` is the port 8101.
    pub config: Value,
    /// Other configurations, as keys that replace those of `config`. Each is a scenario of a
    /// comparison.
    #[serde(default)]
    pub variants: Vec<Variant>,
    /// Environment variables for the plugin, in addition to those of the specification. `$NUMBER`
    /// is the number of the container.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Whether the plugin rejects IPv6 addresses.
    #[serde(default)]
    pub ipv4_only: bool,
    /// Whether the host forwards packets before the first ADD, as every node of Kubernetes does.
    #[serde(default = "yes")]
    pub forwarding: bool,
    /// The keys of the configuration whose values must differ between networks: the name of a
    /// bridge or a tunnel. A dot separates the keys of nested objects: `ipam.dataDir`.
    #[serde(default)]
    pub per_network: Vec<String>,
    /// For a chained plugin: whether the plugin before it connects all containers to one bridge.
    /// Otherwise each container has a veth pair with a network of its own.
    #[serde(default)]
    pub on_bridge: bool,
    /// The keys that differ between networks and are more than names, such as addresses of the
    /// node: an object for each network, the first for the usual one.
    #[serde(default)]
    pub networks: Vec<Map<String, Value>>,
    /// The destinations that containers can reach: `host`, `container`.
    #[serde(default)]
    pub reaches: Vec<Reach>,
    /// The plugins that this one runs as delegates, besides an IPAM plugin. If a profile of the user
    /// does not name them, the kit finds them out.
    #[serde(default)]
    pub delegates: Vec<String>,
}

/// A configuration that differs in some keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// The name in lists.
    pub name: String,
    /// Whether the configuration is invalid, so that the plugin must reject it.
    #[serde(default)]
    pub refused: bool,
    /// Whether older releases of the plugin do not know the configuration, and reject it.
    #[serde(default)]
    pub optional: bool,
    /// The keys. `null` removes a key.
    #[serde(default)]
    pub config: Map<String, Value>,
    /// More shell commands that prepare the host.
    #[serde(default)]
    pub setup: Vec<String>,
    /// More shell commands for each new container.
    #[serde(default)]
    pub container_setup: Vec<String>,
    /// More kinds of links that the kernel must support.
    #[serde(default)]
    pub needs: Vec<String>,
}

fn yes() -> bool {
    true
}

/// What a plugin does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It creates an interface in the container.
    #[default]
    Interface,
    /// It manages addresses.
    Ipam,
    /// The runtime calls it after another plugin, with its result.
    Chained,
}

impl Kind {
    /// The kind in a sentence.
    pub fn description(self) -> &'static str {
        match self {
            Kind::Interface => "a plugin that creates an interface",
            Kind::Ipam => "a plugin that manages addresses",
            Kind::Chained => "a chained plugin",
        }
    }
}

/// A destination that a container can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reach {
    /// The host.
    Host,
    /// Other containers of the network on the same host.
    Container,
}

/// `(type, profile)` of well-known plugins, in alphabetical order: the files in
/// `conformance/profiles/`, as `conformance/build.rs` lists them.
const KNOWN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/profiles.rs"));

/// `(name, why)`: programs of suites that have no profile, and the reason.
const WITHOUT: &[(&str, &str)] =
    &[("cni-conformance", "is this kit"), ("cnitool", "is a command for operators, not a plugin")];

/// The value of `$NUMBER` for the first container. Three digits give all derived numbers the same
/// length.
pub const FIRST_NUMBER: u32 = 101;

impl Profile {
    /// The kit's profile of a well-known plugin.
    pub fn known(plugin: &str) -> Option<Profile> {
        let (_, text) = KNOWN.iter().find(|(name, _)| *name == plugin)?;
        serde_json::from_str(text).ok()
    }

    /// The profile of a plugin: the given one, or the kit's.
    ///
    /// # Errors
    ///
    /// If the text is not a profile, or if the kit has no profile of this plugin.
    pub fn of(plugin: &str, given: Option<&str>) -> Result<Profile, String> {
        match given {
            Some(text) => Profile::parse(text).map(|(_, profile)| profile),
            None => Profile::known(plugin).ok_or_else(|| format!("{plugin}: no profile")),
        }
    }

    /// The environment variables for a call for the container with that number.
    pub fn env_of(&self, number: u32) -> impl Iterator<Item = (&str, String)> {
        let number = number.to_string();
        self.env.iter().map(move |(name, value)| (name.as_str(), value.replace("$NUMBER", &number)))
    }

    /// The types of plugins with a profile.
    pub fn all() -> impl Iterator<Item = &'static str> {
        KNOWN.iter().map(|(name, _)| *name)
    }

    /// The reason why a program without a profile is not tested.
    pub fn why_without(program: &str) -> &'static str {
        let known = WITHOUT.iter().find(|(name, _)| *name == program);
        known.map_or(
            "is not known to the kit; cni-conformance init describes it for --config FILE",
            |(_, why)| *why,
        )
    }

    /// The first configuration with this key: that of the profile or of a variant.
    pub fn config_with(&self, key: &str) -> Option<Value> {
        let own = [None].into_iter().chain(self.variants.iter().map(Some));
        own.map(|variant| self.config_of(variant)).find(|config| config.get(key).is_some())
    }

    /// Parses a profile, or a network configuration: returns the type of the plugin and the
    /// profile.
    ///
    /// # Errors
    ///
    /// If the text is not valid.
    pub fn parse(text: &str) -> Result<(String, Profile), String> {
        let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let value = match value.get("config") {
            Some(_) => value,
            None => profile_of(value, 0),
        };
        let profile: Profile = serde_json::from_value(value).map_err(|error| error.to_string())?;
        let plugin = profile.config.get("type").and_then(Value::as_str);
        let plugin = plugin
            .ok_or("the configuration has no \"type\", which is the name of the plugin's file")?;
        Ok((plugin.to_owned(), profile))
    }

    /// The kinds of links that the kernel must support for a variant, or for the profile's own
    /// configuration.
    pub fn needs_of<'a>(
        &'a self,
        variant: Option<&'a Variant>,
    ) -> impl Iterator<Item = &'a String> {
        self.needs.iter().chain(variant.into_iter().flat_map(|variant| &variant.needs))
    }

    /// Changes a configuration to one of another network, the `number`-th in addition to the usual
    /// one.
    pub fn rename(&self, config: &mut Value, network: &str, number: usize) {
        set(config, "name", network);
        for (key, value) in self.networks.get(number).into_iter().flatten() {
            set(config, key, value.clone());
        }
        for key in &self.per_network {
            let Some(value) = config.pointer_mut(&format!("/{}", key.replace('.', "/"))) else {
                continue;
            };
            if let Some(own) = value.as_str() {
                *value = Value::from(format!("{own}-{number}"));
            }
        }
    }

    /// The configuration of a variant, or the profile's own.
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

/// The profile of a network configuration at that place of a list. The first plugin of a list makes
/// the interface, and the runtime calls the others after it, unless the kit knows better.
pub(crate) fn profile_of(config: Value, place: usize) -> Value {
    let known = config.get("type").and_then(Value::as_str).and_then(Profile::known);
    let kind = match (known, place) {
        (Some(known), _) => known.kind,
        (None, 0) => Kind::Interface,
        (None, _) => Kind::Chained,
    };
    json!({ "kind": kind, "config": config })
}

/// Replaces `$NUMBER` in a configuration: see [`Profile::config`].
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
    fn a_plain_configuration_of_a_known_plugin_has_its_kind() {
        let parsed = Profile::parse(r#"{"type": "portmap", "snat": true}"#);
        assert!(parsed.is_ok_and(|(_, profile)| profile.kind == Kind::Chained));
    }

    #[test]
    fn networks_differ_in_nested_keys_too() {
        let text = r#"{ "per_network": ["bridge", "ipam.dataDir", "missing.key"],
            "networks": [{}, { "local": "192.0.2.3" }],
            "config": { "type": "a", "bridge": "br", "ipam": { "dataDir": "/var/lib/a" } } }"#;
        let (_, profile) = Profile::parse(text).unwrap();
        let mut config = profile.config.clone();
        profile.rename(&mut config, "other", 1);
        let expected = json!({
            "type": "a", "name": "other", "local": "192.0.2.3", "bridge": "br-1", "ipam": { "dataDir": "/var/lib/a-1" }
        });
        assert_eq!(config, expected);
    }

    #[test]
    fn what_has_no_type_is_no_profile() {
        assert!(Profile::parse("{}").is_err_and(|error| error.contains("type")));
    }
}
