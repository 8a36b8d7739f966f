//! Reads one entry of a list of peers.

use std::net::{IpAddr, Ipv4Addr};

use ipnetwork::{IpNetwork, Ipv4Network};
use libcni::text::excerpt;
use libcni::{Code, Error, Result, ip, json};
use serde::Deserialize;
use serde_json::Value;

use super::Peer;

/// The keys of an entry.
const NODE: &str = "node";
const POD_CIDRS: &str = "podCIDRs";

/// A node of the cluster, as it was written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    node: String,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: Vec<String>,
}

/// Adds the entries of a list to the peers.
///
/// # Errors
///
/// The first error of [`read`], with the number of the entry.
pub(super) fn add(all: &mut Vec<Peer>, entries: &[Value], for_routes: bool) -> Result<()> {
    for (at, entry) in entries.iter().enumerate() {
        all.push(read(entry, for_routes).map_err(|error| {
            // The path of the key continues: peers[0].node.
            let dot = entry.is_object() && error.code == Code::DECODE_FAILURE;
            let between = if dot { "." } else { ": " };
            let msg = format!("peers[{at}]{between}{}", error.msg);
            error.with_msg(msg)
        })?);
    }
    Ok(())
}

/// Reads one entry of a list.
///
/// # Errors
///
/// Returns an error if it is not an entry, or lacks one of the two keys. If routes are made from
/// it, a node without containers needs an empty list of podCIDRs: otherwise a misspelt key would
/// remove routes.
pub fn read(entry: &Value, for_routes: bool) -> Result<Peer> {
    let as_written = "write it as {\"node\": \"192.0.2.1\", \"podCIDRs\": [\"10.1.2.0/24\"]}";
    let read: Entry = json::from_value(entry).map_err(|error| error.details(as_written))?;
    if !has(entry, NODE) {
        return Err(Error::config(format!("no \"{NODE}\"")).details(instead(entry, NODE)));
    }
    let node = read_node(&read.node)?;
    if for_routes && !has(entry, POD_CIDRS) {
        return Err(Error::config(format!("the peer {node} has no \"{POD_CIDRS}\""))
            .details(instead(entry, POD_CIDRS)));
    }
    Ok(Peer { node, cidrs: read_cidrs(&read.pod_cidrs, node)? })
}

pub(super) fn read_node(text: &str) -> Result<Ipv4Addr> {
    match ip::address(text) {
        Ok(IpAddr::V4(node)) if is_of_a_host(node) => Ok(node),
        Ok(IpAddr::V6(_)) => Err(no_ipv6(format!("node {text}"))),
        _ => Err(Error::config(format!("invalid node \"{}\"", excerpt(text)))
            .details("write the node's IPv4 address as 192.0.2.1")),
    }
}

fn read_cidrs(texts: &[impl AsRef<str>], node: Ipv4Addr) -> Result<Vec<Ipv4Network>> {
    let mut cidrs = Vec::with_capacity(texts.len());
    for text in texts {
        let cidr = read_cidr(text.as_ref(), node)?;
        if !cidrs.contains(&cidr) {
            cidrs.push(cidr);
        }
    }
    Ok(cidrs)
}

/// Whether an entry has a key, in any case. Go writes an empty list as `null`.
fn has(entry: &Value, key: &str) -> bool {
    let keys = entry.as_object().into_iter().flatten();
    keys.into_iter().any(|(found, _)| found.eq_ignore_ascii_case(key))
}

/// The hint for a missing key, which may be present but misspelt: `podCIDR`.
fn instead(entry: &Value, key: &str) -> String {
    let is_meant = |found: &&String| {
        let found = found.to_ascii_lowercase();
        let begins = |word: &str| found.starts_with(word.get(..3).unwrap_or(word));
        begins(key) || key == POD_CIDRS && found.contains("cidr")
    };
    let known =
        |found: &&String| [NODE, POD_CIDRS].iter().any(|key| found.eq_ignore_ascii_case(key));
    let mut keys = entry.as_object().into_iter().flatten().map(|(found, _)| found);
    match (keys.find(|found| is_meant(found) && !known(found)), key) {
        (Some(found), _) => format!("write \"{key}\" instead of \"{}\"", excerpt(found)),
        (None, POD_CIDRS) => {
            format!("add \"{POD_CIDRS}\": [\"10.1.2.0/24\"], or [] for a node without containers")
        }
        (None, _) => format!("add \"{key}\": \"192.0.2.1\""),
    }
}

pub(super) fn read_cidr(text: &str, node: Ipv4Addr) -> Result<Ipv4Network> {
    let wrong = |why: &str| {
        Err(Error::config(format!("invalid podCIDR \"{}\" of {node}{why}", excerpt(text)))
            .details("write it as 10.1.2.0/24"))
    };
    match ip::cidr(text) {
        Err(_) => wrong(""),
        Ok(IpNetwork::V6(_)) => Err(no_ipv6(format!("podCIDR {text} of {node}"))),
        Ok(IpNetwork::V4(cidr)) if cidr.prefix() == 0 => wrong(": it contains every address"),
        Ok(IpNetwork::V4(cidr)) if is_reserved(cidr) => wrong(": these addresses are reserved"),
        // Host bits are ignored.
        Ok(IpNetwork::V4(cidr)) => {
            Ipv4Network::new(cidr.network(), cidr.prefix()).or_else(|_| wrong(""))
        }
    }
}

/// Whether all addresses of a subnet are reserved for another use (RFC 1122 section 3.2.1.3).
fn is_reserved(cidr: Ipv4Network) -> bool {
    let first = cidr.network();
    let is_this_network = cidr.prefix() >= 8 && first.octets().first() == Some(&0);
    is_this_network || first.is_loopback() || first.is_multicast()
}

/// Whether a host could have this address.
pub fn is_of_a_host(address: Ipv4Addr) -> bool {
    !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && !address.is_broadcast()
}

/// The error of an IPv6 address or network.
pub fn no_ipv6(what: String) -> Error {
    Error::config(format!("{what}: the tunnel carries IPv4 only"))
        .details("IPv6 over sit or ip6tnl tunnels is not supported")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_has_both_keys() {
        for (entry, said, instead) in [
            (json!({ "node": "192.0.2.1" }), "has no \"podCIDRs\"", "[] for a node without"),
            (
                json!({ "node": "192.0.2.1", "podCidr": [], "name": "one" }),
                "has no \"podCIDRs\"",
                "write \"podCIDRs\" instead of \"podCidr\"",
            ),
            (json!({ "podCIDRs": [] }), "no \"node\"", "add \"node\""),
            (
                json!({ "nodeIP": "192.0.2.1", "PODCIDRS": [] }),
                "no \"node\"",
                "instead of \"nodeIP\"",
            ),
            (json!("192.0.2.1"), "invalid type", ""),
            (json!({ "node": 7, "podCIDRs": [] }), "node: invalid type", ""),
            (
                json!({ "node": "192.0.2.1", "podCIDRs": "10.1.1.0/24" }),
                "podCIDRs: invalid type",
                "",
            ),
        ] {
            let error = read(&entry, true).unwrap_err();
            assert!(error.msg.contains(said) && error.details.contains(instead), "{error}");
        }
        for entry in [
            json!({ "node": "192.0.2.1", "podCIDRs": [] }),
            json!({ "Node": "192.0.2.1", "podcidrs": null, "podCIDR": "10.1.1.0/24" }),
        ] {
            assert_eq!(read(&entry, true).unwrap().cidrs, []);
        }
        // Without routes, a misspelt key removes none.
        assert_eq!(read(&json!({ "node": "192.0.2.1" }), false).unwrap().cidrs, []);
    }
}
