//! VERSION: the versions that a network's plugins support.

use std::collections::BTreeSet;

use serde_json::Value;

use super::chain::{Operation, Runtime, join};
use super::config::NetworkConfig;
use crate::exec::find;
use crate::{Code, Context, Error, PluginType, Result, Version, json};

/// A plugin's answer to VERSION.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spoken {
    /// The protocol version of the answer.
    pub protocol: String,
    /// The supported configuration versions, as listed by the plugin.
    pub supported: Vec<String>,
}

impl Runtime<'_> {
    /// VERSION: returns the versions that a plugin supports.
    ///
    /// # Errors
    ///
    /// Returns an error if the plugin does not exist, or if its answer cannot be decoded.
    pub fn version(&self, plugin: &PluginType) -> Result<Spoken> {
        spoken(&self.start(), plugin)
    }

    /// Verifies that all plugins of the network exist and support its version. Returns the declared
    /// capabilities, for which a runtime may have values.
    ///
    /// # Errors
    ///
    /// Returns the errors of all plugins, joined.
    pub fn validate(&self, list: &NetworkConfig) -> Result<BTreeSet<String>> {
        let operation = self.start();
        let mut errors = Vec::new();
        for plugin in &list.plugins {
            errors.extend(speaks(&operation, &plugin.kind, list.version).err());
        }
        join(errors)?;
        Ok(list.plugins.iter().flat_map(|plugin| plugin.capabilities.iter().cloned()).collect())
    }
}

fn speaks(operation: &Operation<'_>, plugin: &PluginType, version: Version) -> Result<()> {
    let spoken = spoken(operation, plugin)?;
    let known = spoken.supported.iter().any(|known| Version::parse(known).ok() == Some(version));
    if known {
        return Ok(());
    }
    let msg = format!("plugin {plugin} does not support config version {:?}", version.to_string());
    let details = format!("it supports {}", spoken.supported.join(", "));
    Err(Error::new(Code::INCOMPATIBLE_VERSION, msg).details(details))
}

fn spoken(operation: &Operation<'_>, plugin: &PluginType) -> Result<Spoken> {
    let program = find(plugin, &operation.runtime.path)?;
    let mut env = operation.runtime.env.clone();
    env.push(("CNI_COMMAND".to_owned(), "VERSION".to_owned()));
    // Plugins without VERSION check these variables first, and must get as far as the rejection of
    // the command.
    for name in ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"] {
        env.push((name.to_owned(), "dummy".to_owned()));
    }
    env.push(("CNI_ARGS".to_owned(), String::new()));
    let stdin = format!(r#"{{"cniVersion":"{}"}}"#, Version::CURRENT);
    match operation.exec(&program, &env, stdin.as_bytes()).run_json() {
        Ok(answer) => read(&answer).context(|| format!("plugin {plugin}: decoding version info")),
        Err(error) if error.msg == "unknown CNI_COMMAND: VERSION" => {
            Ok(Spoken { protocol: "0.1.0".to_owned(), supported: vec!["0.1.0".to_owned()] })
        }
        Err(error) => Err(error.context(format!("plugin {plugin} failed (version)"))),
    }
}

fn read(answer: &Value) -> Result<Spoken> {
    let missing = |field: &str| Error::new(Code::DECODE_FAILURE, format!("missing field {field}"));
    let protocol = json::get(answer, "cniVersion").and_then(Value::as_str).unwrap_or_default();
    if protocol.is_empty() {
        return Err(missing("cniVersion"));
    }
    let supported: Vec<String> = match json::get(answer, "supportedVersions") {
        Some(versions) => json::from_value(versions).context(|| "supportedVersions")?,
        // Version 0.2.0 of the specification had this answer without the list.
        None if protocol == "0.2.0" => vec!["0.1.0".to_owned(), "0.2.0".to_owned()],
        None => return Err(missing("supportedVersions")),
    };
    Ok(Spoken { protocol: protocol.to_owned(), supported })
}
