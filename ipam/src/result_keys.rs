//! The schemas of keys that plugins copy into the result.

/// A route of the result.
#[derive(schemars::JsonSchema)]
#[expect(dead_code, reason = "only its schema is of interest")]
pub struct RouteKeys {
    /// The destination, such as 10.9.0.0/16.
    #[schemars(extend("format" = "cidr"))]
    dst: String,
    /// The next hop; by default the gateway of the range.
    #[schemars(extend("format" = "ip"))]
    gw: Option<String>,
    /// The largest packet on this route, in bytes; 0 leaves it to the link.
    #[schemars(default)]
    mtu: u32,
    /// The TCP segment size to announce, in bytes; 0 leaves it to the kernel.
    #[schemars(default)]
    advmss: u32,
    /// The metric; 0 leaves it to the kernel.
    #[schemars(default)]
    priority: u32,
    /// The routing table; by default the main one.
    table: Option<u32>,
    /// The scope: 0 global, 253 link, 254 host.
    scope: Option<u8>,
}

/// Name resolution, in the terms of resolv.conf(5).
#[derive(schemars::JsonSchema)]
#[expect(dead_code, reason = "only its schema is of interest")]
pub struct DnsKeys {
    /// Name servers, in the order they are asked.
    #[schemars(default)]
    nameservers: Vec<String>,
    /// The local domain.
    domain: Option<String>,
    /// Domains to search, in order.
    #[schemars(default)]
    search: Vec<String>,
    /// Options of the resolver.
    #[schemars(default)]
    options: Vec<String>,
}
