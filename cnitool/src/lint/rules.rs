//! Checks the keys of a plugin together: contradictions, and keys without effect.

mod bridge;
mod gateway;
mod macvlan;
pub mod tunnel;

use ipnetwork::IpNetwork;

use crate::lint::binaries::Binaries;
use crate::lint::document::{Member, Node};
use crate::lint::known;
use crate::lint::network::{Network, Plugin, beginning};
use crate::lint::problem::Problem;
use crate::lint::ranges::{Pool, address};

pub use gateway::absent as absent_gateway;

/// Applies the rules for a plugin's type.
pub fn check(
    network: &Network<'_>,
    index: usize,
    binaries: &Binaries,
    problems: &mut Vec<Problem>,
) {
    let Some(plugin) = network.plugins.get(index) else { return };
    let mut found = Found { plugin, pool: Pool::of(network, plugin), problems };
    found.addresses_needed();
    match plugin.called() {
        "bridge" => {
            found.bridge();
            found.gateways();
            found.vlans();
            found.default_twice(binaries);
            found.masquerade();
        }
        "ptp" => found.masquerade(),
        "macvlan" => found.macvlan(),
        "ipip" => {
            tunnel::check(&mut found, index == 0 && !network.is_chain());
            found.masquerade();
            let absent = gateway::absent(network).filter(|_| !plugin.node.has("ipam"));
            problems.extend(absent.map(|(problem, _)| problem));
        }
        "portmap" => found.filled_in("portMappings", &[]),
        "bandwidth" => found.filled_in("bandwidth", &["ingressRate", "egressRate"]),
        _ => {}
    }
}

/// A plugin and its findings.
struct Found<'a, 'b> {
    plugin: &'a Plugin<'a>,
    pool: Option<Pool<'a>>,
    problems: &'b mut Vec<Problem>,
}

impl<'a> Found<'a, '_> {
    fn node(&self) -> &'a Node {
        self.plugin.node
    }

    fn is_on(&self, key: &str) -> bool {
        self.node().is_on(key)
    }

    fn member(&self, key: &str) -> Option<&'a Member> {
        self.node().member(key)
    }

    fn has_ipam(&self) -> bool {
        self.node()
            .get("ipam")
            .and_then(|ipam| ipam.text_of("type"))
            .is_some_and(|it| !it.is_empty())
    }

    fn refused(&self, rule: &'static str, at: &Member, what: impl Into<String>) -> Problem {
        let why = format!("{} refuses it, so every ADD fails", self.plugin.called());
        Problem::error(rule, &at.key_at, what).why(why)
    }

    /// Reports a key that has a value but no effect.
    fn no_effect(&mut self, key: &str, without: &str, help: &str) {
        let Some(member) = self.member(key) else { return };
        let is_off = matches!(member.node.value, crate::lint::document::Value::Bool(false));
        let is_empty = member.node.text() == Some("")
            || member.node.shown() == "[..]" && member.node.items().is_empty();
        if is_off || is_empty {
            return;
        }
        let what = format!("{key} has no effect without {without}");
        self.problems.push(
            Problem::warning("no-effect", &member.key_at, what)
                .why(format!("{} ignores it silently", self.plugin.called()))
                .help(help),
        );
    }

    fn addresses_needed(&mut self) {
        let name = self.plugin.called();
        if !known::needs_addresses(name) || self.has_ipam() {
            return;
        }
        let at =
            self.member("ipam").map_or_else(|| beginning(self.node()), |ipam| ipam.key_at.clone());
        self.problems.push(
            Problem::error("needs-ipam", &at, format!("{name} needs \"ipam\""))
                .why("it fails without addresses, so every ADD fails")
                .help("add \"ipam\": { \"type\": \"host-local\", \"subnet\": \"..\" }"),
        );
    }

    fn masquerade(&mut self) {
        if !self.is_on("ipMasq") {
            for key in ["ipMasqBackend", "ipMasqBeyond"] {
                self.no_effect(key, "ipMasq", "add \"ipMasq\": true, or remove the key");
            }
            return;
        }
        let Some(beyond) = self.member("ipMasqBeyond") else { return };
        let networks: Vec<IpNetwork> =
            beyond.node.items().iter().filter_map(|it| it.text()?.parse().ok()).collect();
        let (Some(pool), true) = (&self.pool, networks.len() == beyond.node.items().len()) else {
            return;
        };
        for range in pool.ranges() {
            let mut family =
                networks.iter().filter(|it| it.is_ipv4() == range.subnet.is_ipv4()).peekable();
            let ends = [range.first, range.last].map(|bits| address(range.subnet, bits));
            if family.peek().is_none()
                || family.any(|network| ends.iter().all(|end| network.contains(*end)))
            {
                continue;
            }
            let what = format!("addresses of {} are in none of these networks", range.subnet);
            let problem = self
                .refused("contradiction", beyond, what)
                .also(range.at, "the containers' addresses");
            self.problems.push(problem.help("add the containers' own network"));
            return;
        }
    }

    /// Reports a plugin that does nothing without a capability or one of the keys.
    fn filled_in(&mut self, capability: &str, keys: &[&str]) {
        let runtime_config = self.node().get("runtimeConfig");
        let is_given = runtime_config.is_some_and(|it| it.get(capability).is_some());
        if is_given
            || self.plugin.declares(capability)
            || keys.iter().any(|key| self.node().get(key).is_some())
        {
            return;
        }
        let declared = self.node().get("capabilities").map(Node::members).unwrap_or_default();
        if declared.iter().any(|member| member.key.eq_ignore_ascii_case(capability)) {
            // Another check reports the misspelled capability.
            return;
        }
        let name = self.plugin.called();
        let at =
            self.member("type").map_or_else(|| beginning(self.node()), |it| it.node.at.clone());
        self.problems.push(
            Problem::warning(
                "no-effect",
                &at,
                format!("{name} does nothing without the capability {capability}"),
            )
            .why("runtimes pass only declared capabilities to a plugin")
            .help(format!("add \"capabilities\": {{ \"{capability}\": true }}")),
        );
    }
}
