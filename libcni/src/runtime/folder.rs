//! Networks in a folder of files, such as `/etc/cni/net.d`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::conf::{NetworkList, PluginConf};
use crate::{Context, Error, Result};

impl NetworkList {
    /// Finds a network by name: in the `.conflist` files first, then in the `.conf` and `.json` files, each in the
    /// order of their names.
    ///
    /// Every file before the one looked for is read, and a malformed one ends the search: a mistake should be seen,
    /// not make another network of the same name appear.
    ///
    /// # Errors
    ///
    /// What is wrong with which file, or the names that are there if this one is not.
    pub fn find(dir: &Path, name: &str) -> Result<NetworkList> {
        let mut others = Vec::new();
        for file in files(dir, &[".conflist"])? {
            let list = NetworkList::load(&file)?;
            if &*list.name == name {
                return Ok(list);
            }
            others.push(list.name.to_string());
        }
        let singles = files(dir, &[".conf", ".json"])?;
        if others.is_empty() && singles.is_empty() {
            return Err(Error::config(format!("no net configurations found in {}", dir.display())));
        }
        for file in singles {
            let plugin = load_plugin(&file)?;
            if plugin.name.as_deref() == Some(name) {
                return plugin.into_list().context(|| file.display());
            }
            others.extend(plugin.name);
        }
        let missing = format!("no net configuration with name {name:?} in {}", dir.display());
        Err(Error::config(missing).details(format!("there is: {}", others.join(", "))))
    }

    /// Every network of a folder, in the order in which [`NetworkList::find`] looks at them, with its file. Of a file that
    /// cannot be used, the error. A folder that is not there has none.
    ///
    /// # Errors
    ///
    /// The folder cannot be read.
    pub fn all(dir: &Path) -> Result<Vec<(PathBuf, Result<NetworkList>)>> {
        let lists = files(dir, &[".conflist"])?.into_iter();
        let mut all: Vec<_> = lists.map(|file| (file.clone(), NetworkList::load(&file))).collect();
        for file in files(dir, &[".conf", ".json"])? {
            let list = match load_plugin(&file) {
                Ok(plugin) if plugin.name.is_none() => continue,
                plugin => plugin.and_then(|it| it.into_list().context(|| file.display())),
            };
            all.push((file, list));
        }
        Ok(all)
    }

    /// Reads a `.conflist` file and, unless it says `loadOnlyInlinedPlugins`, every `*.conf` file of the folder with
    /// the network's name beside it: those plugins come after the list's own.
    ///
    /// # Errors
    ///
    /// What is wrong with which file.
    pub fn load(file: &Path) -> Result<NetworkList> {
        let mut list = NetworkList::parse(&read(file)?).context(|| file.display())?;
        if !list.only_inlined {
            let beside = file.with_file_name(list.name.as_str());
            let plugins = files(&beside, &[".conf"])?;
            list.append(plugins.iter().map(|file| load_plugin(file)).collect::<Result<_>>()?);
        }
        if list.plugins.is_empty() {
            return Err(Error::config("no plugin configs found").context(file.display()));
        }
        Ok(list)
    }
}

fn load_plugin(file: &Path) -> Result<PluginConf> {
    PluginConf::parse(&read(file)?).context(|| file.display())
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).context(|| format!("error reading {}", file.display()))
}

/// The files of a folder whose names end like this, in the order of their names. A folder that is not there has none.
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
