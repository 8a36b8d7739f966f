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

use super::batch::{Base, Batch, Set, Table};
use super::expr::{self, and_accept, and_drop};
use super::reply::{Element, Reply, chain, text};
use super::{Doomed, Nft, Rule, check_tag, missing_rules, rewrite_chain, show};
use crate::{Error, Mac, Result};

const TABLE: Table = Table { family: NetfilterProtoFamily::Bridge, name: "ferrocni" };
const CHAIN: &str = "prerouting";
const BASE: Base = Base { kind: "filter", hook: InetHookNumber::PreRouting, priority: -300 };
/// nft's data types: 41 is `ifname`, 9 is `ether_addr`, six bits each.
const GUARDED: Set<'static> = Set {
    name: "guarded",
    key_type: 41,
    key_len: 16,
    host_order: true,
    verdicts: false,
    ranges: false,
};
const ALLOWED: Set<'static> = Set {
    name: "allowed",
    key_type: (41 << 6) | 9,
    key_len: 24,
    host_order: false,
    verdicts: false,
    ranges: false,
};
/// `IFNAMSIZ`, including the final zero byte.
const IFNAME_SIZE: usize = 16;

/// The commands that guard a port, for plans.
pub fn show_guard(port: &str, mac: Mac) -> Vec<String> {
    let table = TABLE.nft();
    let sets = ["set guarded { type ifname; }", "set allowed { type ifname . ether_addr; }"];
    let mut lines = show::skeleton(TABLE, &sets, CHAIN, BASE);
    lines.extend(show::rules(TABLE, CHAIN, &rules()));
    lines.push(format!("{}element {table} allowed {{ \"{port}\" . {mac} }}", show::ADD));
    lines.push(format!("{}element {table} guarded {{ \"{port}\" }}", show::ADD));
    lines
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
        check_tag(tag)?;
        let name = port_key(port)?;
        self.converge(|nft| {
            let found = nft.look_at_guard(&name, mac)?;
            let mut batch = Batch::default();
            found.declare(&mut batch);
            for other in &found.others {
                batch.push(TABLE.delete_element(ALLOWED, other.clone()));
            }
            let wanted = [
                (ALLOWED, allowed_key(&name, mac), &found.allowed),
                (GUARDED, name.clone(), &found.guarded),
            ];
            for (set, key, element) in wanted {
                match element {
                    Some(element) if element.comment == tag => continue,
                    Some(_) => batch.push(TABLE.delete_element(set, key.clone())),
                    None => {}
                }
                batch.push(TABLE.add_element(set, key, tag, None));
            }
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
        check_tag(tag)?;
        let name = port_key(port)?;
        let found = self.look_at_guard(&name, mac)?;
        let mut differences = found.skeleton_differences();
        for (element, what) in [
            (&found.guarded, format!("port {port} is not guarded")),
            (&found.allowed, format!("port {port} may not send as {mac}")),
        ] {
            match element {
                None => differences.push(what),
                Some(Element { comment, .. }) if comment != tag => {
                    differences
                        .push(format!("port {port} is guarded for {comment:?}, not {tag:?}"));
                }
                Some(_) => {}
            }
        }
        let others = found.others.iter().map(|key| mac_of(key));
        differences.extend(others.map(|other| format!("port {port} may also send as {other}")));
        Ok(differences)
    }

    /// Whether all objects that guards share exist.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request.
    pub fn is_guard_declared(&mut self) -> Result<bool> {
        let found = self.look_at_guard(&port_key("lo")?, Mac([0; 6]))?;
        Ok(found.skeleton_differences().is_empty())
    }

    /// Checks that ports can be guarded. Changes nothing.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel lacks a part of nf_tables, or if another object has one of
    /// the names.
    pub fn can_guard(&mut self) -> Result<()> {
        let name = port_key("lo")?;
        self.rehearse(|nft| {
            let found = nft.look_at_guard(&name, Mac([0; 6]))?;
            let mut batch = Batch::default();
            found.declare(&mut batch);
            Ok(batch)
        })
    }

    /// Ends the guard of `port` if it belongs to `tag`. Returns the number of its elements.
    ///
    /// # Errors
    ///
    /// Returns an error if `port` cannot be an interface name, or if the kernel refuses.
    pub fn unguard(&mut self, tag: &str, port: &str) -> Result<usize> {
        let name = port_key(port)?;
        let doomed = self.doomed_elements(tag, &name)?;
        self.remove(doomed)
    }

    /// The elements to remove to end the guard of `port`, which should be guarded with `mac`.
    ///
    /// The elements of a port are added and removed together, so two requests tell that there are
    /// none, or that they are these. All elements are read only if the port is guarded with another
    /// address.
    pub(crate) fn doomed_guard(&mut self, tag: &str, port: &str, mac: Mac) -> Result<Vec<Doomed>> {
        let name = port_key(port)?;
        let key = allowed_key(&name, mac);
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
            _ => self.doomed_elements(tag, &name),
        }
    }

    /// The elements to remove to end the guard of a port, whatever its addresses are.
    fn doomed_elements(&mut self, tag: &str, name: &[u8]) -> Result<Vec<Doomed>> {
        let allowed = self.elements(TABLE, ALLOWED)?.into_iter();
        let mut doomed: Vec<_> = allowed
            .filter(|element| element.key.starts_with(name) && element.comment == tag)
            .map(|element| doom(tag, ALLOWED, element.key))
            .collect();
        doomed.push(doom(tag, GUARDED, name.to_vec()));
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
        let mut found = BTreeMap::new();
        for set in [GUARDED, ALLOWED] {
            for Element { key, comment, .. } in self.elements(TABLE, set)? {
                if is_meant(&comment) {
                    found.insert(text(key.get(..IFNAME_SIZE).unwrap_or(&key)), comment);
                }
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Ends every guard whose owner's tag is stale. Returns the number of elements.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn collect_guards(&mut self, is_stale: impl Fn(&str) -> bool) -> Result<usize> {
        let mut doomed = Vec::new();
        for set in [GUARDED, ALLOWED] {
            let elements = self.elements(TABLE, set)?.into_iter();
            doomed.extend(
                elements
                    .filter(|element| is_stale(&element.comment))
                    .map(|Element { key, comment, .. }| Doomed { table: TABLE, set, key, comment }),
            );
        }
        self.remove(doomed)
    }

    /// Reads all parts of a guard. Only a port that is guarded already can have further addresses.
    fn look_at_guard(&mut self, name: &[u8], mac: Mac) -> Result<Found> {
        let key = allowed_key(name, mac);
        let replies = self.get(&[
            TABLE.get_chain(CHAIN),
            TABLE.get_set(GUARDED),
            TABLE.get_set(ALLOWED),
            TABLE.get_element(GUARDED, name.to_vec()),
            TABLE.get_element(ALLOWED, key.clone()),
        ])?;
        let mut replies = replies.into_iter();
        let mut next = || replies.next().flatten();
        let base = next().is_some_and(|reply| reply.get(chain::HOOK).is_some());
        let sets = [next().is_some(), next().is_some()];
        let guarded = next().and_then(|reply| reply.element());
        let allowed = next().and_then(|reply| reply.element());
        let rules = if base { self.dump(&TABLE.get_rules(None))? } else { Vec::new() };
        let mut others = Vec::new();
        if guarded.is_some() {
            let elements = self.elements(TABLE, ALLOWED)?.into_iter().map(|element| element.key);
            others = elements.filter(|of| of.starts_with(name) && *of != key).collect();
        }
        Ok(Found { base, sets, guarded, allowed, others, rules })
    }
}

/// The existing parts of a guard.
struct Found {
    base: bool,
    sets: [bool; 2],
    guarded: Option<Element>,
    allowed: Option<Element>,
    /// Further addresses that the port may send with.
    others: Vec<Vec<u8>>,
    rules: Vec<Reply>,
}

impl Found {
    /// Declares the missing parts of the shared skeleton, as [masquerade](super::masquerade) does.
    fn declare(&self, batch: &mut Batch) {
        if !self.base {
            batch.push(TABLE.add());
        }
        for ((set, there), id) in [GUARDED, ALLOWED].into_iter().zip(self.sets).zip(1..) {
            if !there {
                batch.push(TABLE.add_set(set, id));
            }
        }
        if !self.base {
            batch.push(TABLE.add_chain(CHAIN, Some(BASE)));
        }
        if !missing_rules(&self.rules, CHAIN, &rules()).is_empty() {
            rewrite_chain(batch, TABLE, CHAIN, rules());
        }
    }

    fn skeleton_differences(&self) -> Vec<String> {
        let table = TABLE.nft();
        if !self.base {
            return vec![format!("nf_tables chain {table} {CHAIN} is missing")];
        }
        let sets = [GUARDED, ALLOWED].into_iter().zip(self.sets).filter(|(_, there)| !there);
        let sets = sets.map(|(set, _)| format!("nf_tables set {table} {} is missing", set.name));
        let rules = rules();
        let lacking = missing_rules(&self.rules, CHAIN, &rules)
            .into_iter()
            .map(|rule| format!("nf_tables chain {table} {CHAIN} lacks the rule: {}", rule.nft));
        sets.chain(lacking).collect()
    }
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

/// A port's name as a key, padded with zeros.
fn port_key(port: &str) -> Result<Vec<u8>> {
    let plain = !port.chars().any(|c| c.is_control() || c.is_whitespace() || "/\"*".contains(c));
    if !(1..IFNAME_SIZE).contains(&port.len()) || !plain {
        let action = format!("guard the bridge port {port:?}");
        return Err(Error::found(action, "this is not a valid interface name"));
    }
    let mut key = port.as_bytes().to_vec();
    key.resize(IFNAME_SIZE, 0);
    Ok(key)
}

/// A port's name and an address as a key, each padded to four bytes.
fn allowed_key(name: &[u8], mac: Mac) -> Vec<u8> {
    let mut key = name.to_vec();
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
        assert_eq!(port_key("veth0").unwrap(), b"veth0\0\0\0\0\0\0\0\0\0\0\0");
        for port in ["", "a/b", "veth*", "with space", "sixteen-letters!"] {
            assert!(port_key(port).is_err(), "{port:?}");
        }
    }
}
