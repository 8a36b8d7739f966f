//! Who a kernel object belongs to, and the names that follow from it.
//!
//! Nothing about an attachment is random: the host's end of its wire, its MAC addresses and the comments on its rules
//! all derive from (network, container, interface). So DEL and GC need no memory of what ADD did.

use std::fmt::Write as _;
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

/// What a [tag](Owner::tag) starts with, so that a person sees whose it is.
const MARK: &str = "ferrocni:";
/// The longest tag: what fits into an nf_tables comment (128 bytes with its end); link aliases may have 255.
const TAG_MAX: usize = 127;
/// What the names of shims start with.
pub(crate) const SHIM_PREFIX: &str = "shim-";

impl Owner {
    /// The text that marks objects as this attachment's: `ferrocni:NETWORK/CONTAINER/IFNAME`.
    ///
    /// It goes into link aliases and rule comments. Where that is too long, a digest stands for the container
    /// (`~` and 32 hex digits), and for the network too if it has to.
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

    /// The text that marks what a network has on the host for all its attachments: `ferrocni:NETWORK`, which is nobody's
    /// [tag](Owner::tag).
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

    /// The names in a [tag](Owner::tag) of an attachment, as they are in it: a digest may stand for the network's and the
    /// container's.
    pub fn of_tag(tag: &str) -> Option<Owner> {
        let mut names = tag.strip_prefix(MARK)?.splitn(3, '/').map(str::to_owned);
        let (network, container, ifname) = (names.next()?, names.next()?, names.next()?);
        Some(Owner { network, container, ifname })
    }

    /// Whether `tag` is one of ours at all.
    pub fn is_tag(tag: &str) -> bool {
        tag.starts_with(MARK)
    }

    /// The name of the host's end of the attachment's wire: `veth` and 11 hex digits, as long as a name may be.
    pub fn host_ifname(&self) -> String {
        let mut name = hex(&self.digest("host-ifname"));
        name.truncate(11);
        format!("veth{name}")
    }

    /// The MAC address of the link called `role` (`host`, `pod`): locally administered, unicast.
    pub fn mac(&self, role: &str) -> Mac {
        Mac::local(self.digest(role))
    }

    /// The link group (`ip-link(8)`) that marks a network's links from birth, before they can have an alias.
    ///
    /// Never 0, which is the group of all other links.
    pub fn group(network: &str) -> u32 {
        let digest: [u8; 32] = Sha256::digest(network).into();
        let [a, b, c, d, ..] = digest;
        (u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff).max(1)
    }

    /// The name of a network's shim over a parent (see [`Shim`](crate::Shim)): `shim-` and 10 hex digits.
    pub fn shim_ifname(network: &str, parent: &str) -> String {
        let mut name = hex(&digest(&["shim-ifname", network, parent]));
        name.truncate(10);
        format!("{SHIM_PREFIX}{name}")
    }

    /// The MAC address of a network's shim over the parent that has the MAC `parent`: no other machine's on that wire.
    pub fn shim_mac(network: &str, parent: Mac) -> Mac {
        Mac::local(digest(&["shim-mac", network, &parent.to_string()]))
    }

    /// The alias of a shim. It is no [tag](Owner::tag): a shim belongs to no attachment.
    pub fn shim_alias(network: &str, parent: &str) -> String {
        let plain = format!("ferrocni-shim:{network}/{parent}");
        if plain.len() <= TAG_MAX {
            plain
        } else {
            format!("ferrocni-shim:{}/{parent}", shorten(network))
        }
    }

    /// A number that stands for the attachment where no text fits, as in the metric of a route on a link that several
    /// attachments share. Never 0.
    pub fn number(&self) -> u32 {
        let [a, b, c, d, ..] = self.digest("number");
        (u32::from_be_bytes([a, b, c, d]) & 0x7fff_ffff).max(1)
    }

    fn digest(&self, role: &str) -> [u8; 32] {
        digest(&[role, &self.network, &self.container, &self.ifname])
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

/// A name too long for where it has to go.
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

    /// The link-local IPv6 address that a link with this MAC gives itself (RFC 4291 appendix A).
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0.map(u16::from);
        let low = [((a ^ 2) << 8) | b, (c << 8) | 0xff, 0xfe00 | d, (e << 8) | f];
        let [h, i, j, k] = low;
        Ipv6Addr::new(0xfe80, 0, 0, 0, h, i, j, k)
    }

    /// Reads `02:00:5e:10:00:01`, `02-00-5e-10-00-01` or `0200.5e10.0001`.
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
