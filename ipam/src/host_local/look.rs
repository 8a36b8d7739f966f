//! Read-only access to pools for other programs: it takes no lock, and changes and creates nothing.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use libcni::{Attachment, Call, Context, NetworkName, Result, json};
use serde_json::Value;

use crate::host_local::HostLocal;
use crate::host_local::config::data_dir;
use crate::host_local::folder::Folder;
use crate::host_local::holder::Holder;
use crate::host_local::range::RangeSet;
use crate::host_local::store::View;

/// The part of a plugin's configuration from which host-local assigns addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolConf {
    /// The directory that contains a directory for each network.
    pub data_dir: PathBuf,
    /// The range sets, in the order of the numbers of `last_reserved_ip`. Empty if the runtime
    /// provides them.
    pub sets: Vec<RangeSet>,
}

impl PoolConf {
    /// The default of `dataDir`.
    pub const DATA_DIR: &str = super::config::DATA_DIR;

    /// Reads the configuration of a plugin, including `runtimeConfig`. `None` if the plugin does
    /// not use host-local.
    ///
    /// # Errors
    ///
    /// The errors of host-local.
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

/// The addresses that are reserved for the attachment of a call; `None` if they cannot be read. It
/// takes no lock, and its time does not grow with the number of reservations.
pub fn held(call: &Call) -> Option<Vec<IpAddr>> {
    let owner = call.attachment.as_ref()?;
    let dir = data_dir_of(&call.config)?;
    View::peek(&dir, &call.network, |view| Ok(view.of_owner(owner))).ok()
}

/// The addresses in a call's network that are reserved for attachments not in [`Call::valid`]: GC
/// will release them. Empty if they cannot be read.
pub fn stale(call: &Call) -> Vec<(IpAddr, Attachment)> {
    let dir = data_dir_of(&call.config);
    let reserved = dir.and_then(|dir| Reserved::read(&dir, &call.network).ok().flatten());
    let valid: HashSet<&Attachment> = call.valid.iter().collect();
    let addresses = reserved.map(|reserved| reserved.addresses).unwrap_or_default();
    let stale = addresses.into_iter().filter_map(|(ip, holder)| match holder {
        Ok(Holder::Attachment(owner)) if !valid.contains(&owner) => Some((ip, owner)),
        _ => None,
    });
    stale.collect()
}

/// The `dataDir` of a configuration, whatever its other keys are; `None` if it is not a usable
/// path.
fn data_dir_of(config: &Value) -> Option<PathBuf> {
    let given = json::get(config, "ipam").and_then(|ipam| json::get(ipam, "dataDir"));
    match given {
        None => data_dir(None).ok(),
        Some(given) => data_dir(Some(given.as_str()?)).ok(),
    }
}

/// The networks with a directory in a `dataDir`, sorted by name. A missing `dataDir` has none.
///
/// # Errors
///
/// Returns an error if it cannot be read.
pub fn networks_in(data_dir: &Path) -> Result<Vec<NetworkName>> {
    let reading = || format!("read the folder {}", data_dir.display());
    let entries = match fs::read_dir(data_dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.context(reading)?,
    };
    let mut networks = Vec::new();
    for entry in entries {
        let entry = entry.context(reading)?;
        // The hidden entry is the index; no network name starts with a dot.
        let name = entry.file_name().into_string().ok().and_then(|it| NetworkName::new(it).ok());
        networks.extend(name.filter(|_| entry.path().is_dir()));
    }
    networks.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    Ok(networks)
}

/// The reservations of a network at the time when its directory was read. They may have changed
/// since.
#[derive(Debug)]
pub struct Reserved {
    folder: Folder,
    /// Every address with a file, with its holder, sorted by address. An error is the reason why a
    /// file cannot be read.
    pub addresses: Vec<(IpAddr, io::Result<Holder>)>,
}

impl Reserved {
    /// Reads the directory of a network; `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be listed.
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

    /// The network's directory.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The last address assigned from a range set.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read.
    pub fn last(&self, set: usize) -> Result<Option<IpAddr>> {
        self.folder.last(set)
    }

    /// The time when an address was reserved; `None` if it is free by now.
    pub fn since(&self, ip: IpAddr) -> Option<SystemTime> {
        self.folder.written(ip).ok()
    }
}

#[cfg(test)]
mod tests;
