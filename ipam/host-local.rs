//! host-local: hands out addresses of ranges, and keeps track of them in files of this host.
//!
//! Another plugin calls it, the one that is to give a container an address:
//!
//! ```json
//! {
//!   "cniVersion": "1.1.0",
//!   "name": "pods",
//!   "type": "bridge",
//!   "ipam": {
//!     "type": "host-local",
//!     "ranges": [
//!       [{ "subnet": "10.1.2.0/24", "rangeStart": "10.1.2.10" }],
//!       [{ "subnet": "2001:db8:1::/64" }]
//!     ],
//!     "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]
//!   }
//! }
//! ```
//!
//! # What it does
//!
//! - **ADD** takes an address of each range set: the first requested one that lies in the set, else the next free one
//!   behind the one last handed out, round and round, never a gateway. So an address that is given back rests for as
//!   long as possible. All are reserved or, on any failure, none. A second ADD for the same interface of a container
//!   is an error. A set with nothing left is error 11, "try again later".
//! - **CHECK** names the addresses of `prevResult` that lie in the ranges and are not reserved for this interface.
//! - **DEL** gives back what the interface holds. It needs the name, `dataDir` and the attachment, no more: ranges that
//!   stopped making sense since ADD cost no address.
//! - **GC** gives back what is held in this network by interfaces that the runtime did not list.
//! - **STATUS** is error 50 when a range set has nothing left or the files cannot be written.
//! - **PLAN** says what ADD would hand out, and reserves nothing.
//! - **REPAIR** reserves the addresses of `prevResult` again whose files are lost.
//!
//! Addresses are requested by `IP=` in `CNI_ARGS`, by `args.cni.ips`, and by the capability `ips`, in this order.
//!
//! # Files
//!
//! Those of the reference plugin, so that each can take over from the other under running containers. In
//! `<dataDir>/<network>/`: a file per reserved address with the container ID, CR LF, and the interface name;
//! `last_reserved_ip.0` for the first range set, `.1` for the second, and so on; and `lock`, held by `flock(2)` during every
//! change. Files of other names are left alone. An empty address file was left by a killed plugin: it reserves nothing.
//!
//! So that no call has to read all of them, an index of them is beside, in `<dataDir>/.index/<network>`. It is a cache that may
//! be deleted at any time; the module `index` says when it is believed.

#[path = "host-local/choose.rs"]
mod choose;
#[path = "host-local/config.rs"]
mod config;
#[path = "host-local/folder.rs"]
mod folder;
#[path = "host-local/holder.rs"]
mod holder;
#[path = "host-local/index.rs"]
mod index;
#[path = "host-local/lock.rs"]
mod lock;
#[path = "host-local/look.rs"]
mod look;
#[path = "host-local/range.rs"]
mod range;
#[path = "host-local/resolv.rs"]
mod resolv;
#[path = "host-local/store.rs"]
mod store;

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;

use ipnetwork::IpNetwork;
use libcni::{AddResult, Attachment, Call, Error, Manual, Preview, Result, Route, Verbs, code, ip};
use serde::Deserialize;

use choose::Pool;
pub use holder::Holder;
pub use look::{PoolConf, Reserved, networks_in};
pub use range::{Range, RangeSet};
use store::{Reservations, View};

/// The keys of a network configuration that host-local looks at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HostLocal {
    /// What to hand out.
    ipam: Option<Ipam>,
    /// What the runtime fills in for the capabilities `ipRanges` and `ips`.
    #[serde(default)]
    runtime_config: RuntimeConfig,
    /// Arguments by convention.
    #[serde(default)]
    args: Args,
    /// What the runtime may fill in. With `ipRanges`, STATUS does without ranges.
    #[serde(default)]
    capabilities: BTreeMap<String, bool>,
}

/// The keys under `ipam`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Ipam {
    /// The subnet of the only range, as in 10.1.2.0/24. Short for a range set in `ranges`, and served before those.
    #[serde(default, deserialize_with = "config::optional_cidr")]
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "cidr")))]
    subnet: Option<IpNetwork>,
    /// With `subnet`: the first address to hand out; by default the one behind the network address.
    #[serde(default, deserialize_with = "ip::read_optional_address")]
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "ip")))]
    range_start: Option<IpAddr>,
    /// With `subnet`: the last address to hand out; by default the last of the subnet, IPv4's broadcast address excepted.
    #[serde(default, deserialize_with = "ip::read_optional_address")]
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "ip")))]
    range_end: Option<IpAddr>,
    /// With `subnet`: the gateway, never handed out; by default the address behind the network address.
    #[serde(default, deserialize_with = "ip::read_optional_address")]
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "ip")))]
    gateway: Option<IpAddr>,
    /// Range sets. An attachment gets one address of each set, and a set is a list of ranges of one family.
    #[serde(default)]
    ranges: Vec<Vec<RangeKeys>>,
    /// Routes for the container, put into the result as they are.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<tests::RouteKeys>"))]
    routes: Vec<Route>,
    /// The folder to keep reservations in, an absolute path; by default `/var/lib/cni/networks`.
    data_dir: Option<String>,
    /// A file in the format of resolv.conf(5), whose content becomes the result's `dns`; by default there is none.
    resolv_conf: Option<PathBuf>,
}

/// A range of addresses of a subnet.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct RangeKeys {
    /// The subnet, as in 10.1.2.0/24. Its prefix length goes with every address.
    #[serde(deserialize_with = "ip::read_cidr")]
    #[cfg_attr(test, schemars(with = "String", extend("format" = "cidr")))]
    subnet: IpNetwork,
    /// The first address to hand out; by default the one behind the network address.
    #[serde(default, deserialize_with = "ip::read_optional_address")]
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "ip")))]
    range_start: Option<IpAddr>,
    /// The last address to hand out; by default the last of the subnet, IPv4's broadcast address excepted.
    #[serde(default, deserialize_with = "ip::read_optional_address")]
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "ip")))]
    range_end: Option<IpAddr>,
    /// The gateway, never handed out; by default the address behind the network address.
    #[serde(default, deserialize_with = "ip::read_optional_address")]
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "ip")))]
    gateway: Option<IpAddr>,
}

/// The keys under `runtimeConfig`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct RuntimeConfig {
    /// Range sets that are served before those of `ipam`.
    ip_ranges: Vec<Vec<RangeKeys>>,
    /// Addresses to hand out if they are free, one of each range set. A prefix length is allowed and says nothing.
    #[serde(deserialize_with = "config::requests")]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    ips: Vec<IpAddr>,
}

/// The keys under `args`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Args {
    /// Those for CNI plugins.
    cni: CniArgs,
}

/// The keys under `args.cni`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct CniArgs {
    /// Addresses to hand out, as with `runtimeConfig.ips`.
    #[serde(deserialize_with = "config::requests")]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    ips: Vec<IpAddr>,
}

impl Verbs for HostLocal {
    const MANUAL: Manual = Manual::new(
        "host-local",
        "hands out addresses of ranges, and keeps track of them in files of this host",
        include_str!("host-local.schema.json"),
    );

    fn add(&self, call: &Call) -> Result<AddResult> {
        let (owner, pool, mut result) = (call.attachment()?, self.pool(call)?, self.result()?);
        let mut reservations = self.open(call)?;
        result.ips = pool.allocate(&mut reservations, owner)?;
        Ok(result)
    }

    fn check(&self, call: &Call) -> Result<()> {
        let (owner, sets) = (call.attachment()?, self.sets(call)?);
        View::peek(&self.data_dir()?, &call.network, |view| {
            let lost = Error::internal(format!(
                "host-local: Failed to find address added by container {}",
                owner.container
            ));
            let previous: Vec<IpAddr> = previous(call, &sets).collect();
            let is_theirs = |ip| view.holder(ip).is_some_and(|holder| holder.is(owner));
            let mut missing = previous.clone();
            missing.retain(|ip| !is_theirs(*ip));
            if missing.len() == previous.len() && view.of_owner(owner).is_empty() {
                return Err(lost);
            }
            let missing: Vec<String> = missing.iter().map(|ip| view.explain(*ip)).collect();
            if missing.is_empty() { Ok(()) } else { Err(lost.details(missing.join("; "))) }
        })
    }

    fn del(&self, call: &Call) -> Result<()> {
        let owner = call.attachment()?;
        let Some(mut reservations) = self.open_existing(call)? else { return Ok(()) };
        let held = reservations.ask(|view| Ok(view.held_by(owner)))?;
        release(&mut reservations, held)
    }

    fn gc(&self, call: &Call) -> Result<()> {
        let Some(mut reservations) = self.open_existing(call)? else { return Ok(()) };
        let valid: HashSet<&Attachment> = call.valid.iter().collect();
        let containers: HashSet<_> = call.valid.iter().map(|it| &it.container).collect();
        let is_stale = |holder: &Holder| match holder {
            Holder::Attachment(it) => !valid.contains(it),
            Holder::Container(id) => !containers.contains(id),
            Holder::Other => false,
            Holder::Nobody => true,
        };
        let stale = reservations.review(is_stale)?;
        release(&mut reservations, stale)
    }

    fn status(&self, call: &Call) -> Result<()> {
        let unavailable = |error: Error| Error { code: code::UNAVAILABLE, ..error };
        let dir = self.data_dir()?;
        store::writable(&dir, &call.network).map_err(unavailable)?;
        if !self.has_ranges()? && self.capabilities.get("ipRanges") == Some(&true) {
            return Ok(());
        }
        let sets = self.sets(call)?;
        let full = |view: &View| {
            let mut full = sets.iter().enumerate();
            Ok(full.find(|(_, set)| view.next_free(set, None).is_none()))
        };
        match View::peek(&dir, &call.network, full).map_err(unavailable)? {
            None => Ok(()),
            Some((index, set)) => {
                let size = set.size();
                let (network, folder) = (&call.network, dir.join(call.network.as_str()));
                let msg = format!(
                    "network {network}, range set {index} ({set}): all {size} addresses are taken"
                );
                Err(Error::new(code::UNAVAILABLE, msg).details(format!(
                    "a container has to leave, or the set needs another range; {} says who holds them",
                    folder.display()
                )))
            }
        }
    }

    fn preview(&self, call: &Call) -> Result<Preview> {
        let (owner, pool, mut result) = (call.attachment()?, self.pool(call)?, self.result()?);
        result.ips = View::peek(&self.data_dir()?, &call.network, |view| pool.choose(view, owner))?;
        Ok(Preview { plan: serde_json::Value::Null, result })
    }

    fn repair(&self, call: &Call) -> Result<Vec<String>> {
        let (owner, sets) = (call.attachment()?, self.sets(call)?);
        if call.prev.is_none() {
            return Err(Error::config("Required prevResult missing"));
        }
        let mut reservations = self.open(call)?;
        let (mut done, mut held) = (Vec::new(), Vec::new());
        for ip in previous(call, &sets) {
            if reservations.holder(ip).is_some_and(|holder| holder.is(owner)) {
                continue;
            }
            match reservations.reserve(ip, owner)? {
                true => done.push(format!("reserved {ip}")),
                false => held.push(reservations.explain(ip)),
            }
        }
        if held.is_empty() { Ok(done) } else { Err(Error::internal(held.join("; "))) }
    }
}

impl HostLocal {
    fn pool(&self, call: &Call) -> Result<Pool> {
        Ok(Pool { sets: self.sets(call)?, requested: self.requested(call)? })
    }

    /// The result without addresses.
    fn result(&self) -> Result<AddResult> {
        let ipam = self.ipam()?;
        let file = ipam.resolv_conf.as_deref().filter(|file| !file.as_os_str().is_empty());
        let dns = file.map(resolv::read).transpose()?.unwrap_or_default();
        Ok(AddResult { routes: ipam.routes.clone(), dns, ..AddResult::default() })
    }

    fn open(&self, call: &Call) -> Result<Reservations> {
        Reservations::open(&self.data_dir()?, &call.network, call.deadline)
    }

    fn open_existing(&self, call: &Call) -> Result<Option<Reservations>> {
        Reservations::open_existing(&self.data_dir()?, &call.network, call.deadline)
    }
}

/// The addresses of `prevResult` that are ours to keep.
fn previous<'a>(call: &'a Call, sets: &'a [RangeSet]) -> impl Iterator<Item = IpAddr> + 'a {
    let ips = call.prev.iter().flat_map(|prev| &prev.ips).map(|config| config.address.ip());
    ips.filter(|ip| sets.iter().any(|set| set.contains(*ip)))
}

/// Releases all it can, and then says what it could not.
fn release(reservations: &mut Reservations, held: Vec<(IpAddr, Holder)>) -> Result<()> {
    let released = held.iter().map(|(ip, holder)| reservations.release_from(*ip, holder));
    let errors: Vec<Error> = released.filter_map(Result::err).collect();
    match errors.first() {
        None => Ok(()),
        Some(first) => {
            let all: Vec<String> = errors.iter().map(Error::to_string).collect();
            Err(Error::new(first.code, all.join(";")))
        }
    }
}

#[cfg(test)]
#[path = "host-local/model_tests.rs"]
mod model_tests;
#[cfg(test)]
#[path = "host-local/tests.rs"]
mod tests;
