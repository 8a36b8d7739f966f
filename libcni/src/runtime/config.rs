//! A network's configuration: its name and its plugins (spec 1.1.0, "Configuration format").

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::json::get;
use crate::{Code, Error, NetworkName, PluginType, Result, Version};

/// The hint for a single plugin in the file of a list.
const SINGLE: &str =
    "this is a single plugin: its file's name must end in .conf, or it must be put into a list";

/// A network and its plugins, in the order of ADD.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct NetworkConfig {
    /// The network's name.
    pub name: NetworkName,
    /// The version of all calls of the network's plugins: the best of `cniVersions` if that is
    /// given.
    pub version: Version,
    /// Whether CHECK does nothing.
    pub disable_check: bool,
    /// Whether GC does nothing.
    pub disable_gc: bool,
    /// The plugins, in the order of ADD.
    pub plugins: Vec<PluginConfig>,
    /// Whether the network's folder is ignored (`loadOnlyInlinedPlugins`).
    pub(super) only_inlined: bool,
    /// Whether the object has a key `type`, as a single plugin does.
    is_single: bool,
    bytes: Vec<u8>,
}

/// One plugin of a network.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PluginConfig {
    /// The plugin's type, the name of its file.
    pub kind: PluginType,
    /// The key `name` of the plugin's object, which only a file of a single plugin has.
    pub name: Option<String>,
    /// The declared capabilities: the keys of `runtimeConfig` that the plugin accepts.
    pub capabilities: BTreeSet<String>,
    /// The plugin's configuration as written, without the keys that a runtime adds.
    pub config: Value,
}

impl NetworkConfig {
    /// Reads a list, the content of a `.conflist` file. A list without `plugins` is accepted,
    /// because its plugins can be in the folder beside the file, which only [`NetworkConfig::load`]
    /// reads.
    ///
    /// Keys of the list are matched exactly, as in the reference; keys of plugins in any case.
    ///
    /// ```
    /// use libcni::Version;
    /// use libcni::runtime::NetworkConfig;
    ///
    /// let text = br#"{
    ///     "name": "n",
    ///     "cniVersions": ["1.0.0", "1.1.0", "9.9.9"],
    ///     "plugins": [{"type": "bridge"}]
    /// }"#;
    /// let list = NetworkConfig::parse(text)?;
    /// assert_eq!(list.version, Version::CURRENT);
    /// # Ok::<(), libcni::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Code::DECODE_FAILURE`] with line and column for text that is not JSON, and
    /// [`Code::INVALID_CONFIG`] with the violated rule otherwise.
    pub fn parse(bytes: &[u8]) -> Result<NetworkConfig> {
        let list = NetworkConfig::parse_without_folder(bytes)?;
        if list.plugins.is_empty() && list.is_single {
            return Err(Error::config("no 'plugins' key")
                .details(SINGLE)
                .context("error parsing configuration list"));
        }
        Ok(list)
    }

    /// As [`NetworkConfig::parse`], but also accepts an object that looks like a single plugin,
    /// because the list's plugins may all be in its folder.
    pub(super) fn parse_without_folder(bytes: &[u8]) -> Result<NetworkConfig> {
        let list = object(bytes)?;
        read_list(&list, bytes).map_err(|error| error.context("error parsing configuration list"))
    }

    /// The error for a list without any plugin.
    pub(super) fn without_plugins(&self) -> Error {
        let error = Error::config("no plugin configs found");
        if self.is_single { error.details(SINGLE) } else { error }
    }

    /// Reads the content of a `.conf` file, a single plugin with the network's name in its object,
    /// as a list of one.
    ///
    /// # Errors
    ///
    /// As [`NetworkConfig::parse`].
    pub fn parse_single(bytes: &[u8]) -> Result<NetworkConfig> {
        PluginConfig::parse(bytes)?.into_list()
    }

    /// The text of the list: the parsed text, unless plugins of a folder were added.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds the plugins of the list's folder. The text then contains all plugins, so that a cached
    /// configuration is complete.
    pub(super) fn append(&mut self, plugins: Vec<PluginConfig>) {
        if plugins.is_empty() {
            return;
        }
        self.plugins.extend(plugins);
        let plugins: Vec<_> = self.plugins.iter().map(|plugin| &plugin.config).collect();
        let whole = json!({
            "name": self.name,
            "cniVersion": self.version.to_string(),
            "disableCheck": self.disable_check,
            "disableGC": self.disable_gc,
            "loadOnlyInlinedPlugins": true,
            "plugins": plugins,
        });
        self.bytes = whole.to_string().into_bytes();
    }
}

impl PluginConfig {
    /// Reads one plugin's object, the content of a `.conf` file.
    ///
    /// # Errors
    ///
    /// As [`NetworkConfig::parse`].
    pub fn parse(bytes: &[u8]) -> Result<PluginConfig> {
        PluginConfig::read(object(bytes)?)
            .map_err(|error| error.context("error parsing configuration"))
    }

    fn read(config: Value) -> Result<PluginConfig> {
        let Some(kind) = text("type", get(&config, "type"))? else {
            let missing = Error::config("missing 'type'");
            return Err(match get(&config, "plugins") {
                Some(_) => missing
                    .details("this is a list of plugins: its file's name must end in .conflist"),
                None => missing,
            });
        };
        let kind = PluginType::new(kind)?;
        let name =
            text("name", get(&config, "name"))?.filter(|name| !name.is_empty()).map(str::to_owned);
        let capabilities = capabilities(&config)?;
        Ok(PluginConfig { kind, name, capabilities, config })
    }

    /// The plugin as a network of its own.
    pub(super) fn into_list(self) -> Result<NetworkConfig> {
        let name = self.name.clone().unwrap_or_default();
        let version = text("cniVersion", get(&self.config, "cniVersion"))?.unwrap_or_default();
        let list = json!({ "name": name, "cniVersion": version, "plugins": [self.config] });
        NetworkConfig::parse(list.to_string().as_bytes())
    }
}

/// Decodes a JSON object; an error names line and column.
fn object(bytes: &[u8]) -> Result<Value> {
    let malformed = |msg: String| Error::new(Code::DECODE_FAILURE, msg);
    match serde_json::from_slice(bytes) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(other) => Err(malformed(format!("an object was expected, not {}", kind_of(&other)))),
        Err(error) => {
            let place = format!(" at line {} column {}", error.line(), error.column());
            let why = error.to_string();
            let why = why.strip_suffix(&place).unwrap_or(&why);
            Err(malformed(format!("line {}, column {}: {why}", error.line(), error.column())))
        }
    }
}

fn read_list(list: &Value, bytes: &[u8]) -> Result<NetworkConfig> {
    let name = text("name", own(list, "name"))?.ok_or_else(|| misspelt(list, "name", "no name"))?;
    let only_inlined = switch(list, "loadOnlyInlinedPlugins")?;
    Ok(NetworkConfig {
        name: NetworkName::new(name)?,
        version: version(list)?,
        disable_check: switch(list, "disableCheck")?,
        disable_gc: switch(list, "disableGC")?,
        plugins: plugins(list, only_inlined)?,
        only_inlined,
        is_single: get(list, "type").is_some(),
        bytes: bytes.to_vec(),
    })
}

/// The value of a key of the list. As in the reference, the key must match exactly, and `null` does
/// not count as absent; plugins' keys have neither restriction.
fn own<'a>(list: &'a Value, key: &str) -> Option<&'a Value> {
    list.as_object()?.get(key)
}

/// The error for a missing key. It names the key that differs only in case, if there is one.
fn misspelt(list: &Value, key: &str, msg: &str) -> Error {
    let is_meant = |found: &&String| found.eq_ignore_ascii_case(key);
    let meant = list.as_object().and_then(|list| list.keys().find(is_meant));
    let error = Error::config(msg);
    match meant {
        None => error,
        Some(meant) => error.details(format!(
            "the keys of a list are matched exactly: write {key:?} instead of {meant:?}"
        )),
    }
}

/// The list's plugins. A list without `plugins` is valid if its plugins are all in its folder.
fn plugins(list: &Value, only_inlined: bool) -> Result<Vec<PluginConfig>> {
    let plugins = match own(list, "plugins") {
        Some(Value::Array(plugins)) if plugins.is_empty() => {
            return Err(Error::config("no plugins in list"));
        }
        Some(Value::Array(plugins)) => plugins,
        Some(other) => {
            return Err(Error::config(format!("invalid 'plugins' type {}", kind_of(other))));
        }
        None if only_inlined => {
            let msg = "`loadOnlyInlinedPlugins` is true, and no 'plugins' key is there";
            return Err(misspelt(list, "plugins", msg));
        }
        None => return Ok(Vec::new()),
    };
    let read = |(index, plugin): (usize, &Value)| {
        let plugin = match plugin {
            Value::Object(_) => PluginConfig::read(plugin.clone()),
            other => Err(Error::config(format!("invalid type {}", kind_of(other)))),
        };
        plugin.map_err(|error| error.context(format!("failed to parse plugin config {index}")))
    };
    plugins.iter().enumerate().map(read).collect()
}

/// The highest version of `cniVersions` and `cniVersion` that this crate supports. A `cniVersion`
/// alone is returned unchanged, so that the network of a newer version can be found, and its
/// plugins report the version.
fn version(list: &Value) -> Result<Version> {
    let single = text("cniVersion", own(list, "cniVersion"))?;
    let mut candidates = Vec::new();
    match own(list, "cniVersions") {
        None => {}
        Some(Value::Array(versions)) => {
            for (index, entry) in versions.iter().enumerate() {
                candidates.push(listed_version(entry).map_err(|error| {
                    error.context(format!("invalid cniVersions entry {entry} at index {index}"))
                })?);
            }
        }
        Some(other) => {
            return Err(Error::config(format!("invalid type {} for cniVersions", kind_of(other))));
        }
    }
    let single = single.map(Version::parse).transpose();
    let single = single.map_err(|error| error.context("invalid cniVersion"))?;
    if !candidates.is_empty() {
        candidates.extend(single);
    }
    candidates.retain(|version| *version <= Version::CURRENT);
    let fallback = single.unwrap_or(Version::new(0, 1, 0));
    Ok(candidates.into_iter().max().unwrap_or(fallback))
}

fn listed_version(entry: &Value) -> Result<Version> {
    match entry {
        Value::String(version) => Version::parse(version),
        other => Err(Error::config(format!("invalid type {}", kind_of(other)))),
    }
}

fn text<'a>(key: &str, value: Option<&'a Value>) -> Result<Option<&'a str>> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(Error::config(format!("invalid {key} type {}", kind_of(other)))),
    }
}

/// A switch of a list: a boolean, or the word in any case.
fn switch(list: &Value, key: &str) -> Result<bool> {
    match own(list, key) {
        None => Ok(false),
        Some(Value::Bool(on)) => Ok(*on),
        Some(Value::String(word)) => match word.to_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            word => Err(Error::config(format!("invalid value {word:?} for {key}"))
                .details("write true or false")),
        },
        Some(other) => Err(Error::config(format!("invalid type {} for {key}", kind_of(other)))),
    }
}

/// The names of the capabilities that are declared `true`.
fn capabilities(config: &Value) -> Result<BTreeSet<String>> {
    let declared = match get(config, "capabilities") {
        None => return Ok(BTreeSet::new()),
        Some(Value::Object(declared)) => declared,
        Some(other) => {
            return Err(Error::config(format!("invalid capabilities type {}", kind_of(other))));
        }
    };
    let mut names = BTreeSet::new();
    for (name, value) in declared {
        match value {
            Value::Bool(true) => drop(names.insert(name.clone())),
            Value::Bool(false) | Value::Null => {}
            other => {
                let kind = kind_of(other);
                return Err(Error::config(format!("invalid type {kind} for capability {name:?}")));
            }
        }
    }
    Ok(names)
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}
