//! The links of a namespace, with the properties that results contain.

use serde_json::Value;
use testbed::Pod;

use crate::address::Cidr;

/// A link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The name.
    pub name: String,
    /// The hardware address.
    pub mac: String,
    /// The IP addresses.
    pub addresses: Vec<Cidr>,
}

/// The links of a namespace.
pub fn links(pod: &Pod) -> Vec<Link> {
    let listed: Value = serde_json::from_str(&pod.run(&["ip", "-j", "addr"])).unwrap_or_default();
    let text = |value: &Value, key: &str| {
        value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let of = |link: &Value| {
        let addresses = link.get("addr_info").and_then(Value::as_array).into_iter().flatten();
        let cidr = |found: &Value| {
            let prefix = found.get("prefixlen")?.as_u64().and_then(|prefix| prefix.try_into().ok());
            Some(Cidr { ip: text(found, "local").parse().ok()?, prefix: prefix? })
        };
        Link {
            name: text(link, "ifname"),
            mac: text(link, "address"),
            addresses: addresses.filter_map(cidr).collect(),
        }
    };
    let links = listed.as_array().into_iter().flatten();
    links.filter(|link| link.get("ifname").is_some()).map(of).collect()
}

/// The names of links.
pub fn names(pod: &Pod) -> Vec<String> {
    links(pod).into_iter().map(|link| link.name).collect()
}
