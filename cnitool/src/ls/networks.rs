//! The networks of the configuration folder and of the cache: the file of a network may have been
//! removed, or may have had other ranges when containers were attached.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use ipam::PoolConf;
use libcni::runtime::{self, NetworkConfig, PluginConfig};
use libcni::{Context, PluginType, Result, Version, json as cni};
use serde_json::{Map, Value, json};

use crate::ls::Problems;

/// All known networks.
#[derive(Default)]
pub struct Networks {
    known: BTreeMap<String, Network>,
    /// The cached configurations that were read, with the runtime's ranges. Most entries have the
    /// same.
    seen: HashSet<(Vec<u8>, String)>,
}

/// A network.
pub struct Network {
    /// The place of its configuration.
    pub origin: Origin,
    pub version: Version,
    pub disable_gc: bool,
    /// The plugins that DEL and GC run, including IPAM plugins.
    pub plugins: Vec<PluginType>,
    pub pools: Vec<Source>,
}

/// The place of a configuration: a file of the configuration folder, or only a cache entry.
pub enum Origin {
    File(PathBuf),
    Cache {
        file: PathBuf,
        /// The extension of a file with this configuration: `conflist`, or `conf` for a single
        /// plugin.
        ending: &'static str,
    },
}

/// A pool of a network.
pub struct Source {
    pub conf: PoolConf,
    /// Whether only the cache has this pool, because the file has another or was removed.
    pub is_past: bool,
}

impl Networks {
    /// Reads the networks of a folder. Of two with the same name the first is used, as for all
    /// other verbs.
    pub fn configured(dir: &Path, problems: &mut Problems) -> Networks {
        let mut networks = Networks::default();
        for (file, list) in problems.note(NetworkConfig::all(dir)).unwrap_or_default() {
            let Some(list) = problems.note(list) else { continue };
            if networks.get(&list.name).is_some() {
                continue;
            }
            let mut network = Network::new(&list, Origin::File(file.clone()));
            for plugin in &list.plugins {
                let conf = PoolConf::of(&plugin.config);
                let conf = problems.note(conf.context(|| format!("{}: ipam", file.display())));
                network.add(conf.flatten(), false);
            }
            networks.known.insert(list.name.to_string(), network);
        }
        networks
    }

    /// Adds the network and the pools of a cached attachment's configuration.
    pub fn learn(&mut self, cached: &runtime::Cached, file: &Path) -> Result<()> {
        const RANGES: &str = "ipRanges";
        let ranges = cached.conf.capability_args.get(RANGES);
        let both = (cached.config.clone(), ranges.map(Value::to_string).unwrap_or_default());
        if cached.config.is_empty() || !self.seen.insert(both) {
            return Ok(());
        }
        let (list, ending) = match NetworkConfig::parse(&cached.config) {
            Ok(list) => (list, "conflist"),
            // Some runtimes call plugins one by one, and cache the configuration of a single
            // plugin.
            Err(error) => match NetworkConfig::parse_single(&cached.config) {
                Ok(list) => (list, "conf"),
                Err(_) => return Err(error),
            },
        };
        let origin = || Network::new(&list, Origin::Cache { file: file.to_owned(), ending });
        let network = self.known.entry(cached.network.to_string()).or_insert_with(origin);
        for plugin in &list.plugins {
            network.add(PoolConf::of(&request(plugin, RANGES, ranges))?, true);
        }
        Ok(())
    }

    pub fn get(&self, name: &str) -> Option<&Network> {
        self.known.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.known.keys().map(String::as_str)
    }

    /// All folders that may contain reservations, including the default one.
    pub fn data_dirs(&self) -> BTreeSet<PathBuf> {
        let sources = self.known.values().flat_map(|network| &network.pools);
        let mut dirs: BTreeSet<_> = sources.map(|source| source.conf.data_dir.clone()).collect();
        let usual = PathBuf::from(PoolConf::DATA_DIR);
        dirs.insert(fs::canonicalize(&usual).unwrap_or(usual));
        dirs
    }
}

impl Network {
    fn new(list: &NetworkConfig, origin: Origin) -> Network {
        let (version, disable_gc) = (list.version, list.disable_gc);
        let of_ipam = |plugin: &PluginConfig| {
            let kind = cni::get(cni::get(&plugin.config, "ipam")?, "type")?.as_str()?;
            PluginType::new(kind).ok()
        };
        let all = list.plugins.iter().flat_map(|it| [Some(it.kind.clone()), of_ipam(it)]);
        Network { origin, version, disable_gc, plugins: all.flatten().collect(), pools: Vec::new() }
    }

    fn add(&mut self, conf: Option<PoolConf>, is_past: bool) {
        // Resolves the path, because one folder can have several.
        let conf = conf.map(|mut conf| {
            conf.data_dir = fs::canonicalize(&conf.data_dir).unwrap_or(conf.data_dir);
            conf
        });
        let known = |conf: &PoolConf| self.pools.iter().any(|source| source.conf == *conf);
        let new = conf.filter(|conf| !known(conf)).map(|conf| Source { conf, is_past });
        self.pools.extend(new);
    }
}

/// The plugin's configuration at ADD, as far as its ranges depend on it.
fn request(plugin: &PluginConfig, key: &str, value: Option<&Value>) -> Value {
    let mut config = plugin.config.clone();
    let value = value.filter(|_| plugin.capabilities.contains(key));
    if let (Some(config), Some(value)) = (config.as_object_mut(), value) {
        let mut said = Map::new();
        said.insert(key.to_owned(), value.clone());
        config.insert("runtimeConfig".to_owned(), json!(said));
    }
    config
}
