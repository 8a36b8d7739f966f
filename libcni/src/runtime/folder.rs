//! Networks in a folder of files, such as `/etc/cni/net.d`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::config::{NetworkConfig, PluginConfig};
use super::named::named;
use crate::{Context, Error, Result, file, json};

impl NetworkConfig {
    /// Finds a network by name: first in the `.conflist` files, then in the `.conf` and `.json`
    /// files, each in the order of their names.
    ///
    /// All files before the network's file are read. A file that is not JSON ends the search, as in
    /// the reference: it could be the network's file, and its error must not be hidden by another
    /// network of the same name. A file with another error is skipped if it has another name.
    ///
    /// # Errors
    ///
    /// Returns an error that names the faulty file, or the existing networks if there is none of
    /// this name.
    pub fn find(dir: &Path, name: &str) -> Result<NetworkConfig> {
        let mut others = Others::default();
        for file in files(dir, &[".conflist"])? {
            match NetworkConfig::load(&file) {
                Ok(list) if &*list.name == name => return Ok(list),
                Ok(list) => others.names.push(list.name.to_string()),
                Err(error) => others.pass(&file, error, name)?,
            }
        }
        let singles = files(dir, &[".conf", ".json"])?;
        if others.are_none() && singles.is_empty() {
            return Err(Error::config(format!("no net configurations found in {}", dir.display())));
        }
        for file in singles {
            match load_plugin(&file) {
                Ok(plugin) if plugin.name.as_deref() == Some(name) => {
                    return plugin.into_list().context(|| file.display());
                }
                Ok(plugin) => others.names.extend(plugin.name),
                Err(error) => others.pass(&file, error, name)?,
            }
        }
        let missing = format!("no net configuration with name {name:?} in {}", dir.display());
        Err(others.beside(Error::config(missing)))
    }

    /// All networks of a folder with their files, in the order of [`NetworkConfig::find`]. An
    /// unusable file has its error instead. The result is empty if the folder does not exist.
    ///
    /// # Errors
    ///
    /// Returns an error if the folder cannot be read.
    pub fn all(dir: &Path) -> Result<Vec<(PathBuf, Result<NetworkConfig>)>> {
        let lists = files(dir, &[".conflist"])?.into_iter();
        let mut all: Vec<_> =
            lists.map(|file| (file.clone(), NetworkConfig::load(&file))).collect();
        for file in files(dir, &[".conf", ".json"])? {
            let list = match load_plugin(&file) {
                Ok(plugin) if plugin.name.is_none() => continue,
                plugin => plugin.and_then(|it| it.into_list().context(|| file.display())),
            };
            all.push((file, list));
        }
        Ok(all)
    }

    /// Reads a `.conflist` file and, without `loadOnlyInlinedPlugins`, all `*.conf` files of the
    /// folder beside it that has the network's name. The plugins of these files follow the plugins
    /// of the list.
    ///
    /// # Errors
    ///
    /// Returns an error that names the faulty file.
    pub fn load(file: &Path) -> Result<NetworkConfig> {
        let list = NetworkConfig::parse_without_folder(&read(file)?);
        let mut list = list.context(|| file.display())?;
        if !list.only_inlined {
            let beside = file.with_file_name(list.name.as_str());
            let plugins = files(&beside, &[".conf"])?;
            list.append(plugins.iter().map(|file| load_plugin(file)).collect::<Result<_>>()?);
        }
        if list.plugins.is_empty() {
            return Err(list.without_plugins().context(file.display()));
        }
        Ok(list)
    }
}

/// The other networks of a folder.
#[derive(Default)]
struct Others {
    names: Vec<String>,
    /// The errors of unusable files.
    unusable: Vec<Error>,
}

impl Others {
    /// Skips an unusable file.
    ///
    /// # Errors
    ///
    /// Returns the error of the file if the file has or could have the wanted network.
    fn pass(&mut self, file: &Path, error: Error, wanted: &str) -> Result<()> {
        let Some(named) = read(file).ok().and_then(|bytes| named(&bytes)) else {
            return Err(error);
        };
        if named.is(wanted) {
            return Err(error);
        }
        self.unusable.push(error);
        Ok(())
    }

    fn are_none(&self) -> bool {
        self.names.is_empty() && self.unusable.is_empty()
    }

    /// Adds the existing networks and the unusable files to an error.
    fn beside(self, error: Error) -> Error {
        let unusable = self.unusable.iter().map(|error| format!("unusable file: {error}"));
        let there = match self.names.as_slice() {
            [] => None,
            names => Some(format!("existing networks: {}", names.join(", "))),
        };
        there.into_iter().chain(unusable).fold(error, |error, line| error.line(&line))
    }
}

fn load_plugin(file: &Path) -> Result<PluginConfig> {
    PluginConfig::parse(&read(file)?).context(|| file.display())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    file::read(path, json::MAX_BYTES as u64).context(|| format!("error reading {}", path.display()))
}

/// The files of a folder whose names have one of these suffixes, in the order of their names. Empty
/// if the folder does not exist.
fn files(dir: &Path, suffixes: &[&str]) -> Result<Vec<PathBuf>> {
    let doing = || format!("error reading the folder {}", dir.display());
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context(doing)?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.context(doing)?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        let path = entry.path();
        if suffixes.iter().any(|suffix| name.ends_with(suffix.as_bytes())) && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
