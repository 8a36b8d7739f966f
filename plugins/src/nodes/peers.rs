//! Reads the other nodes of a network and the addresses of their containers, and checks all that
//! needs no look at the host. `cnitool lint` uses the same code.

use std::fmt;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ipnetwork::{IpNetwork, Ipv4Network};
use libcni::text::excerpt;
use libcni::{Code, Context, Error, Result, file, ip, json};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The largest file of peers, in bytes: ten thousand nodes are about one megabyte.
const MAX_BYTES: u64 = 8 << 20;

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

/// The object form of a file of peers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Listed {
    peers: Option<Vec<Value>>,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its own address.
    pub node: Ipv4Addr,
    /// The addresses of its containers.
    pub cidrs: Vec<Ipv4Network>,
}

/// Every peer once, with the containers' addresses from the configuration and the file together.
///
/// # Errors
///
/// Returns an error if the list is wrong on any host.
pub fn all(entries: &[Value], file: Option<&PeersFile>, for_routes: bool) -> Result<Vec<Peer>> {
    let mut all = Vec::new();
    add(&mut all, entries, for_routes)?;
    if let Some(file) = file {
        file.add_to(&mut all, for_routes)
            .context(|| format!("peersFile {}", excerpt(&file.path)))?;
    }
    // Most lists are sorted already, and have each node once.
    all.sort_by_key(|peer| u32::from(peer.node));
    all.dedup_by(|again, peer| {
        let is_same = again.node == peer.node;
        if is_same {
            again.cidrs.retain(|cidr| !peer.cidrs.contains(cidr));
            peer.cidrs.append(&mut again.cidrs);
        }
        is_same
    });
    check_overlaps(&all)?;
    Ok(all)
}

/// The peers of a file alone, as [`all`]; empty without a path.
///
/// # Errors
///
/// The errors of [`all`], or that the file cannot be read.
pub fn of_file(path: Option<&str>, for_routes: bool) -> Result<Vec<Peer>> {
    let file = path.filter(|path| !path.is_empty()).map(PeersFile::open).transpose()?;
    all(&[], file.as_ref(), for_routes)
}

fn add(all: &mut Vec<Peer>, entries: &[Value], for_routes: bool) -> Result<()> {
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

fn read_node(text: &str) -> Result<Ipv4Addr> {
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

fn read_cidr(text: &str, node: Ipv4Addr) -> Result<Ipv4Network> {
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

/// A file of peers, as of the time when it was read.
#[derive(Debug)]
pub struct PeersFile {
    path: String,
    text: Vec<u8>,
    version: Version,
}

/// A version of a file: its identity, size and time of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version([i128; 7]);

impl Version {
    fn of(file: &Metadata) -> Version {
        Version([
            file.dev().into(),
            file.ino().into(),
            file.size().into(),
            file.mtime().into(),
            file.mtime_nsec().into(),
            file.ctime().into(),
            file.ctime_nsec().into(),
        ])
    }
}

impl PeersFile {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be read.
    pub fn open(path: &str) -> Result<PeersFile> {
        let shown = excerpt(path);
        let doing = || format!("peersFile {shown}: read peersFile {shown}");
        let path_of = Path::new(path);
        if !path_of.is_absolute() {
            return Err(Error::config(format!("peersFile {shown} is not an absolute path")));
        }
        let open = || -> std::io::Result<(Vec<u8>, Version)> {
            let file = file::open(path_of)?;
            // A write during the read makes it another version.
            let version = Version::of(&file.metadata()?);
            Ok((file::whole(file, MAX_BYTES)?, version))
        };
        let hint = |error: Error| {
            error.details(
                "The program that knows the nodes must write this file before the first ADD",
            )
        };
        match open() {
            Err(error) if error.kind() == ErrorKind::FileTooLarge => {
                Err(Error::new(Code::DECODE_FAILURE, format!("{}: {error}", doing())))
            }
            read => {
                let (text, version) = read.context(doing).map_err(hint)?;
                Ok(PeersFile { path: path.to_owned(), text, version })
            }
        }
    }

    /// Whether the file at the path is not the version that was read.
    pub fn has_changed(&self) -> bool {
        let now = std::fs::metadata(&self.path).ok();
        now.map(|file| Version::of(&file)) != Some(self.version)
    }

    fn add_to(&self, all: &mut Vec<Peer>, for_routes: bool) -> Result<()> {
        match Plain::list(&self.text) {
            Some(plain) => {
                let peers = plain.into_iter().map(|Plain { node, cidrs }| Peer { node, cidrs });
                all.extend(peers);
                Ok(())
            }
            None => add(all, &self.entries()?, for_routes),
        }
    }

    fn entries(&self) -> Result<Vec<Value>> {
        let doing = || format!("read peersFile {}", excerpt(&self.path));
        let value = json::value(&self.text).context(doing)?;
        if value.is_array() {
            return json::from_value(&value).context(doing);
        }
        let listed: Listed = json::from_value(&value).context(doing)?;
        listed.peers.ok_or_else(|| {
            Error::new(Code::DECODE_FAILURE, format!("{}: it has no list of peers", doing()))
                .details("write [{\"node\": \"192.0.2.1\", \"podCIDRs\": [\"10.1.2.0/24\"]}]")
        })
    }
}

/// An entry with exactly the documented keys and without a mistake, as programs write it. Thousands
/// of such entries are read without copying each word. [`read`] handles any other list, and names
/// the mistake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    #[serde(deserialize_with = "plain_node")]
    node: Ipv4Addr,
    #[serde(rename = "podCIDRs", deserialize_with = "plain_cidrs")]
    cidrs: Vec<Ipv4Network>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainObject {
    peers: Vec<Plain>,
}

fn plain_node<'de, D: Deserializer<'de>>(json: D) -> std::result::Result<Ipv4Addr, D::Error> {
    read_node(<&str>::deserialize(json)?).map_err(D::Error::custom)
}

fn plain_cidrs<'de, D: Deserializer<'de>>(
    json: D,
) -> std::result::Result<Vec<Ipv4Network>, D::Error> {
    struct Cidrs;

    impl<'de> Visitor<'de> for Cidrs {
        type Value = Vec<Ipv4Network>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of subnets")
        }

        fn visit_seq<A: SeqAccess<'de>>(
            self,
            mut texts: A,
        ) -> std::result::Result<Self::Value, A::Error> {
            // Most nodes have one podCIDR.
            let mut cidrs = Vec::with_capacity(1);
            while let Some(text) = texts.next_element::<&str>()? {
                // The node is only for the message, which comes from the other reader.
                let cidr = read_cidr(text, Ipv4Addr::UNSPECIFIED).map_err(A::Error::custom)?;
                if !cidrs.contains(&cidr) {
                    cidrs.push(cidr);
                }
            }
            Ok(cidrs)
        }
    }

    json.deserialize_seq(Cidrs)
}

impl Plain {
    fn list(text: &[u8]) -> Option<Vec<Plain>> {
        // UTF-8 is checked once here, and not word by word.
        let text = std::str::from_utf8(text).ok()?.trim_ascii_start();
        match text.as_bytes().first()? {
            b'[' => serde_json::from_str(text).ok(),
            _ => serde_json::from_str::<PlainObject>(text).ok().map(|list| list.peers),
        }
    }
}

/// Two subnets that overlap, each with its node. One contains the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap {
    /// The larger one.
    pub outer: (Ipv4Network, Ipv4Addr),
    /// The one inside it.
    pub inner: (Ipv4Network, Ipv4Addr),
}

/// Finds two nodes that claim the same containers.
pub fn overlap(peers: &[Peer]) -> Option<Overlap> {
    let mut all: Vec<(Ipv4Network, Ipv4Addr)> =
        peers.iter().flat_map(|peer| peer.cidrs.iter().map(|cidr| (*cidr, peer.node))).collect();
    // Most lists are sorted already, and integers compare faster than octets.
    all.sort_by_key(|(cidr, _)| (u32::from(cidr.network()), cidr.prefix()));
    // The subnets that contain the current one: of two that overlap, one contains the other.
    let mut around: Vec<(Ipv4Network, Ipv4Addr)> = Vec::new();
    for inner in all {
        around.retain(|(outer, _)| outer.contains(inner.0.network()));
        if let Some(outer) = around.iter().find(|(_, other)| *other != inner.1) {
            return Some(Overlap { outer: *outer, inner });
        }
        around.push(inner);
    }
    None
}

fn check_overlaps(peers: &[Peer]) -> Result<()> {
    let Some(Overlap { outer: (outer, other), inner: (cidr, node) }) = overlap(peers) else {
        return Ok(());
    };
    Err(Error::config(format!("podCIDR {cidr} of {node} overlaps with {outer} of {other}"))
        .details("a packet can go to one of them only: correct the list of peers"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entries(list: &[(&str, &[&str])]) -> Vec<Value> {
        list.iter().map(|(node, cidrs)| json!({ "node": node, "podCIDRs": cidrs })).collect()
    }

    fn refused(list: &[(&str, &[&str])]) -> String {
        all(&entries(list), None, true).unwrap_err().to_string()
    }

    #[test]
    fn a_file_is_read_alike_in_every_spelling() {
        let read = |text: &str| {
            let version = Version([0; 7]);
            let file = PeersFile { path: "/peers".to_owned(), text: text.into(), version };
            (all(&[], Some(&file), true), Plain::list(text.as_bytes()).is_some())
        };
        let plain = r#"[{"node": "192.0.2.1", "podCIDRs": ["10.1.1.0/24"]}]"#;
        let (wanted, is_plain) = read(plain);
        assert!(is_plain);
        for (text, plain) in [
            (format!("\n {{\"peers\": {plain}}} "), true),
            (plain.replace("podCIDRs", "podcidrs"), false),
            (plain.replace("/24\"", "/24\", \"10.1.1.9/24\""), true),
            (plain.replace("192", "\\u0031\\u0039\\u0032"), false),
            (plain.replace("}]", ", \"zone\": null}]"), false),
            (format!("{{\"PEERS\": {plain}, \"version\": 3}}"), false),
        ] {
            let (found, is_plain) = read(&text);
            assert_eq!((found.unwrap(), is_plain), (wanted.clone().unwrap(), plain), "{text}");
        }
        let (found, is_plain) = read(r#"[{"node": "192.0.2.1", "podCIDRs": ["10.1.1.0/99"]}]"#);
        assert!(!is_plain);
        let error = found.unwrap_err().to_string();
        assert!(error.contains("peersFile /peers: peers[0]: invalid podCIDR"), "{error}");
    }

    #[test]
    fn a_node_that_is_named_twice_is_one_peer() {
        let twice = entries(&[
            ("192.0.2.1", &["10.1.1.0/24"]),
            ("192.0.2.1", &["10.1.1.0/24", "10.1.2.7/24"]),
        ]);
        let cidrs = ["10.1.1.0/24", "10.1.2.0/24"].map(|cidr| cidr.parse().unwrap()).to_vec();
        let node = Ipv4Addr::new(192, 0, 2, 1);
        assert_eq!(all(&twice, None, true).unwrap(), [Peer { node, cidrs }]);
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
            ("192.0.2.1", "0.0.0.0/0", "every address"),
            ("192.0.2.1", "10.1.1.0", "invalid podCIDR"),
            ("192.0.2.1", "10.1.1.0/33", "invalid podCIDR"),
            ("192.0.2.1", "224.0.0.0/4", "reserved"),
            ("192.0.2.1", "239.1.0.0/16", "reserved"),
            ("192.0.2.1", "127.0.0.0/8", "reserved"),
            ("192.0.2.1", "0.1.0.0/16", "reserved"),
        ] {
            let said = refused(&[(node, &[cidr])]);
            assert!(said.contains(why), "{node} {cidr}: {said}");
        }
    }
}
