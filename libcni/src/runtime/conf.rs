//! A network's configuration: its name and the plugins that make it (spec 1.1.0, "Configuration format").

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::json::get;
use crate::{Error, NetworkName, PluginType, Result, Version, code};

/// A network: the plugins to run for it, in the order of ADD.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkList {
    /// The network's name.
    pub name: NetworkName,
    /// The version every plugin of the list is spoken to in; the best of `cniVersions` if that is given.
    pub version: Version,
    /// Whether CHECK does nothing.
    pub disable_check: bool,
    /// Whether GC does nothing.
    pub disable_gc: bool,
    /// The plugins, in the order of ADD.
    pub plugins: Vec<PluginConf>,
    /// Whether plugins may only be named in the list itself.
    pub(super) only_inlined: bool,
    bytes: Vec<u8>,
}

/// One plugin of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginConf {
    /// The plugin's type, the name of its file.
    pub kind: PluginType,
    /// The name in the plugin's own object, which only files of a single plugin have.
    pub name: Option<String>,
    /// The capabilities it declares: the keys of `runtimeConfig` it wants.
    pub capabilities: BTreeSet<String>,
    /// Its configuration as written, before a runtime puts in what it adds.
    pub config: Value,
}

impl NetworkList {
    /// Reads a list, the content of a `.conflist` file. Plugins in the folder beside such a file are not looked for:
    /// that is [`NetworkList::load`].
    ///
    /// ```
    /// use libcni::Version;
    /// use libcni::runtime::NetworkList;
    ///
    /// let list = NetworkList::parse(br#"{"name": "n", "cniVersions": ["1.0.0", "1.1.0", "9.9.9"],
    ///     "plugins": [{"type": "bridge"}]}"#)?;
    /// assert_eq!(list.version, Version::CURRENT);
    /// # Ok::<(), libcni::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`code::DECODE_FAILURE`] with line and column for text that is not JSON, [`code::INVALID_CONFIG`] with the
    /// rule that was broken otherwise.
    pub fn parse(bytes: &[u8]) -> Result<NetworkList> {
        let list = object(bytes)?;
        read_list(&list, bytes).map_err(|error| error.context("error parsing configuration list"))
    }

    /// Reads the content of a `.conf` file, a single plugin with the network's name in its object, as a list of one.
    ///
    /// # Errors
    ///
    /// As [`NetworkList::parse`].
    pub fn parse_single(bytes: &[u8]) -> Result<NetworkList> {
        PluginConf::parse(bytes)?.into_list()
    }

    /// The list as text: what was parsed, unless plugins from a folder were added to it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds the plugins of the list's folder. The text then names them all, so that a cached configuration is whole.
    pub(super) fn append(&mut self, plugins: Vec<PluginConf>) {
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

impl PluginConf {
    /// Reads one plugin's object, the content of a `.conf` file.
    ///
    /// # Errors
    ///
    /// As [`NetworkList::parse`].
    pub fn parse(bytes: &[u8]) -> Result<PluginConf> {
        PluginConf::read(object(bytes)?)
            .map_err(|error| error.context("error parsing configuration"))
    }

    fn read(config: Value) -> Result<PluginConf> {
        let Some(kind) = text(&config, "type")? else {
            let missing = Error::config("missing 'type'");
            return Err(match get(&config, "plugins") {
                Some(_) => missing
                    .details("this is a list of plugins: its file's name must end in .conflist"),
                None => missing,
            });
        };
        let kind = PluginType::new(kind)?;
        let name = text(&config, "name")?.filter(|name| !name.is_empty()).map(str::to_owned);
        let capabilities = capabilities(&config)?;
        Ok(PluginConf { kind, name, capabilities, config })
    }

    /// The plugin as a network of its own.
    pub(super) fn into_list(self) -> Result<NetworkList> {
        let name = self.name.clone().unwrap_or_default();
        let version = text(&self.config, "cniVersion")?.unwrap_or_default();
        let list = json!({ "name": name, "cniVersion": version, "plugins": [self.config] });
        NetworkList::parse(list.to_string().as_bytes())
    }
}

/// Decodes a JSON object; an error names line and column.
fn object(bytes: &[u8]) -> Result<Value> {
    let malformed = |msg: String| Error::new(code::DECODE_FAILURE, msg);
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

fn read_list(list: &Value, bytes: &[u8]) -> Result<NetworkList> {
    let name = text(list, "name")?.ok_or_else(|| Error::config("no name"))?;
    let only_inlined = switch(list, "loadOnlyInlinedPlugins")?;
    Ok(NetworkList {
        name: NetworkName::new(name)?,
        version: version(list)?,
        disable_check: switch(list, "disableCheck")?,
        disable_gc: switch(list, "disableGC")?,
        plugins: plugins(list, only_inlined)?,
        only_inlined,
        bytes: bytes.to_vec(),
    })
}

/// The list's plugins. A list without `plugins` can be one whose plugins are all in its folder.
fn plugins(list: &Value, only_inlined: bool) -> Result<Vec<PluginConf>> {
    let plugins = match get(list, "plugins") {
        Some(Value::Array(plugins)) if plugins.is_empty() => {
            return Err(Error::config("no plugins in list"));
        }
        Some(Value::Array(plugins)) => plugins,
        Some(other) => {
            return Err(Error::config(format!("invalid 'plugins' type {}", kind_of(other))));
        }
        None if only_inlined => {
            return Err(Error::config(
                "`loadOnlyInlinedPlugins` is true, and no 'plugins' key is there",
            ));
        }
        None if get(list, "type").is_some() => {
            return Err(Error::config("no 'plugins' key").details(
                "this is a single plugin: its file's name must end in .conf, or it must be put into a list",
            ));
        }
        None => return Ok(Vec::new()),
    };
    let read = |(index, plugin): (usize, &Value)| {
        let plugin = match plugin {
            Value::Object(_) => PluginConf::read(plugin.clone()),
            other => Err(Error::config(format!("invalid type {}", kind_of(other)))),
        };
        plugin.map_err(|error| error.context(format!("failed to parse plugin config {index}")))
    };
    plugins.iter().enumerate().map(read).collect()
}

/// The highest version of `cniVersions` and `cniVersion` that this crate speaks; `cniVersion` as it is if nothing
/// else is given, so that a network of a newer version is refused by its plugins and not unfindable.
fn version(list: &Value) -> Result<Version> {
    let single = text(list, "cniVersion")?;
    let mut candidates = Vec::new();
    match get(list, "cniVersions") {
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

fn text<'a>(object: &'a Value, key: &str) -> Result<Option<&'a str>> {
    match get(object, key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(Error::config(format!("invalid {key} type {}", kind_of(other)))),
    }
}

/// A switch, which may be given as a boolean or as the word in any case.
fn switch(object: &Value, key: &str) -> Result<bool> {
    match get(object, key) {
        None => Ok(false),
        Some(Value::Bool(on)) => Ok(*on),
        Some(Value::String(word)) => match word.to_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            word => Err(Error::config(format!("invalid value {word:?} for {key}"))
                .details("true and false are possible")),
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
