//! A strict parser for results: every deviation from the format of the specification is a failure.

use std::net::IpAddr;

use serde_json::Value;

use crate::address::Cidr;
use crate::verdict::{NotPassed, TestResult, failed};

/// An entry of `interfaces`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The name.
    pub name: String,
    /// The hardware address; empty if there is none.
    pub mac: String,
    /// The container's namespace; empty for an interface of the host.
    pub sandbox: String,
}

/// An entry of `ips`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ip {
    /// `version`, not interpreted.
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
    /// All keys.
    pub keys: Value,
}

/// `interfaces`.
///
/// # Errors
///
/// A failure, if the format is wrong.
pub fn interfaces(result: &Value) -> Result<Vec<Interface>, NotPassed> {
    let of = |entry: &Value| {
        let name = text(entry, "name")?.filter(|name| !name.is_empty());
        Some(Interface {
            name: name?,
            mac: text(entry, "mac")?.unwrap_or_default(),
            sandbox: text(entry, "sandbox")?.unwrap_or_default(),
        })
    };
    let shape = "`name` and, if present, `mac` and `sandbox` as strings";
    list(result, "interfaces", shape, of)
}

/// `ips`.
///
/// # Errors
///
/// A failure, if the format is wrong.
pub fn ips(result: &Value) -> Result<Vec<Ip>, NotPassed> {
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
/// A failure, if the format is wrong.
pub fn routes(result: &Value) -> Result<Vec<Route>, NotPassed> {
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

/// Checks the format of `dns`.
///
/// # Errors
///
/// A failure, if it is wrong.
pub fn dns(result: &Value) -> TestResult {
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

/// A string, or an empty one if it is missing; [`None`] for any other type.
#[allow(clippy::option_option, reason = "a missing and a wrong type are two things")]
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
) -> Result<Vec<T>, NotPassed> {
    let wrong = || failed("ADD", format!("`{key}` as a list of objects with {shape}"), result);
    match result.get(key) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(entries) => {
            let entries = entries.as_array().ok_or_else(wrong)?;
            entries.iter().map(|entry| of(entry).ok_or_else(wrong)).collect()
        }
    }
}

/// The keys that version 1.1.0 added, as `(path, value)`.
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
