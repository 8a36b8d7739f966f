//! Converts the keys of the configuration to range sets and requested addresses.

use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

use ipnetwork::IpNetwork;
use libcni::{Call, Code, Context, Error, Result, Version, ip, text};
use serde::{Deserialize, Deserializer, de};

use crate::host_local::range::{Range, RangeSet};
use crate::host_local::{HostLocal, Ipam, RangeKeys};

/// The default of `dataDir`, where reservations are kept.
pub const DATA_DIR: &str = "/var/lib/cni/networks";

impl HostLocal {
    /// The required key `ipam`.
    pub(crate) fn ipam(&self) -> Result<&Ipam> {
        self.ipam.as_ref().ok_or_else(|| Error::config("IPAM config missing 'ipam' key"))
    }

    /// The directory that contains a directory for each network.
    pub fn data_dir(&self) -> Result<PathBuf> {
        data_dir(self.ipam()?.data_dir.as_deref())
    }

    /// The same for DEL and GC, which need no other key.
    pub fn data_dir_left(&self) -> Result<PathBuf> {
        data_dir(self.ipam.as_ref().and_then(|ipam| ipam.data_dir.as_deref()))
    }

    /// The checked range sets in the order they are served: those of the runtime, the one of
    /// `subnet`, those of `ranges`.
    pub fn sets(&self, call: &Call) -> Result<Vec<RangeSet>> {
        let sets = self.range_sets()?;
        let of_v4 = sets.iter().filter(|set| set.is_ipv4()).count();
        if call.version < Version::new(0, 3, 0) && (of_v4 > 1 || sets.len() - of_v4 > 1) {
            let msg = "does not support more than 1 address per family";
            return Err(Error::config(format!("CNI version {} {msg}", call.version)));
        }
        Ok(sets)
    }

    /// As [`HostLocal::sets`], for any version.
    pub fn range_sets(&self) -> Result<Vec<RangeSet>> {
        let ipam = self.ipam()?;
        let simple = ipam.simple_range().map(|range| vec![range]);
        let keys = self.runtime_config.ip_ranges.iter().chain(&simple).chain(&ipam.ranges);
        let sets = keys.enumerate().map(|(index, keys)| set(index, keys));
        let sets: Vec<RangeSet> = sets.collect::<Result<_>>()?;
        if sets.is_empty() {
            return Err(Error::config("no IP ranges specified"));
        }
        for (index, set) in sets.iter().enumerate() {
            let mut later = sets.iter().enumerate().skip(index + 1);
            if let Some((other, _)) = later.find(|(_, other)| set.overlaps(other)) {
                return Err(Error::config(format!("range set {index} overlaps with {other}")));
            }
        }
        Ok(sets)
    }

    /// Whether there are any range sets.
    pub fn has_ranges(&self) -> Result<bool> {
        let ipam = self.ipam()?;
        let lists = [&self.runtime_config.ip_ranges, &ipam.ranges];
        Ok(ipam.subnet.is_some() || lists.iter().any(|list| !list.is_empty()))
    }

    /// The requested addresses in the given order, each once.
    pub fn requested(&self, call: &Call) -> Result<Vec<IpAddr>> {
        let mut requested: Vec<IpAddr> = Vec::new();
        let by_args = address_of_args(call)?;
        for ip in by_args.iter().chain(&self.args.cni.ips).chain(&self.runtime_config.ips) {
            if !requested.contains(ip) {
                requested.push(*ip);
            }
        }
        Ok(requested)
    }
}

/// The directory that `dataDir` names.
pub fn data_dir(given: Option<&str>) -> Result<PathBuf> {
    let dir = Path::new(given.filter(|dir| !dir.is_empty()).unwrap_or(DATA_DIR));
    let climbs = dir.components().any(|part| part == Component::ParentDir);
    if !dir.is_absolute() || climbs {
        return Err(Error::config("dataDir has to be an absolute path without ..")
            .details(text::excerpt(&dir.display().to_string())));
    }
    Ok(dir.to_owned())
}

impl Ipam {
    /// The range that `subnet` and the keys beside it describe.
    fn simple_range(&self) -> Option<RangeKeys> {
        self.subnet.map(|subnet| RangeKeys {
            subnet,
            range_start: self.range_start,
            range_end: self.range_end,
            gateway: self.gateway,
        })
    }
}

fn set(index: usize, keys: &[RangeKeys]) -> Result<RangeSet> {
    let ranges: Result<Vec<Range>> = keys.iter().map(Range::new).collect();
    ranges.and_then(RangeSet::new).context(|| format!("invalid range set {index}"))
}

/// `IP` of `CNI_ARGS`.
fn address_of_args(call: &Call) -> Result<Option<IpAddr>> {
    call.known_args("host-local", &["IP"])?;
    let parse = |text: &str| {
        request(text).map_err(|error| {
            let msg = format!("ARGS: error parsing value of pair \"IP={text}\": {}", error.msg);
            Error::new(Code::INVALID_ENVIRONMENT, msg)
        })
    };
    call.arg("IP").map(parse).transpose()
}

/// A network such as 10.1.2.0/24, or `None`.
pub fn optional_cidr<'de, D: Deserializer<'de>>(from: D) -> Result<Option<IpNetwork>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    text.map(|text| ip::cidr(&text).map_err(de::Error::custom)).transpose()
}

/// Requested addresses, with or without a prefix length, which is ignored.
pub fn requests<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpAddr>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| request(text).map_err(de::Error::custom)).collect()
}

fn request(text: &str) -> Result<IpAddr> {
    match text.contains('/') {
        true => ip::cidr(text).map(|cidr| cidr.ip()),
        false => ip::address(text),
    }
    .map_err(|error| error.with_msg(format!("invalid IP address {text}")))
}

#[cfg(test)]
mod tests;
