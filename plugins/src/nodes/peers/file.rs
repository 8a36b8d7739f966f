//! Reads a file of peers, whose lists may have thousands of entries.

use std::fmt;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ipnetwork::Ipv4Network;
use libcni::text::excerpt;
use libcni::{Code, Context, Error, Result, file, json};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{Peer, entry};

/// The largest file of peers, in bytes: ten thousand nodes are about one megabyte.
const MAX_BYTES: u64 = 8 << 20;

/// The object form of a file of peers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Listed {
    peers: Option<Vec<Value>>,
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

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn add_to(&self, all: &mut Vec<Peer>, for_routes: bool) -> Result<()> {
        match Plain::list(&self.text) {
            Some(plain) => {
                let peers = plain.into_iter().map(|Plain { node, cidrs }| Peer { node, cidrs });
                all.extend(peers);
                Ok(())
            }
            None => entry::add(all, &self.entries()?, for_routes),
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
/// of such entries are read without copying each word. [`entry::read`] handles any other list, and names
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
    entry::read_node(<&str>::deserialize(json)?).map_err(D::Error::custom)
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
                let cidr =
                    entry::read_cidr(text, Ipv4Addr::UNSPECIFIED).map_err(A::Error::custom)?;
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

#[cfg(test)]
mod tests {
    use super::super::all;
    use super::*;

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
}
