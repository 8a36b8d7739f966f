//! Networks in a folder of files, such as `/etc/cni/net.d`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::config::{NetworkConfig, PluginConfig};
use super::named::named;
use crate::{Context, Error, Result, file, json};

impl NetworkConfig {
    /// Finds a network by name: in the `.conflist` files first, then in the `.conf` and `.json`
    /// files, each in the order of their names.
    ///
    /// Every file before the one looked for is read. One that is not JSON ends the search, as in
    /// the reference: it could be the one, and a mistake should be seen, not make another network
    /// of the same name appear. One that cannot be used for another reason, and says another name,
    /// does not.
    ///
    /// # Errors
    ///
    /// What is wrong with which file, or the names that are there if this one is not.
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

    /// Every network of a folder, in the order in which [`NetworkConfig::find`] looks at them, with
    /// its file. Of a file that cannot be used, the error. A folder that is not there has none.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
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

    /// Reads a `.conflist` file and, unless it says `loadOnlyInlinedPlugins`, every `*.conf` file
    /// of the folder with the network's name beside it: those plugins come after the list's own.
    ///
    /// # Errors
    ///
    /// What is wrong with which file.
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

/// The networks of a folder that are not the one looked for.
#[derive(Default)]
struct Others {
    names: Vec<String>,
    /// Why files cannot be used.
    unusable: Vec<Error>,
}

impl Others {
    /// Goes on behind a file that cannot be used.
    ///
    /// # Errors
    ///
    /// The file's own, if it has the network that is looked for, or could have it.
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

    /// The error with what there is instead.
    fn beside(self, error: Error) -> Error {
        let unusable =
            self.unusable.iter().map(|error| format!("a file that cannot be used: {error}"));
        let there = match self.names.as_slice() {
            [] => None,
            names => Some(format!("there is: {}", names.join(", "))),
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

/// The files of a folder whose names end like this, in the order of their names. A folder that is
/// not there has none.
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
