//! Pools from outside, for who wants to see what is taken and by whom: nothing is locked, changed or made.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use libcni::{Context, NetworkName, Result, json};
use serde_json::Value;

use crate::host_local::HostLocal;
use crate::host_local::folder::Folder;
use crate::host_local::holder::Holder;
use crate::host_local::range::RangeSet;

/// What the configuration of a plugin says of the addresses that host-local hands out for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolConf {
    /// The folder that has a folder for each network.
    pub data_dir: PathBuf,
    /// The range sets, in the order that the numbers of `last_reserved_ip` count. None if the runtime says them.
    pub sets: Vec<RangeSet>,
}

impl PoolConf {
    /// Where reservations are kept if no configuration says otherwise.
    pub const DATA_DIR: &str = super::config::DATA_DIR;

    /// Reads the configuration of a plugin, with `runtimeConfig` in it if there is one. None if its addresses are not
    /// host-local's.
    ///
    /// # Errors
    ///
    /// What host-local would refuse.
    pub fn of(config: &Value) -> Result<Option<PoolConf>> {
        let kind = json::get(config, "ipam").and_then(|ipam| json::get(ipam, "type"));
        if kind.and_then(Value::as_str) != Some("host-local") {
            return Ok(None);
        }
        let config: HostLocal = json::from_value(config)?;
        let sets = if config.has_ranges()? { config.range_sets()? } else { Vec::new() };
        Ok(Some(PoolConf { data_dir: config.data_dir()?, sets }))
    }
}

/// The networks that have a folder in a `dataDir`, in the order of their names. A `dataDir` that is not there has none.
///
/// # Errors
///
/// It cannot be read.
pub fn networks_in(data_dir: &Path) -> Result<Vec<NetworkName>> {
    let reading = || format!("read the folder {}", data_dir.display());
    let entries = match fs::read_dir(data_dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context(reading)?,
    };
    let mut networks = Vec::new();
    for entry in entries {
        let entry = entry.context(reading)?;
        // What is hidden is the index; no network's name starts with a dot.
        let name = entry.file_name().into_string().ok().and_then(|it| NetworkName::new(it).ok());
        networks.extend(name.filter(|_| entry.path().is_dir()));
    }
    networks.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    Ok(networks)
}

/// What is reserved in a network, as it was when its folder was read. Others may have changed it since.
#[derive(Debug)]
pub struct Reserved {
    folder: Folder,
    /// Every address that has a file, with its holder, in the order of the addresses. An error says why a file cannot be
    /// read.
    pub addresses: Vec<(IpAddr, io::Result<Holder>)>,
}

impl Reserved {
    /// Reads the folder of a network; none if it has none.
    ///
    /// # Errors
    ///
    /// It cannot be listed.
    pub fn read(data_dir: &Path, network: &NetworkName) -> Result<Option<Reserved>> {
        let path = data_dir.join(network.as_str());
        let reading = || format!("read the folder {}", path.display());
        let folder = match Folder::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            folder => folder.context(reading)?,
        };
        let mut addresses = Vec::new();
        folder.visit(|ip, holder| addresses.push((ip, holder))).context(reading)?;
        addresses.sort_by_key(|(ip, _)| *ip);
        Ok(Some(Reserved { folder, addresses }))
    }

    /// The network's folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The address that was last handed out of a range set.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn last(&self, set: usize) -> Result<Option<IpAddr>> {
        self.folder.last(set)
    }

    /// When an address was reserved; none if it is free by now.
    pub fn since(&self, ip: IpAddr) -> Option<SystemTime> {
        self.folder.written(ip).ok()
    }
}

#[cfg(test)]
#[path = "look_tests.rs"]
mod tests;
