//! The objects of a job in nft's notation, for plans.

use netlink_packet_netfilter::nftables::InetHookNumber;

use super::batch::Base;
use super::job::Job;

/// The prefix of commands that declare an object.
pub(crate) const ADD: &str = "nft add ";

impl Job<'_> {
    /// The commands that declare all objects and add the elements.
    pub(super) fn show(&self) -> Vec<String> {
        let table = self.table.nft();
        let mut lines = vec![format!("{ADD}table {table}")];
        lines.extend(
            self.sets
                .iter()
                .map(|set| format!("{ADD}{} {table} {} {}", set.kind(), set.name, set.types())),
        );
        for chain in &self.chains {
            let name = &chain.name;
            let base = chain.base.map(base).unwrap_or_default();
            lines.push(format!("{ADD}chain {table} {name}{base}"));
            let rules = chain.rules.iter();
            lines.extend(rules.map(|rule| format!("{ADD}rule {table} {name} {}", rule.nft)));
        }
        let elements = self.elements.iter();
        lines.extend(
            elements.map(|it| format!("{ADD}element {table} {} {{ {} }}", it.set.name, it.nft)),
        );
        lines
    }
}

fn base(Base { kind, hook, priority }: Base) -> String {
    let hook = match hook {
        InetHookNumber::LocalIn => "input".to_owned(),
        other => format!("{other:?}").to_lowercase(),
    };
    format!(" {{ type {kind} hook {hook} priority {priority}; policy accept; }}")
}
