//! What ADD prints: the result of an attachment, in the newest version's shape.
//!
//! Inside a plugin a result always has the shape of [`Version::CURRENT`](crate::Version::CURRENT);
//! [`AddResult::from_json`] and [`AddResult::to_json`] convert at the border.

mod shape;

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use crate::ip;

/// The success result of ADD (spec 1.1.0, "ADD Success"), also a chained plugin's `prevResult`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AddResult {
    /// What the attachment made or uses, in the order that `ips[].interface` counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<Interface>,
    /// The addresses the container got.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<IpConfig>,
    /// The routes the container got.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// Name resolution for the container; the runtime applies it.
    #[serde(skip_serializing_if = "Dns::is_empty")]
    pub dns: Dns,
}

impl AddResult {
    /// A result with these interfaces and addresses, without routes and name resolution.
    pub fn new(interfaces: Vec<Interface>, ips: Vec<IpConfig>) -> AddResult {
        AddResult { interfaces, ips, ..AddResult::default() }
    }

    /// Replaces the routes.
    #[must_use]
    pub fn with_routes(mut self, routes: Vec<Route>) -> AddResult {
        self.routes = routes;
        self
    }

    /// Replaces the name resolution.
    #[must_use]
    pub fn with_dns(mut self, dns: Dns) -> AddResult {
        self.dns = dns;
        self
    }
}

/// A link that exists because of the attachment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// The link's name in its namespace.
    pub name: String,
    /// The link's hardware address; empty if it has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// The largest packet the link carries, in bytes; 0 if not said.
    #[serde(skip_serializing_if = "is_zero")]
    pub mtu: u32,
    /// The path of the network namespace the link is in; empty means the host's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sandbox: String,
    /// The socket file of a virtio-user device, if that is what the link is.
    #[serde(rename = "socketPath", skip_serializing_if = "String::is_empty")]
    pub socket_path: String,
    /// The PCI address of the device behind the link.
    #[serde(rename = "pciID", skip_serializing_if = "String::is_empty")]
    pub pci_id: String,
}

/// An address of the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpConfig {
    /// The address with the prefix length of its subnet; host bits are kept.
    #[serde(deserialize_with = "ip::read_cidr")]
    pub address: IpNetwork,
    /// The gateway of that subnet.
    #[serde(default, deserialize_with = "ip::read_optional_address")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// The index in [`AddResult::interfaces`] of the link that has the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<usize>,
}

/// A route of the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where the route leads.
    #[serde(deserialize_with = "ip::read_cidr")]
    pub dst: IpNetwork,
    /// The next hop; without one, the gateway of the address of the same family, if there is one.
    #[serde(default, deserialize_with = "ip::read_optional_address")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gw: Option<IpAddr>,
    /// The largest packet on this route, in bytes; 0 leaves it to the link.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mtu: u32,
    /// The TCP segment size to announce, in bytes; 0 leaves it to the kernel.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub advmss: u32,
    /// The metric; 0 leaves it to the kernel.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: u32,
    /// The routing table; none means the main one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// The scope (0 global, 253 link, 254 host; `ip-route(8)`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u8>,
}

impl Route {
    /// A route to `dst` through `gw`, everything else left to the kernel.
    pub fn new(dst: IpNetwork, gw: Option<IpAddr>) -> Route {
        Route { dst, gw, mtu: 0, advmss: 0, priority: 0, table: None, scope: None }
    }
}

/// Name resolution, in the terms of `resolv.conf(5)`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// Name servers, in the order they are asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// The local domain.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Domains to search, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Options of the resolver.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl Dns {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Dns::default()
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests;
