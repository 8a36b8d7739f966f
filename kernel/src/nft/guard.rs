//! Spoof check: a bridge port may send only with its container's MAC address.
//!
//! ```text
//! table bridge ferrocni {
//!     set guarded { type ifname; elements = { "veth1a2b" comment "OWNER" } }
//!     set allowed { type ifname . ether_addr; elements = { "veth1a2b" . 02:00:00:00:00:01 comment "OWNER" } }
//!     chain prerouting {
//!         type filter hook prerouting priority dstnat; policy accept;
//!         iifname . ether saddr @allowed accept
//!         iifname @guarded drop
//!     }
//! }
//! ```
//!
//! `accept` ends only this chain; other tables still judge the frame.

use std::collections::BTreeMap;

use netlink_packet_netfilter::NetfilterProtoFamily;
use netlink_packet_netfilter::nftables::InetHookNumber;

use super::batch::{Base, Batch, Table};
use super::expr::{self, and_accept, and_drop};
use super::job::{Chain, Found, Job, Rule, Wanted};
use super::reply::{Element, Reply, text};
use super::set::{self, IFNAME, Set};
use super::{Doomed, Nft, check_tag};
use crate::{Error, Mac, Result};

const TABLE: Table = Table { family: NetfilterProtoFamily::Bridge, name: "ferrocni" };
const CHAIN: &str = "prerouting";
const BASE: Base = Base { kind: "filter", hook: InetHookNumber::PreRouting, priority: -300 };
const GUARDED: Set<'static> = Set { name: "guarded", key: &[IFNAME], data: &[], ranges: false };
const ALLOWED: Set<'static> =
    Set { name: "allowed", key: &[IFNAME, set::MAC], data: &[], ranges: false };
const SETS: [Set<'static>; 2] = [GUARDED, ALLOWED];
/// `IFNAMSIZ`, including the final zero byte.
const IFNAME_SIZE: usize = 16;

/// The commands that guard a port, for plans.
pub fn show_guard(port: &str, mac: Mac) -> Vec<String> {
    job("", port, mac).show()
}

impl Nft {
    /// Lets the bridge port `port` send only with the source address `mac`. Returns whether
    /// something was missing.
    ///
    /// `nft add element bridge ferrocni allowed { "veth1a2b" . 02:00:00:00:00:01 comment TAG }`
    /// `nft add element bridge ferrocni guarded { "veth1a2b" comment TAG }`
    ///
    /// Replaces a guard that an earlier port of that name left.
    ///
    /// # Errors
    ///
    /// Returns an error if `tag` cannot be a comment, if `port` cannot be an interface name, or if
    /// the kernel refuses.
    pub fn guard(&mut self, tag: &str, port: &str, mac: Mac) -> Result<bool> {
        check(tag, port)?;
        let job = job(tag, port, mac);
        self.converge(|nft| {
            let found = nft.look(&job)?;
            let mut batch = Batch::default();
            for other in nft.other_addresses(&found, port, mac)? {
                batch.push(TABLE.delete_element(ALLOWED, other));
            }
            found.declare(&mut batch);
            Ok(batch)
        })
    }

    /// The differences between the guard of `port` and what [`guard`](Nft::guard) creates; empty if
    /// there are none.
    ///
    /// # Errors
    ///
    /// As for [`guard`](Nft::guard).
    pub fn guard_differences(&mut self, tag: &str, port: &str, mac: Mac) -> Result<Vec<String>> {
        check(tag, port)?;
        let job = job(tag, port, mac);
        let found = self.look(&job)?;
        let mut differences = found.differences();
        let others = self.other_addresses(&found, port, mac)?.into_iter();
        differences
            .extend(others.map(|other| format!("port {port} may also send as {}", mac_of(&other))));
        Ok(differences)
    }

    /// Whether all objects that guards share exist.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request.
    pub fn is_guard_declared(&mut self) -> Result<bool> {
        Ok(self.look(&example())?.shared_differences().is_empty())
    }

    /// Checks that ports can be guarded. Changes nothing.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel lacks a part of nf_tables, or if another object has one of
    /// the names.
    pub fn can_guard(&mut self) -> Result<()> {
        self.can_declare(&example())
    }

    /// Ends the guard of `port` if it belongs to `tag`. Returns the number of its elements.
    ///
    /// # Errors
    ///
    /// Returns an error if `port` cannot be an interface name, or if the kernel refuses.
    pub fn unguard(&mut self, tag: &str, port: &str) -> Result<usize> {
        check_port(port)?;
        let doomed = self.doomed_elements(tag, port_key(port))?;
        self.remove(doomed)
    }

    /// The elements to remove to end the guard of `port`, which should be guarded with `mac`.
    ///
    /// The elements of a port are added and removed together, so two requests tell that there are
    /// none, or that they are these. All elements are read only if the port is guarded with another
    /// address.
    pub(crate) fn doomed_guard(&mut self, tag: &str, port: &str, mac: Mac) -> Result<Vec<Doomed>> {
        check_port(port)?;
        let (name, key) = (port_key(port), allowed_key(port, mac));
        let replies = self.get(&[
            TABLE.get_element(GUARDED, name.clone()),
            TABLE.get_element(ALLOWED, key.clone()),
        ])?;
        let is_ours = |reply: &Option<Reply>| {
            let element = reply.as_ref().and_then(Reply::element);
            element.is_some_and(|element| element.comment == tag)
        };
        let ours: Vec<bool> = replies.iter().map(is_ours).collect();
        match ours.as_slice() {
            [false, false] => Ok(Vec::new()),
            [true, true] => Ok(vec![doom(tag, GUARDED, name), doom(tag, ALLOWED, key)]),
            _ => self.doomed_elements(tag, name),
        }
    }

    /// The elements to remove to end the guard of a port, whatever its addresses are.
    fn doomed_elements(&mut self, tag: &str, name: Vec<u8>) -> Result<Vec<Doomed>> {
        let mut doomed = self.owned(TABLE, &[ALLOWED], &|comment| comment == tag)?;
        doomed.retain(|one| one.key.starts_with(&name));
        doomed.push(doom(tag, GUARDED, name));
        Ok(doomed)
    }

    /// The guarded ports of the owners that the filter on tags selects, each with the tag.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request.
    pub fn guarded_for(
        &mut self,
        is_meant: impl Fn(&str) -> bool,
    ) -> Result<Vec<(String, String)>> {
        let found = self.owned(TABLE, &SETS, &is_meant)?.into_iter();
        let port =
            |one: Doomed| (text(one.key.get(..IFNAME_SIZE).unwrap_or(&one.key)), one.comment);
        Ok(found.map(port).collect::<BTreeMap<_, _>>().into_iter().collect())
    }

    /// Ends every guard whose owner's tag is stale. Returns the number of elements.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn collect_guards(&mut self, is_stale: impl Fn(&str) -> bool) -> Result<usize> {
        let doomed = self.owned(TABLE, &SETS, &is_stale)?;
        self.remove(doomed)
    }

    /// The keys of further addresses that the port may send with. Only a port that is guarded
    /// already can have them.
    fn other_addresses(&mut self, found: &Found<'_>, port: &str, mac: Mac) -> Result<Vec<Vec<u8>>> {
        if !found.has(GUARDED) {
            return Ok(Vec::new());
        }
        let (name, key) = (port_key(port), allowed_key(port, mac));
        let elements = self.elements(TABLE, ALLOWED)?.into_iter().map(|element| element.key);
        Ok(elements.filter(|of| of.starts_with(&name) && *of != key).collect())
    }
}

/// A guard's objects.
fn job(tag: &str, port: &str, mac: Mac) -> Job<'static> {
    let wanted = |set, key, nft, missing| Wanted {
        set,
        element: Element { key, data: None, comment: tag.to_owned() },
        nft,
        subject: format!("port {port}"),
        missing,
        held: "is guarded",
    };
    let (allowed, guarded) = (allowed_key(port, mac), port_key(port));
    let may_not = format!("may not send as {mac}");
    Job {
        table: TABLE,
        sets: &SETS,
        chains: vec![Chain { name: CHAIN.to_owned(), base: Some(BASE), rules: rules() }],
        elements: vec![
            wanted(ALLOWED, allowed, format!("\"{port}\" . {mac}"), may_not),
            wanted(GUARDED, guarded, format!("\"{port}\""), "is not guarded".to_owned()),
        ],
    }
}

fn example() -> Job<'static> {
    job("", "lo", Mac([0; 6]))
}

fn rules() -> Vec<Rule> {
    vec![
        Rule {
            nft: "iifname . ether saddr @allowed accept".to_owned(),
            expressions: and_accept(expr::iifname_and_source_mac_in(ALLOWED.name)),
        },
        Rule {
            nft: "iifname @guarded drop".to_owned(),
            expressions: and_drop(expr::iifname_in(GUARDED.name)),
        },
    ]
}

fn doom(tag: &str, set: Set<'static>, key: Vec<u8>) -> Doomed {
    Doomed { table: TABLE, set, key, comment: tag.to_owned() }
}

fn check(tag: &str, port: &str) -> Result<()> {
    check_tag(tag)?;
    check_port(port)
}

fn check_port(port: &str) -> Result<()> {
    let plain = !port.chars().any(|c| c.is_control() || c.is_whitespace() || "/\"*".contains(c));
    if (1..IFNAME_SIZE).contains(&port.len()) && plain {
        return Ok(());
    }
    let action = format!("guard the bridge port {port:?}");
    Err(Error::found(action, "this is not a valid interface name"))
}

/// A port's name as a key, padded with zeros.
fn port_key(port: &str) -> Vec<u8> {
    let mut key = port.as_bytes().to_vec();
    key.resize(IFNAME_SIZE, 0);
    key
}

/// A port's name and an address as a key, each padded to four bytes.
fn allowed_key(port: &str, mac: Mac) -> Vec<u8> {
    let mut key = port_key(port);
    key.extend(mac.0);
    key.extend([0; 2]);
    key
}

/// The address in a key of `allowed`, or the key as text if it is truncated.
fn mac_of(key: &[u8]) -> String {
    let mac = key.get(IFNAME_SIZE..IFNAME_SIZE + 6).and_then(|mac| mac.try_into().ok());
    mac.map_or_else(|| text(key), |mac| Mac(mac).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ports_name_is_checked() {
        assert_eq!(port_key("veth0"), *b"veth0\0\0\0\0\0\0\0\0\0\0\0");
        assert!(check_port("veth0").is_ok());
        for port in ["", "a/b", "veth*", "with space", "sixteen-letters!"] {
            assert!(check_port(port).is_err(), "{port:?}");
        }
    }
}
