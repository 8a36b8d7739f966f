//! A profile that is being found out.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::profile::Kind;

/// A link of the host that plugins such as macvlan and ipvlan build on.
const UPLINK: [&str; 3] = [
    "ip link add uplink index 1000 type veth peer name uplink-peer",
    "ip link set uplink up",
    "ip link set uplink-peer up",
];
/// The host's way to other networks.
const DEFAULT_ROUTE: [&str; 2] =
    ["ip addr add 192.0.2.1/24 dev uplink", "ip route add default via 192.0.2.2"];
/// A link of the host for each container, which the plugin may move into it.
const DEVICE: &str = "ip link add dev$NUMBER type veth peer name peer$NUMBER; \
    ip link set dev$NUMBER up; ip link set peer$NUMBER up";
/// What the kubelet's runtimes say in CNI_ARGS.
const POD_ARGS: &str = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=kit;\
    K8S_POD_INFRA_CONTAINER_ID=kit;K8S_POD_UID=8b7e1f0a-0000-4000-8000-000000000001";

/// Something that a plugin seems to need.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hint {
    /// A key of the configuration.
    Key(String),
    /// Another type of the value of a key.
    Type(String, Type),
    /// An environment variable.
    Variable(String),
    /// The result of the plugin before it.
    Chain,
    /// A default route on the host.
    DefaultRoute,
}

/// A type of JSON values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    Number,
    Bool,
    Text,
    List,
    Object,
}

/// A draft of a profile.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    pub kind: Kind,
    /// The configuration of the plugin; of an IPAM plugin, its `ipam`.
    pub config: Map<String, Value>,
    pub env: BTreeMap<String, String>,
    pub setup: Vec<String>,
    pub container_setup: Vec<String>,
    pub needs: Vec<String>,
    pub delegates: Vec<String>,
    pub ipv4_only: bool,
}

impl Draft {
    /// The profile with which the search for a kind begins. `ipam`: with an IPAM plugin.
    pub fn new(plugin: &str, kind: Kind, ipam: bool) -> Draft {
        let mut config = Map::new();
        config.insert("type".to_owned(), json!(plugin));
        if ipam {
            config.insert("ipam".to_owned(), json!("any"));
        }
        Draft {
            kind,
            config,
            env: BTreeMap::new(),
            setup: Vec::new(),
            container_setup: Vec::new(),
            needs: Vec::new(),
            delegates: Vec::new(),
            ipv4_only: false,
        }
    }

    /// The profile as JSON. Keys with default values are left out.
    pub fn profile(&self) -> Value {
        let config = match self.kind {
            Kind::Ipam => json!({ "type": self.config.get("type"), "ipam": self.config }),
            _ => json!(self.config),
        };
        let mut profile = json!({ "kind": self.kind, "config": config });
        let lists = [
            ("needs", &self.needs),
            ("setup", &self.setup),
            ("container_setup", &self.container_setup),
            ("delegates", &self.delegates),
        ];
        let Some(keys) = profile.as_object_mut() else { return profile };
        for (key, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            keys.insert(key.to_owned(), json!(list));
        }
        if !self.env.is_empty() {
            keys.insert("env".to_owned(), json!(self.env));
        }
        if self.ipv4_only {
            keys.insert("ipv4_only".to_owned(), json!(true));
        }
        // A bridge belongs to one network.
        if self.config.contains_key("bridge") {
            keys.insert("per_network".to_owned(), json!(["bridge"]));
        }
        profile
    }

    /// The draft with what a hint says. Returns [`None`] if it has that already.
    pub fn with(&self, hint: &Hint) -> Option<Draft> {
        let mut draft = self.clone();
        match hint {
            Hint::Key(key) => draft.add(key),
            Hint::Type(key, kind) => drop(draft.config.insert(key.clone(), kind.example(key))),
            Hint::Variable(name) if name == "CNI_ARGS" || name.starts_with("K8S_") => {
                draft.env.insert("CNI_ARGS".to_owned(), POD_ARGS.to_owned());
            }
            Hint::Variable(name) => {
                let value = match example(name) {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                draft.env.insert(name.clone(), value);
            }
            Hint::Chain => draft.kind = Kind::Chained,
            Hint::DefaultRoute => {
                draft.setup = UPLINK.into_iter().chain(DEFAULT_ROUTE).map(str::to_owned).collect();
            }
        }
        (draft != *self).then_some(draft)
    }

    fn add(&mut self, key: &str) {
        if self.config.contains_key(key) {
            return;
        }
        let value = example(key);
        match value.as_str() {
            Some("uplink") if self.setup.is_empty() => {
                self.setup = UPLINK.map(str::to_owned).to_vec()
            }
            Some("dev$NUMBER") => self.container_setup = vec![DEVICE.to_owned()],
            _ => {}
        }
        self.config.insert(key.to_owned(), value);
    }

    /// What the draft has beyond `before`, for the user.
    pub fn difference(&self, before: &Draft) -> String {
        let keys = self.config.iter().filter(|(key, value)| before.config.get(*key) != Some(value));
        let keys = keys.map(|(key, value)| format!("{}: {value}", json!(key)));
        let env = self.env.iter().filter(|(name, value)| before.env.get(*name) != Some(value));
        let env = env.map(|(name, value)| format!("{name}={value}"));
        let v4 = (self.ipv4_only && !before.ipv4_only).then(|| "IPv4 only".to_owned());
        let is_new = self.setup.len() > before.setup.len() && before.config == self.config;
        let setup = is_new.then(|| "a default route on the host".to_owned());
        keys.chain(env).chain(v4).chain(setup).collect::<Vec<_>>().join(", ")
    }
}

impl Type {
    fn example(self, key: &str) -> Value {
        match self {
            Type::Number => json!(100),
            Type::Bool => json!(true),
            Type::Text => json!("kit"),
            Type::List => match example(key) {
                value @ Value::Array(_) => value,
                value => json!([value]),
            },
            Type::Object => json!({}),
        }
    }
}

/// `(parts of a key, value)`: the values that keys with such names usually have. The first entry
/// with a part that the key contains counts.
const EXAMPLES: &[(&[&str], &str)] = &[
    (&["addresses"], r#"[{ "address": "10.1.2.$NUMBER/24", "gateway": "10.1.2.1" }]"#),
    (&["ranges"], r#"[[{ "subnet": "10.1.2.0/24" }]]"#),
    (
        &["master", "parent", "uplink", "lower", "physical", "interface", "hostif", "nic"],
        r#""uplink""#,
    ),
    (&["device", "devname"], r#""dev$NUMBER""#),
    (&["macaddr"], r#""02:00:00:00:01:05""#),
    (&["mtu"], "1400"),
    (&["bridge", "brname"], r#""kit0""#),
    (&["gateway", "gw"], r#""10.1.2.1""#),
    (&["subnet", "cidr", "network", "range"], r#""10.1.2.0/24""#),
    (&["dir", "path", "file", "sock"], r#""/run/kit""#),
    (&["addr", "ip"], r#""10.1.2.$NUMBER/24""#),
    (&["vlan", "vni", "table", "port", "mark"], "100"),
];

fn example(key: &str) -> Value {
    let key = key.to_lowercase();
    let known = EXAMPLES.iter().find(|(parts, _)| parts.iter().any(|part| key.contains(part)));
    let value = known.and_then(|(_, text)| serde_json::from_str(text).ok());
    value.unwrap_or_else(|| json!("kit"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Draft, EXAMPLES, Hint, Type, example};
    use crate::profile::Kind;

    #[test]
    fn every_example_is_json() {
        for (parts, text) in EXAMPLES {
            let read: Result<serde_json::Value, _> = serde_json::from_str(text);
            assert!(read.is_ok(), "{parts:?}: {text}");
        }
        assert_eq!(example("podCIDR"), json!("10.1.2.0/24"));
    }

    #[test]
    fn a_draft_learns_from_hints() {
        let draft = Draft::new("mine", Kind::Interface, true);
        let with = draft.with(&Hint::Key("master".to_owned())).unwrap();
        assert_eq!(with.difference(&draft), "\"master\": \"uplink\"");
        assert_eq!(with.profile()["setup"].as_array().unwrap().len(), 3);
        assert_eq!(with.with(&Hint::Key("master".to_owned())), None);
        let number = with.with(&Hint::Type("table".to_owned(), Type::Number)).unwrap();
        assert_eq!(number.profile()["config"]["table"], 100);
        let args = draft.with(&Hint::Variable("K8S_POD_NAME".to_owned())).unwrap();
        assert!(args.env["CNI_ARGS"].contains("K8S_POD_NAME=kit"));
    }
}
