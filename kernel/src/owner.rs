//! The owner of a kernel object, and the names that derive from it.
//!
//! Nothing about an attachment is random: the name of the host's end of its veth pair, its MAC
//! addresses and the comments on its rules all derive from (network, container, interface). So DEL
//! and GC need no record of what ADD did.

use std::fmt::{self, Write as _};
use std::net::Ipv6Addr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The attachment that owns an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The network's name.
    pub network: String,
    /// The container's ID.
    pub container: String,
    /// The interface's name inside the container.
    pub ifname: String,
}

/// The prefix of a [tag](Owner::tag), so that a person recognises the owner.
const MARK: &str = "ferrocni:";
/// The maximum length of a tag, which must fit into an nf_tables comment (128 bytes with the final
/// zero byte); link aliases may have 255.
const TAG_MAX: usize = 127;
/// The prefix of the names of shims.
pub(crate) const SHIM_PREFIX: &str = "shim-";

impl Owner {
    /// The text that marks an object as this attachment's: `ferrocni:NETWORK/CONTAINER/IFNAME`.
    ///
    /// It is used in link aliases and rule comments. If it would be too long, a digest stands for
    /// the container (`~` and 32 hex digits), and if necessary for the network too.
    pub fn tag(&self) -> String {
        let plain = format!("{MARK}{}/{}/{}", self.network, self.container, self.ifname);
        if plain.len() <= TAG_MAX {
            return plain;
        }
        let container = shorten(&self.container);
        let short = format!("{MARK}{}/{container}/{}", self.network, self.ifname);
        if short.len() <= TAG_MAX {
            return short;
        }
        format!("{MARK}{}/{container}/{}", shorten(&self.network), self.ifname)
    }

    /// The text that marks objects which a network has on the host for all its attachments:
    /// `ferrocni:NETWORK`, which is not the [tag](Owner::tag) of any attachment.
    pub fn network_tag(network: &str) -> String {
        let plain = format!("{MARK}{network}");
        if plain.len() <= TAG_MAX { plain } else { format!("{MARK}{}", shorten(network)) }
    }

    /// Whether `tag` marks an attachment of the network `network`.
    pub fn tag_is_of_network(tag: &str, network: &str) -> bool {
        tag.strip_prefix(MARK)
            .and_then(|rest| rest.split_once('/'))
            .is_some_and(|(of, _)| of == network || of == shorten(network))
    }

    /// The names in a [tag](Owner::tag) of an attachment, as written there: a digest may stand for
    /// the network and the container.
    pub fn of_tag(tag: &str) -> Option<Owner> {
        let mut names = tag.strip_prefix(MARK)?.splitn(3, '/').map(str::to_owned);
        let (network, container, ifname) = (names.next()?, names.next()?, names.next()?);
        Some(Owner { network, container, ifname })
    }

    /// Whether `tag` is a tag of this suite.
    pub fn is_tag(tag: &str) -> bool {
        tag.starts_with(MARK)
    }

    /// The name of the host's end of the attachment's veth pair: `veth` and 11 hex digits, the
    /// maximum length of a name.
    pub fn host_ifname(&self) -> String {
        let mut name = hex(&self.digest("host-ifname"));
        name.truncate(11);
        format!("veth{name}")
    }

    /// The MAC address of the link called `role` (`host`, `pod`): locally administered, unicast.
    pub fn mac(&self, role: &str) -> Mac {
        Mac::local(self.digest(role))
    }

    /// The link group (`ip-link(8)`) that marks a network's links from their creation, before they
    /// can have an alias.
    ///
    /// Never 0, which is the default group.
    pub fn group(network: &str) -> u32 {
        let digest: [u8; 32] = Sha256::digest(network).into();
        let [a, b, c, d, ..] = digest;
        (u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff).max(1)
    }

    /// The name of a network's shim over a parent (see [`Shim`](crate::Shim)): `shim-` and 10 hex
    /// digits.
    pub fn shim_ifname(network: &str, parent: &str) -> String {
        let mut name = hex(&digest(&["shim-ifname", network, parent]));
        name.truncate(10);
        format!("{SHIM_PREFIX}{name}")
    }

    /// The MAC address of a network's shim over the parent with the MAC address `parent`. It
    /// differs from those of other hosts on the same network.
    pub fn shim_mac(network: &str, parent: Mac) -> Mac {
        Mac::local(digest(&["shim-mac", network, &parent.to_string()]))
    }

    /// The alias of a shim. It is not a [tag](Owner::tag), because a shim belongs to no attachment.
    pub fn shim_alias(network: &str, parent: &str) -> String {
        let plain = format!("ferrocni-shim:{network}/{parent}");
        if plain.len() <= TAG_MAX {
            plain
        } else {
            format!("ferrocni-shim:{}/{parent}", shorten(network))
        }
    }

    /// A number that identifies the attachment where no text fits, as in the metric of a route on a
    /// link that several attachments share. Never 0.
    pub fn number(&self) -> u32 {
        let [a, b, c, d, ..] = self.digest("number");
        (u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff).max(1)
    }

    /// The number of the attachment's lock, if several hosts share the lock file. It is longer than
    /// [`number`](Owner::number), with which two attachments would collide too often.
    pub(crate) fn lock_number(&self, host: u64) -> u64 {
        let digest = self.digest(&format!("lock {host}"));
        digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    fn digest(&self, role: &str) -> [u8; 32] {
        digest(&[role, &self.network, &self.container, &self.ifname])
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Owner { network, container, ifname } = self;
        write!(f, "{ifname} of container {container} to network {network}")
    }
}

fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
        hasher.update([0]);
    }
    hasher.finalize().into()
}

/// A digest of a name that is too long.
fn shorten(name: &str) -> String {
    let mut digest = hex(&Sha256::digest(name));
    digest.truncate(32);
    format!("~{digest}")
}

/// Bytes as lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String cannot fail
        text
    })
}

/// A hardware address of six bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// An address from the first bytes of a digest: locally administered, unicast.
    fn local(digest: [u8; 32]) -> Mac {
        let [a, b, c, d, e, f, ..] = digest;
        Mac([(a & 0xfc) | 0x02, b, c, d, e, f])
    }

    /// The link-local IPv6 address of a link with this MAC address (RFC 4291 appendix A).
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0.map(u16::from);
        let low = [((a ^ 2) << 8) | b, (c << 8) | 0xff, 0xfe00 | d, (e << 8) | f];
        let [h, i, j, k] = low;
        Ipv6Addr::new(0xfe80, 0, 0, 0, h, i, j, k)
    }

    /// The reason why no link can have the address; `None` if a link can.
    pub fn obstacle(&self) -> Option<&'static str> {
        let [first, ..] = self.0;
        if self.0 == [0; 6] {
            return Some("it is all zero");
        }
        (first & 1 != 0).then_some("it is a multicast address")
    }

    /// Parses `02:00:5e:10:00:01`, `02-00-5e-10-00-01` or `0200.5e10.0001`.
    pub fn parse(text: &str) -> Option<Mac> {
        let digits: String = match text.len() {
            17 if text.split(':').count() == 6 || text.split('-').count() == 6 => text
                .split([':', '-'])
                .all(|part| part.len() == 2)
                .then(|| text.replace([':', '-'], ""))?,
            14 if text.split('.').count() == 3 => {
                text.split('.').all(|part| part.len() == 4).then(|| text.replace('.', ""))?
            }
            _ => return None,
        };
        let bytes: Option<Vec<u8>> =
            (0..6).map(|i| u8::from_str_radix(digits.get(i * 2..i * 2 + 2)?, 16).ok()).collect();
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then_some(())?;
        Some(Mac(bytes?.try_into().ok()?))
    }
}

impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> String {
        mac.to_string()
    }
}

impl TryFrom<String> for Mac {
    type Error = String;
    fn try_from(text: String) -> Result<Mac, String> {
        Mac::parse(&text).ok_or_else(|| format!("invalid MAC address: {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_gives_a_link_local_address() {
        let mac = Mac::parse("02:00:5e:10:00:01").unwrap();
        assert_eq!(mac.link_local().to_string(), "fe80::5eff:fe10:1");
        let mac = Mac::parse("de:33:36:00:2f:c4").unwrap();
        assert_eq!(mac.link_local().to_string(), "fe80::dc33:36ff:fe00:2fc4");
    }

    #[test]
    fn the_names_in_a_tag_are_read() {
        let owner = |network: &str, container: &str| Owner {
            network: network.to_owned(),
            container: container.to_owned(),
            ifname: "eth0".to_owned(),
        };
        assert_eq!(Owner::of_tag(&owner("pods", "c1").tag()), Some(owner("pods", "c1")));
        let long = Owner::of_tag(&owner("pods", &"c".repeat(200)).tag()).unwrap();
        assert_eq!((long.network.as_str(), long.ifname.as_str()), ("pods", "eth0"));
        assert!(long.container.starts_with('~'));
        for other in [Owner::network_tag("pods"), Owner::shim_alias("pods", "eth1"), String::new()]
        {
            assert_eq!(Owner::of_tag(&other), None, "{other}");
        }
    }

    #[test]
    fn a_shim_is_named_after_network_and_parent() {
        let name = Owner::shim_ifname("lan", "fifteen-bytes-u");
        assert_eq!(name.len(), 15);
        assert_ne!(name, Owner::shim_ifname("lan", "eth1"));
        assert_ne!(name, Owner::shim_ifname("other", "fifteen-bytes-u"));
        let alias = Owner::shim_alias(&"n".repeat(300), "eth1");
        assert!(alias.len() < 256 && !Owner::is_tag(&alias), "{alias}");
    }
}
