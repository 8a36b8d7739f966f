//! The objects of a table that all attachments share, in nft's notation, for plans.

use netlink_packet_netfilter::nftables::InetHookNumber;

use super::batch::Table;
use super::{Base, Rule};

/// The prefix of commands that declare an object.
pub(crate) const ADD: &str = "nft add ";

/// The table, its sets or maps (each as its declaration), and its base chain.
pub(super) fn skeleton(table: Table, sets: &[&str], chain: &str, base: Base) -> Vec<String> {
    let name = table.nft();
    let Base { kind, priority, .. } = base;
    let hook = match base.hook {
        InetHookNumber::LocalIn => "input".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    };
    let mut lines = vec![format!("{ADD}table {name}")];
    lines.extend(sets.iter().map(|set| declared(table, set)));
    lines.push(format!(
        "{ADD}chain {name} {chain} \
         {{ type {kind} hook {hook} priority {priority}; policy accept; }}"
    ));
    lines
}

/// `nft add map inet ferrocni masq4 { .. }` from `map masq4 { .. }`.
fn declared(table: Table, set: &str) -> String {
    let (kind, rest) = set.split_once(' ').unwrap_or((set, ""));
    format!("{ADD}{kind} {} {rest}", table.nft())
}

/// The rules of a chain.
pub(super) fn rules(table: Table, chain: &str, rules: &[Rule]) -> Vec<String> {
    let line = |rule: &Rule| format!("{ADD}rule {} {chain} {}", table.nft(), rule.nft);
    rules.iter().map(line).collect()
}
