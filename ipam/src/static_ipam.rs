//! static: assigns the addresses that the configuration or the runtime names, and keeps no records.
//!
//! The plugin that connects the container calls it:
//!
//! ```json
//! {
//!   "cniVersion": "1.1.0",
//!   "name": "pods",
//!   "type": "bridge",
//!   "ipam": {
//!     "type": "static",
//!     "addresses": [
//!       { "address": "10.1.2.5/24", "gateway": "10.1.2.1" },
//!       { "address": "2001:db8:1::5/64", "gateway": "2001:db8:1::1" }
//!     ],
//!     "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }],
//!     "dns": { "nameservers": ["10.1.2.1"] }
//!   }
//! }
//! ```
//!
//! # What it does
//!
//! - **ADD** returns the addresses, routes and name servers. It does not know whether another
//!   container has an address already.
//! - **CHECK** names the addresses of `prevResult` that have another gateway than configured.
//! - **STATUS** checks the configuration, **PLAN** returns the result of ADD.
//! - **DEL** and **GC** have nothing to remove, and need no valid configuration.
//!
//! Four sources name addresses. `runtimeConfig.ips` (the capability `ips`) replaces all others,
//! and `args.cni.ips` replaces the remaining two. Otherwise the addresses are those of
//! `ipam.addresses`, followed by those of `IP=` in `CNI_ARGS`, to which `GATEWAY=` adds gateways.

use std::net::IpAddr;

use libcni::{
    AddResult, Call, Code, Dns, Error, IpConfig, Manual, Preview, Result, Route, Verbs, Version,
    ip, text,
};
use serde::Deserialize;

/// The keys of a network configuration that static reads.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Static {
    /// The addresses, routes and name servers.
    ipam: Option<Ipam>,
    /// Values that the runtime fills in for the capability `ips`.
    #[serde(default)]
    runtime_config: Ips,
    /// Arguments by convention.
    #[serde(default)]
    args: Args,
}

/// The keys under `ipam`.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Ipam {
    /// The addresses of the container's interface.
    #[serde(default)]
    addresses: Vec<Address>,
    /// Routes for the container, copied unchanged into the result.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Vec<crate::result_keys::RouteKeys>"))]
    routes: Vec<Route>,
    /// Name resolution, copied unchanged into the result.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "crate::result_keys::DnsKeys"))]
    dns: Dns,
}

/// An address of the container's interface.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Address {
    /// The address with its prefix length, such as 10.1.2.5/24.
    #[cfg_attr(test, schemars(extend("format" = "cidr")))]
    address: String,
    /// The gateway, of the same family; by default there is none.
    #[serde(default, deserialize_with = "ip::read_optional_address")]
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "ip")))]
    gateway: Option<IpAddr>,
}

/// The keys under `args`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Args {
    /// The arguments for CNI plugins.
    cni: Ips,
}

/// A list of addresses that replaces those of the configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Ips {
    /// Addresses with prefix lengths, without gateways. They replace those of the configuration.
    ips: Vec<String>,
}

impl Verbs for Static {
    const MANUAL: Manual = Manual::new(
        "static",
        env!("CARGO_PKG_VERSION"),
        "assigns the addresses that the configuration or the runtime names",
        include_str!("static.schema.json"),
    )
    .of_suite("ferrocni")
    .standing_for(crate::REFERENCE);

    fn add(&self, call: &Call) -> Result<AddResult> {
        let Ipam { routes, dns, .. } = self.ipam()?;
        let ips = self.addresses(call)?;
        Ok(AddResult::new(vec![], ips).with_routes(routes.clone()).with_dns(dns.clone()))
    }

    fn check(&self, call: &Call) -> Result<()> {
        let configured = self.addresses(call)?;
        let previous =
            call.prev.as_ref().ok_or_else(|| Error::config("Required prevResult missing"))?;
        let other_gateway = |ip: &IpConfig| {
            let found = previous.ips.iter().find(|it| it.address == ip.address)?;
            let is_other = ip.gateway.is_some() && found.gateway != ip.gateway;
            is_other.then(|| format!("{} has {}", ip.address, gateway_of(found)))
        };
        let differences: Vec<String> = configured.iter().filter_map(other_gateway).collect();
        match differences.as_slice() {
            [] => Ok(()),
            _ => Err(Error::internal(format!(
                "static: Failed to match addr of the configuration: {}",
                differences.join("; ")
            ))),
        }
    }

    fn del(&self, _call: &Call) -> Result<()> {
        Ok(())
    }

    fn status(&self, call: &Call) -> Result<()> {
        self.addresses(call).map(drop).map_err(|error| error.with_code(Code::UNAVAILABLE))
    }

    fn preview(&self, call: &Call) -> Result<Preview> {
        self.add(call).map(Preview::new)
    }
}

impl Static {
    fn ipam(&self) -> Result<&Ipam> {
        self.ipam.as_ref().ok_or_else(|| Error::config("IPAM config missing 'ipam' key"))
    }

    /// The addresses of the source that wins.
    fn addresses(&self, call: &Call) -> Result<Vec<IpConfig>> {
        let configured = self.ipam()?.addresses.iter().map(Address::parse);
        let mut ips: Vec<IpConfig> = configured.collect::<Result<_>>()?;
        for ip in requested(call)? {
            if !ips.iter().any(|known| known.address == ip.address) {
                ips.push(ip);
            }
        }
        for list in [&self.args.cni.ips, &self.runtime_config.ips] {
            if !list.is_empty() {
                ips = list
                    .iter()
                    .map(|text| parse(text, "an entry in the 'ips' field is NOT"))
                    .collect::<Result<_>>()?;
            }
        }
        let of_v4 = ips.iter().filter(|ip| ip.address.is_ipv4()).count();
        if call.version < Version::new(0, 3, 0) && (of_v4 > 1 || ips.len() - of_v4 > 1) {
            let msg = "does not support more than 1 address per family";
            return Err(Error::config(format!("CNI version {} {msg}", call.version)));
        }
        Ok(ips)
    }
}

impl Address {
    fn parse(&self) -> Result<IpConfig> {
        let mut config = parse(&self.address, "the 'address' field is expected to be")?;
        config.gateway = self.gateway;
        match self.gateway {
            Some(gateway) if gateway.is_ipv4() != config.address.is_ipv4() => Err(Error::config(
                format!("the gateway {gateway} is of another family than {}", config.address),
            )
            .details("Write a gateway of the same family, or none.")),
            _ => Ok(config),
        }
    }
}

/// An address with a prefix length. The host's bits are kept.
fn parse(given: &str, expected: &str) -> Result<IpConfig> {
    let address = ip::cidr(given).map_err(|_| {
        let given = text::excerpt(given);
        Error::config(format!("{expected} in CIDR notation, got: '{given}'"))
            .details("Write an address with its prefix length, such as 10.1.2.5/24.")
    })?;
    Ok(IpConfig { address, gateway: None, interface: None })
}

/// The addresses of `IP` in `CNI_ARGS`, with the gateways of `GATEWAY` that are in their subnets.
fn requested(call: &Call) -> Result<Vec<IpConfig>> {
    call.known_args("static", &["IP", "GATEWAY"])?;
    let words = |key| call.arg(key).into_iter().flat_map(|list| list.split(',')).map(str::trim);
    let wrong = |error: Error| error.with_code(Code::INVALID_ENVIRONMENT);
    let ips = words("IP").map(|word| parse(word, "the 'ip' field is expected to be"));
    let mut ips: Vec<IpConfig> = ips.collect::<Result<_>>().map_err(wrong)?;
    for word in words("GATEWAY") {
        let gateway = ip::address(word).map_err(|_| {
            wrong(Error::config(format!("invalid gateway address: {}", text::excerpt(word))))
        })?;
        ips.iter_mut()
            .filter(|ip| ip.address.contains(gateway))
            .for_each(|ip| ip.gateway = Some(gateway));
    }
    Ok(ips)
}

fn gateway_of(ip: &IpConfig) -> String {
    ip.gateway.map_or("no gateway".to_owned(), |gateway| format!("the gateway {gateway}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_is_true() {
        testbed::assert_manual(
            include_str!("static_ipam.rs"),
            &schemars::schema_for!(Static).to_value(),
            Static::MANUAL.schema,
            concat!(env!("CARGO_MANIFEST_DIR"), "/src/static.schema.json"),
        );
    }
}
