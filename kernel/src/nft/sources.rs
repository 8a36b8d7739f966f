//! The hosts that may send packets into a network's tunnel. IP-in-IP packets of other hosts are
//! dropped before the kernel decapsulates them.
//!
//! ```text
//! table inet ferrocni {
//!     set peers_pods { type ipv4_addr; flags interval; elements = { 192.0.2.2-192.0.2.9 } }
//!     chain input {
//!         type filter hook input priority filter; policy accept;
//!         ip protocol 4 ip daddr 192.0.2.1 ip saddr != @peers_pods counter drop comment "ferrocni:pods"
//!         ip protocol 4 ip daddr 192.0.2.1 accept comment "ferrocni:pods"
//!         ip protocol 4 ip daddr != 192.0.2.77 ip saddr != @peers_more counter drop comment "ferrocni:more"
//!     }
//! }
//! ```
//!
//! The network `more` uses the fallback device, which receives the packets that no other tunnel
//! does; another program's tunnel is at 192.0.2.77.
//!
//! There are one set and two rules for each network, whatever the number of its peers. Other
//! programs' tables still judge a packet that passes.

use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;
use netlink_packet_netfilter::nftables::InetHookNumber;
use nix::libc;

use super::batch::{Base, Batch, get_generation};
use super::expr::{self, and_accept, and_drop};
use super::job::{Chain, Job, Rule, is_base, lacking};
use super::ranges::{self, Found as Set, Ranges};
use super::reply::{Reply, is_rule, rule};
use super::{Nft, TABLE, generation, pod_cidrs};
use crate::owner::Owner;
use crate::{Error, Result};

const CHAIN: &str = "input";
const BASE: Base = Base { kind: "filter", hook: InetHookNumber::LocalIn, priority: 0 };

/// The hosts that may send to a network's tunnel.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The network.
    pub network: &'a str,
    /// The tunnel's own address; `None` for a tunnel that receives what no other tunnel does.
    pub to: Option<Ipv4Addr>,
    /// The addresses of the other tunnels, for a tunnel that receives what they do not.
    pub except: &'a [Ipv4Addr],
    /// The hosts that may send; `None` lets every host send.
    pub from: Option<&'a [Ipv4Network]>,
}

impl Sources<'_> {
    fn set(&self) -> Ranges {
        Ranges::new("peers", self.network, self.from.unwrap_or_default())
    }

    /// The network's rules, in order. Packets for a tunnel with an address do not reach the rule of
    /// a tunnel without one, which comes later.
    fn rules(&self) -> Vec<Rule> {
        let set = ranges::name("peers", self.network);
        let to = self.to.map(|address| format!(" ip daddr {address}")).unwrap_or_default();
        let except: String =
            self.except.iter().map(|address| format!(" ip daddr != {address}")).collect();
        let others = || {
            let mut expressions = expr::tunnelled(self.to, self.except);
            expressions.extend(expr::source_not_among(&set));
            expressions.push(expr::counter());
            let nft = format!("ip protocol 4{to}{except} ip saddr != @{set} counter drop");
            Rule { nft, expressions: and_drop(expressions) }
        };
        let own = || {
            let expressions = and_accept(expr::tunnelled(self.to, &[]));
            Rule { nft: format!("ip protocol 4{to} accept"), expressions }
        };
        let drop = self.from.map(|_| others());
        drop.into_iter().chain(self.to.map(|_| own())).collect()
    }

    /// The commands that create the filter.
    pub(crate) fn show(&self) -> Vec<String> {
        let (table, set, rules) = (TABLE.nft(), self.set(), self.rules());
        if rules.is_empty() {
            let tag = Owner::network_tag(self.network);
            return vec![format!("nft list chain {table} {CHAIN} # has no rule of {tag}")];
        }
        let sets = self.from.map(|_| set.set());
        let chain = Chain { name: CHAIN.to_owned(), base: Some(BASE), rules: Vec::new() };
        let (sets, chains) = (sets.as_slice(), vec![chain]);
        let mut lines = Job { table: TABLE, sets, chains, elements: Vec::new() }.show();
        lines.extend(set.show());
        let line = |verb, rule: &Rule| format!("nft {verb} rule {table} {CHAIN} {}", rule.nft);
        match self.to {
            Some(_) => lines.extend(rules.iter().rev().map(|rule| line("insert", rule))),
            None => lines.extend(rules.iter().map(|rule| line("add", rule))),
        }
        lines
    }
}

impl Nft {
    /// Drops IP-in-IP packets to a network's tunnel from any other source. Returns whether
    /// something was missing.
    ///
    /// `nft add element inet ferrocni peers_NETWORK { ... }`
    /// `nft add rule inet ferrocni input ip protocol 4 ip daddr TO ip saddr != @peers_NETWORK counter drop`
    ///
    /// One batch adds the set and the rules, so no packet from a listed source is dropped.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn limit_sources(&mut self, sources: Sources<'_>) -> Result<bool> {
        let (set, tag, wanted) =
            (sources.set(), Owner::network_tag(sources.network), sources.rules());
        self.converge(|nft| {
            let found = nft.look_at_sources(&set, &tag)?;
            let mut batch = found.set.batch();
            if !found.base && !wanted.is_empty() {
                batch.push(TABLE.add());
                batch.push(TABLE.add_chain(CHAIN, Some(BASE)));
            }
            if sources.from.is_some() {
                set.declare(&found.set, &mut batch);
            }
            if !found.has(&wanted) {
                found.forget_rules(&mut batch);
                add_rules(&mut batch, &wanted, &tag, sources.to.is_some());
            }
            // A chain without a rule would only cost each packet to this host a hook.
            if found.base && wanted.is_empty() && !found.has_others {
                batch.push(TABLE.delete_chain(CHAIN));
            }
            if sources.from.is_none() && found.set.is_there {
                batch.push(TABLE.delete_set(set.set()));
            }
            Ok(batch)
        })
    }

    /// The differences between the state and what [`limit_sources`](Nft::limit_sources) creates.
    ///
    /// # Errors
    ///
    /// As for [`limit_sources`](Nft::limit_sources).
    pub fn sources_differences(&mut self, sources: Sources<'_>) -> Result<Vec<String>> {
        let (set, tag, wanted) =
            (sources.set(), Owner::network_tag(sources.network), sources.rules());
        let found = self.look_at_sources(&set, &tag)?;
        let mut differences = match sources.from {
            Some(_) => set.differences(&found.set),
            None => Vec::new(),
        };
        if !found.has(&wanted) {
            let lacking = lacking(TABLE, &found.rules, CHAIN, &wanted);
            let table = TABLE.nft();
            if lacking.is_empty() {
                differences
                    .push(format!("nf_tables chain {table} {CHAIN} has another rule of {tag}"));
            }
            differences.extend(lacking);
        }
        Ok(differences)
    }

    /// Removes a network's rules and set.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn forget_sources(&mut self, network: &str) -> Result<bool> {
        self.limit_sources(Sources { network, to: None, except: &[], from: None })
    }

    /// The rules and sets of a network, for all its attachments, in words.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request.
    pub(crate) fn of_network(&mut self, network: &str) -> Result<Vec<String>> {
        let (peers, table) = (Ranges::new("peers", network, &[]), TABLE.nft());
        let found = self.look_at_sources(&peers, &Owner::network_tag(network))?;
        let mut all = Vec::new();
        if !found.rules.is_empty() {
            all.push(format!("the rules for its tunnel in nf_tables chain {table} {CHAIN}"));
        }
        for set in [peers, pod_cidrs::set(network, &[])] {
            if self.found(&set)?.is_there {
                all.push(format!("the nf_tables set {table} {}", set.name));
            }
        }
        Ok(all)
    }

    /// Reads the rules and the set: two dumps.
    fn look_at_sources(&mut self, set: &Ranges, tag: &str) -> Result<Found> {
        let set = self.found(set)?;
        let mut replies = self.get(&[TABLE.get_chain(CHAIN)])?.into_iter();
        let base = replies.next().flatten().is_some_and(|reply| is_base(&reply));
        let mut rules = match base {
            true => self.dump(&TABLE.get_rules(Some(CHAIN)))?,
            false => Vec::new(),
        };
        rules.retain(|reply| reply.text(rule::CHAIN) == CHAIN);
        let all = rules.len();
        rules.retain(|reply| reply.rule_comment() == tag);
        Ok(Found { base, has_others: rules.len() < all, rules, set })
    }
}

/// The existing parts of a network's filter.
struct Found {
    base: bool,
    /// Whether the chain has rules of other owners.
    has_others: bool,
    /// The network's rules, of which there should be one.
    rules: Vec<Reply>,
    set: Set,
}

impl Found {
    fn has(&self, wanted: &[Rule]) -> bool {
        let mut both = self.rules.iter().zip(wanted);
        self.rules.len() == wanted.len() && both.all(|(it, rule)| is_rule(it, &rule.expressions))
    }

    fn forget_rules(&self, batch: &mut Batch) {
        for handle in self.rules.iter().filter_map(Reply::handle) {
            batch.push(TABLE.delete_rule(CHAIN, handle));
        }
    }
}

/// Rules of a tunnel with an address come first, those of a tunnel without one last.
fn add_rules(batch: &mut Batch, rules: &[Rule], tag: &str, is_first: bool) {
    if is_first {
        for rule in rules.iter().rev() {
            batch.push(TABLE.insert_own_rule(CHAIN, rule.expressions.clone(), tag));
        }
    } else {
        for rule in rules {
            batch.push(TABLE.add_own_rule(CHAIN, rule.expressions.clone(), tag));
        }
    }
}

/// Checks that the kernel has nf_tables. Loads its module if necessary and possible.
///
/// # Errors
///
/// Returns an error with the reason if it has not.
pub fn is_there() -> Result<()> {
    let mut nft = Nft::open()?;
    generation(nft.get(&[get_generation()])?.into_iter().next().flatten()).map(drop)
}

/// Whether the kernel refused a rule because it lacks a part of nf_tables.
pub(crate) fn is_missing(error: &Error) -> bool {
    // ENOENT is a lost race, unless it persists: then an expression is unknown.
    [libc::EOPNOTSUPP, libc::EPROTONOSUPPORT, libc::EAFNOSUPPORT, libc::ENOENT]
        .contains(&error.errno)
}
