//! The request to one plugin of a network: its configuration with the runtime's additions, and its
//! environment (spec 1.1.0, "Deriving request configuration from plugin configuration").

use serde_json::{Map, Value, json};

use super::config::{NetworkConfig, PluginConfig};
use crate::{Attachment, ContainerId, IfName, Verb};

/// The runtime's data about an attachment, in addition to the network's configuration.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AttachmentConfig {
    /// The container and its interface.
    pub attachment: Attachment,
    /// The path of the container's network namespace; empty if the namespace no longer exists.
    pub netns: String,
    /// The pairs of `CNI_ARGS`, in this order.
    pub args: Vec<(String, String)>,
    /// Values for `runtimeConfig`, by capability: each plugin gets the values of the capabilities
    /// that it declares.
    pub capability_args: Map<String, Value>,
}

impl AttachmentConfig {
    /// An attachment without arguments.
    pub fn new(
        container: ContainerId,
        ifname: IfName,
        netns: impl Into<String>,
    ) -> AttachmentConfig {
        AttachmentConfig {
            attachment: Attachment { container, ifname },
            netns: netns.into(),
            args: Vec::new(),
            capability_args: Map::new(),
        }
    }
}

/// One call of one plugin.
pub(super) struct Request<'a> {
    pub(super) verb: Verb,
    pub(super) list: &'a NetworkConfig,
    pub(super) plugin: &'a PluginConfig,
    /// `None` for GC and STATUS, which apply to the whole network.
    pub(super) conf: Option<&'a AttachmentConfig>,
    pub(super) prev: Option<&'a Value>,
    /// The attachments that GC must keep.
    pub(super) valid: Option<&'a [Attachment]>,
}

impl Request<'_> {
    /// The plugin's standard input. Inserted keys replace existing keys of any case, so that no
    /// plugin gets a key twice.
    pub(super) fn stdin(&self) -> Vec<u8> {
        let empty = Map::new();
        let mut config = self.plugin.config.as_object().unwrap_or(&empty).clone();
        let mut inject = |key: &str, value: Option<Value>| {
            config.retain(|known, _| !known.eq_ignore_ascii_case(key));
            config.extend(value.map(|value| (key.to_owned(), value)));
        };
        inject("capabilities", None);
        inject("name", Some(json!(self.list.name)));
        inject("cniVersion", Some(json!(self.list.version.to_string())));
        if let Some(prev) = self.prev {
            inject("prevResult", Some(prev.clone()));
        }
        let runtime_config = self.runtime_config();
        if !runtime_config.is_empty() {
            inject("runtimeConfig", Some(Value::Object(runtime_config)));
        }
        if let Some(valid) = self.valid {
            // The specification and its library have different names for this key, and plugins read
            // either.
            inject("cni.dev/valid-attachments", Some(json!(valid)));
            inject("cni.dev/attachments", Some(json!(valid)));
        }
        Value::Object(config).to_string().into_bytes()
    }

    /// The values for the plugin's declared capabilities. Without any, a `runtimeConfig` in the
    /// file is kept.
    fn runtime_config(&self) -> Map<String, Value> {
        let Some(conf) = self.conf else { return Map::new() };
        let declared = self.plugin.capabilities.iter();
        declared
            .filter_map(|name| Some((name.clone(), conf.capability_args.get(name)?.clone())))
            .collect()
    }

    /// The variables to set, in addition to `env`. Without an attachment its variables are set and
    /// empty, so that the plugin does not inherit them from the runtime's environment. `path` is
    /// the list of the plugins' folders.
    pub(super) fn env(&self, mut env: Vec<(String, String)>, path: &str) -> Vec<(String, String)> {
        let conf = self.conf;
        let args = conf.map(|conf| conf.args.as_slice()).unwrap_or_default();
        let args: Vec<_> = args.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut set = |key: &str, value: &str| env.push((key.to_owned(), value.to_owned()));
        set("CNI_COMMAND", self.verb.as_str());
        set("CNI_CONTAINERID", conf.map_or("", |conf| conf.attachment.container.as_str()));
        set("CNI_IFNAME", conf.map_or("", |conf| conf.attachment.ifname.as_str()));
        set("CNI_NETNS", conf.map_or("", |conf| conf.netns.as_str()));
        set("CNI_ARGS", &args.join(";"));
        set("CNI_PATH", path);
        env
    }
}
