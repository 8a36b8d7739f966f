//! What one plugin of a network is sent: its configuration with what the runtime knows, and the
//! environment (spec 1.1.0, "Deriving request configuration from plugin configuration").

use serde_json::{Map, Value, json};

use super::config::{NetworkConfig, PluginConfig};
use crate::{Attachment, ContainerId, IfName, Verb};

/// What a runtime knows of an attachment beyond the network's configuration.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AttachmentConfig {
    /// The container and its interface.
    pub attachment: Attachment,
    /// The path of the container's network namespace; empty if it is gone.
    pub netns: String,
    /// What `CNI_ARGS` says, in this order.
    pub args: Vec<(String, String)>,
    /// Values for `runtimeConfig`, by capability: each plugin gets those it declares.
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
    /// None for GC and STATUS, which are about the network.
    pub(super) conf: Option<&'a AttachmentConfig>,
    pub(super) prev: Option<&'a Value>,
    /// What GC shall keep.
    pub(super) valid: Option<&'a [Attachment]>,
}

impl Request<'_> {
    /// What the plugin reads. Keys put in here replace those of any case, so that no plugin sees
    /// two.
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
            // The specification and its own library name this key differently, and plugins follow
            // the one or the other.
            inject("cni.dev/valid-attachments", Some(json!(valid)));
            inject("cni.dev/attachments", Some(json!(valid)));
        }
        Value::Object(config).to_string().into_bytes()
    }

    /// The values for the capabilities the plugin declares. Without any, a `runtimeConfig` in the
    /// file stays.
    fn runtime_config(&self) -> Map<String, Value> {
        let Some(conf) = self.conf else { return Map::new() };
        let declared = self.plugin.capabilities.iter();
        declared
            .filter_map(|name| Some((name.clone(), conf.capability_args.get(name)?.clone())))
            .collect()
    }

    /// The variables to set. Those about an attachment are set and empty when there is none, so
    /// that no plugin sees what is in the environment of the runtime.
    /// They come after `env`; `path` is the list of the plugins' folders.
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
