//! Chains for forwarded packets that drop what no rule accepts. Docker, ufw and firewalld set such
//! a policy.

use netlink_packet_netfilter::NetfilterProtoFamily;
use netlink_packet_netfilter::nftables::{
    ChainMessage, NfTablesMessage, RuleAttribute, RuleMessage,
};

use super::Nft;
use super::batch::Request;
use super::reply::{Reply, attribute, attributes, chain, rule, text};
use crate::Result;

/// `NF_INET_FORWARD`.
const FORWARD: u32 = 2;
/// Verdicts that let no packet pass: `NF_DROP`, `NFT_CONTINUE`, `NFT_RETURN`.
const NOT_ACCEPTING: [u32; 3] = [0, (-1_i32).cast_unsigned(), (-5_i32).cast_unsigned()];
/// Expressions without a verdict, and `reject`.
const WITHOUT_VERDICT: [&str; 18] = [
    "bitwise",
    "byteorder",
    "cmp",
    "counter",
    "ct",
    "exthdr",
    "fib",
    "hash",
    "limit",
    "log",
    "match",
    "meta",
    "numgen",
    "payload",
    "quota",
    "range",
    "reject",
    "rt",
];

/// `NFTA_HOOK_HOOKNUM`, `NFTA_CHAIN_POLICY`; of expressions `NFTA_EXPR_NAME`, `NFTA_EXPR_DATA`; of
/// `immediate` `NFTA_IMMEDIATE_DATA`, `NFTA_DATA_VERDICT`, `NFTA_VERDICT_CODE`; `NFTA_LOOKUP_DREG`.
const HOOK_NUMBER: u16 = 1;
const POLICY: u16 = 5;
const EXPRESSION_NAME: u16 = 1;
const EXPRESSION_DATA: u16 = 2;
const IMMEDIATE_DATA: u16 = 2;
const VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const LOOKUP_RESULT: u16 = 3;

/// A chain that drops forwarded packets unless a rule accepts them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardDrop {
    /// As nft names it: `ip filter FORWARD`.
    pub chain: String,
    /// Whether no rule in it can accept a packet.
    pub is_certain: bool,
}

impl Nft {
    /// The IPv4 or IPv6 chains for forwarded packets with the policy drop.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request.
    pub fn forward_drops(&mut self, is_ipv4: bool) -> Result<Vec<ForwardDrop>> {
        let (own, name) = match is_ipv4 {
            true => (NetfilterProtoFamily::IPv4, "ip"),
            false => (NetfilterProtoFamily::IPv6, "ip6"),
        };
        let mut found = Vec::new();
        for (family, name) in [(own, name), (NetfilterProtoFamily::Inet, "inet")] {
            let body = NfTablesMessage::GetChain(ChainMessage { attributes: Vec::new() });
            let action = format!("list the nf_tables chains of the family {name}");
            let chains = self.dump(&Request { action, family, flags: 0, body })?;
            for reply in chains.iter().filter(|reply| drops_forwarded(reply)) {
                let (table, chain) = (reply.text(chain::TABLE), reply.text(chain::NAME));
                let rules = self.dump(&rules_of(family, &table, &chain))?;
                // A kernel that cannot filter by chain reports the rules of all chains.
                let mut own = rules.iter().filter(|reply| reply.text(rule::CHAIN) == chain);
                let is_certain = !own.any(may_accept);
                found.push(ForwardDrop { chain: format!("{name} {table} {chain}"), is_certain });
            }
        }
        Ok(found)
    }
}

fn rules_of(family: NetfilterProtoFamily, table: &str, chain: &str) -> Request {
    let attributes =
        vec![RuleAttribute::Table(table.to_owned()), RuleAttribute::Chain(chain.to_owned())];
    let body = NfTablesMessage::GetRule(RuleMessage { attributes });
    Request {
        action: format!("list the nf_tables rules of {table} {chain}"),
        family,
        flags: 0,
        body,
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn drops_forwarded(reply: &Reply) -> bool {
    let hook = reply.get(chain::HOOK).and_then(|hook| attribute(attributes(hook), HOOK_NUMBER));
    hook.and_then(number) == Some(FORWARD) && reply.number(POLICY) == Some(0)
}

/// Whether a rule may let a packet pass: it accepts, it jumps to another chain, or its effect is
/// unknown.
fn may_accept(reply: &Reply) -> bool {
    let list = reply.get(rule::EXPRESSIONS).unwrap_or_default();
    attributes(list).any(|(_, expression)| {
        let name = attribute(attributes(expression), EXPRESSION_NAME).map(text).unwrap_or_default();
        let data = attribute(attributes(expression), EXPRESSION_DATA).unwrap_or_default();
        match name.as_str() {
            "immediate" => verdict(data).is_some_and(|code| !NOT_ACCEPTING.contains(&code)),
            "lookup" => attribute(attributes(data), LOOKUP_RESULT).is_some(),
            other => !WITHOUT_VERDICT.contains(&other),
        }
    })
}

fn verdict(immediate: &[u8]) -> Option<u32> {
    let data = attribute(attributes(immediate), IMMEDIATE_DATA)?;
    let verdict = attribute(attributes(data), VERDICT)?;
    number(attribute(attributes(verdict), VERDICT_CODE)?)
}
