//! The other nodes and the addresses of their containers: read, and checked as far as that needs no look at the host.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use ipnetwork::{IpNetwork, Ipv4Network};
use libcni::{Context, Error, Result, code, ip, json};
use serde::Deserialize;
use serde_json::Value;

/// The largest file of peers, in bytes: ten thousand nodes are about one megabyte.
const MAX_BYTES: u64 = 8 << 20;

/// A node of the cluster, as somebody wrote it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Entry {
    /// The node's own address, to which the tunnel's packets go.
    #[cfg_attr(test, schemars(extend("format" = "ipv4")))]
    pub node: String,
    /// The addresses of the containers on it.
    #[serde(rename = "podCIDRs")]
    #[cfg_attr(test, schemars(extend("items" = { "type": "string", "format": "ipv4-cidr" })))]
    pub pod_cidrs: Vec<String>,
}

/// The other shape of a file of peers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Listed {
    peers: Option<Vec<Entry>>,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    pub node: Ipv4Addr,
    pub cidrs: Vec<Ipv4Network>,
}

/// Every peer once, with the containers' addresses that the configuration and the file say together.
///
/// # Errors
///
/// What cannot be, whatever this host is like.
pub fn all(entries: &[Entry], file: Option<&str>) -> Result<Vec<Peer>> {
    let mut all: BTreeMap<Ipv4Addr, Vec<Ipv4Network>> = BTreeMap::new();
    let mut add = |entries: &[Entry]| {
        for (at, entry) in entries.iter().enumerate() {
            let peer = entry.read().context(|| format!("peers[{at}]"))?;
            let cidrs = all.entry(peer.node).or_default();
            for cidr in peer.cidrs {
                if !cidrs.contains(&cidr) {
                    cidrs.push(cidr);
                }
            }
        }
        Ok(())
    };
    add(entries)?;
    if let Some(file) = file.filter(|file| !file.is_empty()) {
        add(&read_file(file)?).context(|| format!("peersFile {file}"))?;
    }
    let peers: Vec<Peer> = all.into_iter().map(|(node, cidrs)| Peer { node, cidrs }).collect();
    check_overlaps(&peers)?;
    Ok(peers)
}

impl Entry {
    fn read(&self) -> Result<Peer> {
        let node = match ip::address(&self.node) {
            Ok(IpAddr::V4(node)) if is_of_a_host(node) => node,
            Ok(IpAddr::V6(_)) => return Err(no_ipv6(format!("node {}", self.node))),
            _ => {
                return Err(Error::config(format!("invalid node \"{}\"", self.node))
                    .details("write the node's IPv4 address as 192.0.2.1"));
            }
        };
        let cidrs: Result<Vec<Ipv4Network>> =
            self.pod_cidrs.iter().map(|text| read_cidr(text, node)).collect();
        Ok(Peer { node, cidrs: cidrs? })
    }
}

fn read_cidr(text: &str, node: Ipv4Addr) -> Result<Ipv4Network> {
    let wrong = |why: &str| {
        Err(Error::config(format!("invalid podCIDR \"{text}\" of {node}{why}"))
            .details("write it as 10.1.2.0/24"))
    };
    match ip::cidr(text) {
        Err(_) => wrong(""),
        Ok(IpNetwork::V6(_)) => Err(no_ipv6(format!("podCIDR {text} of {node}"))),
        Ok(IpNetwork::V4(cidr)) if cidr.prefix() == 0 => wrong(": it is everywhere"),
        Ok(IpNetwork::V4(cidr)) if is_nobodys(cidr) => wrong(": these are nobody's addresses"),
        // What is written with the bits of a host is the subnet all the same.
        Ok(IpNetwork::V4(cidr)) => {
            Ipv4Network::new(cidr.network(), cidr.prefix()).or_else(|_| wrong(""))
        }
    }
}

/// Whether all addresses of a subnet have another use (RFC 1122 section 3.2.1.3).
fn is_nobodys(cidr: Ipv4Network) -> bool {
    let first = cidr.network();
    let is_this_network = cidr.prefix() >= 8 && first.octets().first() == Some(&0);
    is_this_network || first.is_loopback() || first.is_multicast()
}

/// Whether a machine could have an address.
pub fn is_of_a_host(address: Ipv4Addr) -> bool {
    !address.is_unspecified()
        && !address.is_loopback()
        && !address.is_multicast()
        && !address.is_broadcast()
}

/// Why something of the other family is refused.
pub fn no_ipv6(what: String) -> Error {
    Error::config(format!("{what}: the tunnel carries IPv4 only"))
        .details("IPv6 over sit or ip6tnl tunnels is not supported")
}

fn read_file(path: &str) -> Result<Vec<Entry>> {
    let doing = || format!("read peersFile {path}");
    let path_of = Path::new(path);
    if !path_of.is_absolute() {
        return Err(Error::config(format!("peersFile {path} is not an absolute path")));
    }
    let hint = |error: Error| {
        error.details("whoever knows the nodes writes this file, before the first ADD")
    };
    let kind = fs::metadata(path_of).context(doing).map_err(hint)?;
    if !kind.is_file() {
        return Err(Error::new(code::IO_FAILURE, format!("{}: it is no file", doing())));
    }
    let mut text = String::new();
    let open = File::open(path_of).context(doing).map_err(hint)?;
    open.take(MAX_BYTES + 1).read_to_string(&mut text).context(doing)?;
    if text.len() as u64 > MAX_BYTES {
        let msg = format!("{}: it is larger than {MAX_BYTES} bytes", doing());
        return Err(Error::new(code::DECODE_FAILURE, msg));
    }
    let value: Value = serde_json::from_str(&text)
        .map_err(|error| Error::new(code::DECODE_FAILURE, format!("{}: {error}", doing())))?;
    if value.is_array() {
        return json::from_value(&value).context(doing);
    }
    let listed: Listed = json::from_value(&value).context(doing)?;
    listed.peers.ok_or_else(|| {
        Error::new(code::DECODE_FAILURE, format!("{}: it has no list of peers", doing()))
            .details("write [{\"node\": \"192.0.2.1\", \"podCIDRs\": [\"10.1.2.0/24\"]}]")
    })
}

/// Two nodes cannot have the same containers.
fn check_overlaps(peers: &[Peer]) -> Result<()> {
    let mut all: Vec<(Ipv4Network, Ipv4Addr)> =
        peers.iter().flat_map(|peer| peer.cidrs.iter().map(|cidr| (*cidr, peer.node))).collect();
    all.sort_by_key(|(cidr, _)| (cidr.network(), cidr.prefix()));
    // The subnets around the one that is looked at: of two that overlap, one is around the other.
    let mut around: Vec<(Ipv4Network, Ipv4Addr)> = Vec::new();
    for (cidr, node) in all {
        around.retain(|(outer, _)| outer.contains(cidr.network()));
        if let Some((outer, other)) = around.iter().find(|(_, other)| *other != node) {
            return Err(Error::config(format!(
                "podCIDR {cidr} of {node} overlaps with {outer} of {other}"
            ))
            .details("a packet can go to one of them only: correct the list of peers"));
        }
        around.push((cidr, node));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(list: &[(&str, &[&str])]) -> Vec<Entry> {
        let entry = |(node, cidrs): &(&str, &[&str])| Entry {
            node: (*node).to_owned(),
            pod_cidrs: cidrs.iter().map(|cidr| (*cidr).to_owned()).collect(),
        };
        list.iter().map(entry).collect()
    }

    fn refused(list: &[(&str, &[&str])]) -> String {
        all(&entries(list), None).unwrap_err().to_string()
    }

    #[test]
    fn a_node_that_is_named_twice_is_one_peer() {
        let twice = entries(&[
            ("192.0.2.1", &["10.1.1.0/24"]),
            ("192.0.2.1", &["10.1.1.0/24", "10.1.2.7/24"]),
        ]);
        let cidrs = ["10.1.1.0/24", "10.1.2.0/24"].map(|cidr| cidr.parse().unwrap()).to_vec();
        let node = Ipv4Addr::new(192, 0, 2, 1);
        assert_eq!(all(&twice, None).unwrap(), [Peer { node, cidrs }]);
    }

    #[test]
    fn overlaps_are_found_wherever_they_are_in_the_list() {
        let said = refused(&[
            ("192.0.2.1", &["10.1.0.0/16", "10.1.7.0/24"]),
            ("192.0.2.2", &["10.2.0.0/24", "10.0.0.0/24"]),
            ("192.0.2.3", &["10.1.200.0/24"]),
        ]);
        assert!(said.contains("10.1.200.0/24 of 192.0.2.3 overlaps with 10.1.0.0/16 of 192.0.2.1"));
        assert!(
            refused(&[("192.0.2.1", &["10.1.0.0/24"]), ("192.0.2.2", &["10.1.0.0/24"])])
                .contains("overlaps")
        );
    }

    #[test]
    fn what_no_node_or_container_can_have_is_refused() {
        for (node, cidr, why) in [
            ("", "10.1.1.0/24", "invalid node"),
            ("nonsense", "10.1.1.0/24", "invalid node"),
            ("127.0.0.1", "10.1.1.0/24", "invalid node"),
            ("224.0.0.1", "10.1.1.0/24", "invalid node"),
            ("0.0.0.0", "10.1.1.0/24", "invalid node"),
            ("fd00::1", "10.1.1.0/24", "IPv4 only"),
            ("192.0.2.1", "fd00::/64", "IPv4 only"),
            ("192.0.2.1", "0.0.0.0/0", "everywhere"),
            ("192.0.2.1", "10.1.1.0", "invalid podCIDR"),
            ("192.0.2.1", "10.1.1.0/33", "invalid podCIDR"),
            ("192.0.2.1", "224.0.0.0/4", "nobody's"),
            ("192.0.2.1", "239.1.0.0/16", "nobody's"),
            ("192.0.2.1", "127.0.0.0/8", "nobody's"),
            ("192.0.2.1", "0.1.0.0/16", "nobody's"),
        ] {
            let said = refused(&[(node, &[cidr])]);
            assert!(said.contains(why), "{node} {cidr}: {said}");
        }
    }
}
