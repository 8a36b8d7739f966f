//! A result, read strictly: what has another shape than the specification gives it is a failure.

use std::net::IpAddr;

use serde_json::Value;

use crate::address::Cidr;
use crate::requirement::{Stop, Verdict, failed};

/// An entry of `interfaces`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its hardware address, empty if it has none.
    pub mac: String,
    /// The container's namespace, empty for one of the host.
    pub sandbox: String,
}

/// An entry of `ips`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ip {
    /// `version`, as it is.
    pub version: Option<Value>,
    /// The address.
    pub address: Cidr,
    /// The gateway.
    pub gateway: Option<IpAddr>,
    /// The index into `interfaces`.
    pub interface: Option<usize>,
}

/// An entry of `routes`.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// The destination.
    pub dst: Cidr,
    /// The next hop.
    pub gw: Option<IpAddr>,
    /// All its keys.
    pub keys: Value,
}

/// `interfaces`.
///
/// # Errors
///
/// A failure, if they have another shape.
pub fn interfaces(result: &Value) -> Result<Vec<Interface>, Stop> {
    let of = |entry: &Value| {
        let name = text(entry, "name")?.filter(|name| !name.is_empty());
        Some(Interface {
            name: name?,
            mac: text(entry, "mac")?.unwrap_or_default(),
            sandbox: text(entry, "sandbox")?.unwrap_or_default(),
        })
    };
    let shape = "`name`, and where there are such `mac` and `sandbox`, as strings";
    list(result, "interfaces", shape, of)
}

/// `ips`.
///
/// # Errors
///
/// A failure, if they have another shape.
pub fn ips(result: &Value) -> Result<Vec<Ip>, Stop> {
    let of = |entry: &Value| {
        let gateway = text(entry, "gateway")?.filter(|gateway| !gateway.is_empty());
        let interface = match entry.get("interface") {
            None | Some(Value::Null) => None,
            Some(index) => Some(usize::try_from(index.as_u64()?).ok()?),
        };
        Some(Ip {
            version: entry.get("version").cloned(),
            address: text(entry, "address")??.parse().ok()?,
            gateway: gateway.map(|gateway| gateway.parse()).transpose().ok()?,
            interface,
        })
    };
    let shape = "`address` in CIDR notation, `gateway` an address, `interface` a number from 0 on";
    list(result, "ips", shape, of)
}

/// `routes`.
///
/// # Errors
///
/// A failure, if they have another shape.
pub fn routes(result: &Value) -> Result<Vec<Route>, Stop> {
    let of = |entry: &Value| {
        let gw = text(entry, "gw")?.filter(|gw| !gw.is_empty());
        Some(Route {
            dst: text(entry, "dst")??.parse().ok()?,
            gw: gw.map(|gw| gw.parse()).transpose().ok()?,
            keys: entry.clone(),
        })
    };
    list(result, "routes", "`dst` in CIDR notation, and `gw` an address", of)
}

/// `dns`: whether it has the right shape.
///
/// # Errors
///
/// A failure, if not.
pub fn dns(result: &Value) -> Verdict {
    let Some(dns) = result.get("dns").filter(|dns| !dns.is_null()) else { return Ok(()) };
    let strings = |key: &str| match dns.get(key) {
        None | Some(Value::Null) => true,
        Some(list) => list.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
    };
    let right = dns.is_object()
        && ["nameservers", "search", "options"].into_iter().all(strings)
        && text(dns, "domain").is_some();
    let expected =
        "`dns` with lists of strings `nameservers`, `search`, `options` and a string `domain`";
    if right { Ok(()) } else { Err(failed("ADD", expected, result)) }
}

/// A string, or none; nothing at all if it is something else.
#[allow(clippy::option_option, reason = "not there and of the wrong type are two things")]
fn text(entry: &Value, key: &str) -> Option<Option<String>> {
    match entry.get(key) {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(text)) => Some(Some(text.clone())),
        Some(_) => None,
    }
}

fn list<T>(
    result: &Value,
    key: &str,
    shape: &str,
    of: impl Fn(&Value) -> Option<T>,
) -> Result<Vec<T>, Stop> {
    let wrong = || failed("ADD", format!("`{key}` as a list of objects with {shape}"), result);
    match result.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(entries) => {
            let entries = entries.as_array().ok_or_else(wrong)?;
            entries.iter().map(|entry| of(entry).ok_or_else(wrong)).collect()
        }
    }
}

/// The keys that came with version 1.1.0, as `(path, value)`.
pub fn new_keys(result: &Value) -> Vec<(String, &Value)> {
    let of = |list: &'static str, keys: &'static [&'static str]| {
        let entries = result.get(list).and_then(Value::as_array).into_iter().flatten();
        entries.enumerate().flat_map(move |(at, entry)| {
            keys.iter().filter_map(move |key| {
                let value = entry.get(*key).filter(|value| !value.is_null())?;
                Some((format!("{list}[{at}].{key}"), value))
            })
        })
    };
    of("interfaces", &["mtu", "socketPath", "pciID"])
        .chain(of("routes", &["mtu", "advmss", "priority", "table", "scope"]))
        .collect()
}
