//! host-local: assigns addresses from ranges, and records the reservations in files on the host.
//!
//! The plugin that connects the container calls it:
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
//! - **ADD** reserves an address from each range set: the first requested address in the set, else
//!   the next free address after the last assigned one, round robin, and never a gateway. So a
//!   released address stays unused for as long as possible. If one set fails, ADD reserves no
//!   address. A second ADD for the same interface of a container is an error. A full set is error
//!   11, "try again later", which states how many reservations look leaked.
//! - **CHECK** names the addresses of `prevResult` that lie in the ranges and are not reserved for
//!   this interface.
//! - **DEL** releases the addresses of the interface. It needs only the name, `dataDir` and the
//!   attachment: if the ranges have become invalid since ADD, no address leaks.
//! - **GC** releases the addresses in this network of interfaces that the runtime did not list.
//! - **STATUS** returns error 50 if the files cannot be written or `resolvConf` cannot be read, and
//!   with `statusWhenFull` `unavailable` also while a range set is full.
//! - **PLAN** returns the addresses that ADD would assign, and reserves nothing.
//! - **REPAIR** reserves addresses of `prevResult` again if their files are lost.
//!
//! Addresses are requested by `IP=` in `CNI_ARGS`, by `args.cni.ips`, and by the capability `ips`,
//! in this order.
//!
//! # Files
//!
//! The files are those of the reference plugin, so that each can replace the other under running
//! containers. `<dataDir>/<network>/` contains a file per reserved address with the container ID,
//! CR LF, and the interface name; `last_reserved_ip.0` for the first range set, `.1` for the
//! second, and so on; and `lock`, held by `flock(2)` during every change. Files with other names
//! are ignored. An empty address file comes from a killed plugin, and reserves nothing.
//!
//! An index in `<dataDir>/.index/<network>` saves calls from reading all files. It is a cache that
//! may be deleted at any time; the module `index` documents when it is valid.

mod choose;
mod config;
mod folder;
mod full;
mod holder;
mod index;
mod leaked;
mod lock;
mod look;
mod range;
mod resolv;
mod store;

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;

use ipnetwork::IpNetwork;
use libcni::{AddResult, Attachment, Call, Code, Error, Manual, Preview, Result, Route, Verbs, ip};
use serde::Deserialize;

use choose::Pool;
use full::WhenFull;
pub use holder::Holder;
pub use look::{PoolConf, Reserved, held, networks_in, stale};
pub use range::{Range, RangeSet};
use store::{Reservations, View};

/// The keys of a network configuration that host-local reads.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HostLocal {
    /// The addresses to assign.
    ipam: Option<Ipam>,
    /// Values that the runtime fills in for the capabilities `ipRanges` and `ips`.
    #[serde(default)]
    runtime_config: RuntimeConfig,
    /// Arguments by convention.
    #[serde(default)]
    args: Args,
    /// Values that the runtime may fill in. With `ipRanges`, STATUS does not need ranges.
    #[serde(default)]
    capabilities: BTreeMap<String, bool>,
}

/// The keys under `ipam`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Ipam {
    /// The subnet of a single range, such as 10.1.2.0/24. Short for a range set in `ranges`, and
    /// served before those.
    #[serde(default, deserialize_with = "config::optional_cidr")]
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "cidr")))]
    subnet: Option<IpNetwork>,
    /// With `subnet`: the first address to assign; by default the one after the network address.
    #[serde(default, deserialize_with = "ip::read_optional_address")]
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "ip")))]
    range_start: Option<IpAddr>,
    /// With `subnet`: the last address to assign; by default the last of the subnet except IPv4's
    /// broadcast address.
    #[serde(default, deserialize_with = "ip::read_optional_address")]
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "ip")))]
    range_end: Option<IpAddr>,
    /// With `subnet`: the gateway, which is never assigned; by default the address after the
    /// network address.
    #[serde(default, deserialize_with = "ip::read_optional_address")]
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "ip")))]
    gateway: Option<IpAddr>,
    /// Range sets. An attachment gets one address from each set; a set is a list of ranges of one
    /// family.
    #[serde(default)]
    ranges: Vec<Vec<RangeKeys>>,
    /// Routes for the container, copied unchanged into the result.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<crate::result_keys::RouteKeys>"))]
    routes: Vec<Route>,
    /// The absolute path of the directory for reservations; by default `/var/lib/cni/networks`.
    data_dir: Option<String>,
    /// A file in the format of resolv.conf(5), whose content becomes the result's `dns`; by default
    /// there is none.
    resolv_conf: Option<PathBuf>,
    /// The answer of STATUS while a range set is full: "available" (if not given), or
    /// "unavailable", error 50. With "unavailable", Kubernetes treats a full node as broken, and
    /// evicts its pods.
    #[serde(default)]
    #[cfg_attr(
        test,
        schemars(with = "Option<String>", extend("enum" = ["available", "unavailable", null]))
    )]
    status_when_full: serde_json::Value,
}

/// A range of addresses in a subnet.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct RangeKeys {
    /// The subnet, such as 10.1.2.0/24. Every address gets its prefix length.
    #[serde(deserialize_with = "ip::read_cidr")]
    #[cfg_attr(test, schemars(with = "String", extend("format" = "cidr")))]
    subnet: IpNetwork,
    /// The first address to assign; by default the one after the network address.
    #[serde(default, deserialize_with = "ip::read_optional_address")]
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "ip")))]
    range_start: Option<IpAddr>,
    /// The last address to assign; by default the last of the subnet except IPv4's broadcast
    /// address.
    #[serde(default, deserialize_with = "ip::read_optional_address")]
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "ip")))]
    range_end: Option<IpAddr>,
    /// The gateway, which is never assigned; by default the address after the network address.
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
    /// Addresses to assign if they are free, one from each range set. A prefix length is allowed
    /// and ignored.
    #[serde(deserialize_with = "config::requests")]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    ips: Vec<IpAddr>,
}

/// The keys under `args`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Args {
    /// The arguments for CNI plugins.
    cni: CniArgs,
}

/// The keys under `args.cni`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct CniArgs {
    /// Addresses to assign, as with `runtimeConfig.ips`.
    #[serde(deserialize_with = "config::requests")]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    ips: Vec<IpAddr>,
}

impl Verbs for HostLocal {
    const MANUAL: Manual = Manual::new(
        "host-local",
        env!("CARGO_PKG_VERSION"),
        "assigns addresses from ranges, and records them in files on the host",
        include_str!("host-local.schema.json"),
    )
    .of_suite("ferrocni")
    .standing_for(crate::REFERENCE);

    const NEEDED: &'static [&'static str] = &["ipam.dataDir"];

    fn add(&self, call: &Call) -> Result<AddResult> {
        let (owner, pool, mut result) = (call.attachment()?, self.pool(call)?, self.result()?);
        let mut reservations = self.open(call)?;
        let allocated = pool.allocate(&mut reservations, owner);
        drop(reservations);
        result.ips = allocated.map_err(|error| self.explain(call, &pool, error))?;
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
        let unavailable = |error: Error| error.with_code(Code::UNAVAILABLE);
        let dir = self.data_dir()?;
        store::writable(&dir, &call.network).map_err(unavailable)?;
        self.result().map_err(unavailable)?;
        if !self.has_ranges()? && self.capabilities.get("ipRanges") == Some(&true) {
            return Ok(());
        }
        let sets = self.sets(call)?;
        match self.when_full()? {
            WhenFull::Available => Ok(()),
            WhenFull::Unavailable => full::refuse(&dir, call, &sets).map_err(unavailable),
        }
    }

    fn preview(&self, call: &Call) -> Result<Preview> {
        let (owner, pool, mut result) = (call.attachment()?, self.pool(call)?, self.result()?);
        let chosen = View::peek(&self.data_dir()?, &call.network, |view| pool.choose(view, owner));
        result.ips = chosen.map_err(|error| self.explain(call, &pool, error))?;
        Ok(Preview::new(result))
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
        self.when_full()?;
        Ok(Pool { sets: self.sets(call)?, requested: self.requested(call)? })
    }

    /// The error of a failed ADD, explained if a set is full.
    fn explain(&self, call: &Call, pool: &Pool, error: Error) -> Error {
        match self.data_dir() {
            Ok(dir) => full::explain(&dir, &call.network, &pool.sets, error),
            Err(_) => error,
        }
    }

    /// The result without addresses.
    fn result(&self) -> Result<AddResult> {
        let ipam = self.ipam()?;
        let file = ipam.resolv_conf.as_deref().filter(|file| !file.as_os_str().is_empty());
        let dns = file.map(resolv::read).transpose()?.unwrap_or_default();
        Ok(AddResult::default().with_routes(ipam.routes.clone()).with_dns(dns))
    }

    fn open(&self, call: &Call) -> Result<Reservations> {
        Reservations::open(&self.data_dir()?, &call.network, call.deadline)
    }

    fn open_existing(&self, call: &Call) -> Result<Option<Reservations>> {
        Reservations::open_existing(&self.data_dir_left()?, &call.network, call.deadline)
    }
}

/// The addresses of `prevResult` that lie in the range sets.
fn previous<'a>(call: &'a Call, sets: &'a [RangeSet]) -> impl Iterator<Item = IpAddr> + 'a {
    let ips = call.prev.iter().flat_map(|prev| &prev.ips).map(|config| config.address.ip());
    ips.filter(|ip| sets.iter().any(|set| set.contains(*ip)))
}

/// Releases all reservations that it can, then returns the errors of the others.
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
mod model_tests;
#[cfg(test)]
mod tests;
