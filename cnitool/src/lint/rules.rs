//! What the keys of a plugin say together: contradictions that it refuses, and keys that do nothing without others.

mod tunnel;

use ipnetwork::IpNetwork;
use libcni::IfName;

use crate::lint::binaries::Binaries;
use crate::lint::document::{Member, Node};
use crate::lint::known;
use crate::lint::network::{Network, Plugin, beginning};
use crate::lint::problem::Problem;
use crate::lint::ranges::{Pool, address};

/// Checks what is known of a plugin by its name.
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
            found.vlans();
            found.default_twice(binaries);
            found.masquerade();
        }
        "ptp" => found.masquerade(),
        "macvlan" => found.macvlan(),
        "ipip" => tunnel::check(&mut found, index == 0),
        "portmap" => found.filled_in("portMappings", &[]),
        "bandwidth" => found.filled_in("bandwidth", &["ingressRate", "egressRate"]),
        _ => {}
    }
}

/// A plugin, and what was found.
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

    /// A key that is on does nothing.
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
                .why(format!("{} ignores it without a word", self.plugin.called()))
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
                .why("it refuses to work without addresses, so every ADD fails")
                .help("add \"ipam\": { \"type\": \"host-local\", \"subnet\": \"..\" }"),
        );
    }

    fn bridge(&mut self) {
        if let (true, true, Some(at)) =
            (self.is_on("hairpinMode"), self.is_on("promiscMode"), self.member("promiscMode"))
        {
            let problem =
                self.refused("contradiction", at, "hairpinMode and promiscMode do not go together");
            let problem = match self.member("hairpinMode") {
                Some(other) => problem.also(&other.key_at, "and this"),
                None => problem,
            };
            self.problems
                .push(problem.help(
                    "take one of them out: promiscMode lets containers reach themselves too",
                ));
        }
        if let (true, true, Some(at)) = (
            self.is_on("disableContainerInterface"),
            self.has_ipam(),
            self.member("disableContainerInterface"),
        ) {
            let problem =
                self.refused("contradiction", at, "an interface that stays down has no addresses");
            self.problems.push(problem.help("take \"ipam\" out, or disableContainerInterface"));
        }
        // One without a type has been found wrong.
        let is_meant = self.node().get("ipam").is_some_and(|ipam| !ipam.members().is_empty());
        if !self.has_ipam() && !is_meant {
            let help =
                "add \"ipam\": { \"type\": \"host-local\", \"subnet\": \"..\" }, or take it out";
            for key in ["isGateway", "isDefaultGateway", "ipMasq"] {
                self.no_effect(key, "\"ipam\"", help);
            }
        } else if !self.is_on("isGateway") && !self.is_on("isDefaultGateway") {
            self.no_effect("forceAddress", "isGateway", "add \"isGateway\": true, or take it out");
        }
        if self.node().get("vlan").and_then(Node::integer).unwrap_or(0) == 0
            && self.node().get("vlanTrunk").is_none()
        {
            self.no_effect(
                "preserveDefaultVlan",
                "vlan or vlanTrunk",
                "add one of them, or take it out",
            );
        }
    }

    fn vlans(&mut self) {
        let vlan = self.node().get("vlan").and_then(Node::integer).unwrap_or(0);
        let is_gateway = self.is_on("isGateway") || self.is_on("isDefaultGateway");
        let bridge = self.node().text_of("bridge").unwrap_or("cni0");
        let name = format!("{bridge}.{vlan}");
        if let (true, true, Some(at)) = (vlan != 0, is_gateway, self.member("bridge"))
            && IfName::new(bridge).is_ok()
            && IfName::new(&name).is_err()
        {
            let what = format!("the gateway's interface would be called {name}, which is too long");
            let problem = self.refused("name-too-long", at, what);
            self.problems.push(problem.help(
                "names of interfaces have at most 15 characters: give the bridge a shorter one",
            ));
        }
        for trunk in self.node().get("vlanTrunk").map(Node::items).unwrap_or_default() {
            let end = |key: &str| trunk.get(key).and_then(Node::integer);
            let (low, high) = (trunk.member("minID"), trunk.member("maxID"));
            let problem = match (low, high) {
                (Some(low), None) => self
                    .refused("contradiction", low, "minID needs maxID")
                    .help("add maxID, or write \"id\" for one VLAN alone"),
                (None, Some(high)) => self
                    .refused("contradiction", high, "maxID needs minID")
                    .help("add minID, or write \"id\" for one VLAN alone"),
                (Some(_), Some(high)) if end("minID") > end("maxID") && end("maxID").is_some() => {
                    self.refused("contradiction", high, "maxID is smaller than minID")
                        .help("minID is the lower end, maxID the upper")
                }
                _ => continue,
            };
            self.problems.push(problem);
        }
    }

    /// The reference suite's bridge makes the default route that it is asked for and the one of ipam.
    fn default_twice(&mut self, binaries: &Binaries) {
        let Some(kind) = self.plugin.kind.as_ref().filter(|_| self.is_on("isDefaultGateway"))
        else {
            return;
        };
        let binary = binaries.get(kind);
        let (Some(file), false) = (&binary.file, binary.is_ours) else { return };
        let routes = self.pool.as_ref().and_then(|pool| pool.ipam.get("routes"));
        let is_default =
            |dst: &&Node| dst.text().is_some_and(|dst| dst == "0.0.0.0/0" || dst == "::/0");
        let without_gw = routes
            .map(Node::items)
            .unwrap_or_default()
            .iter()
            .filter(|route| route.get("gw").is_none());
        let Some(dst) = without_gw.filter_map(|route| route.get("dst")).find(is_default) else {
            return;
        };
        self.problems.push(
            Problem::error(
                "duplicate-route",
                &dst.at,
                "with isDefaultGateway this route is there twice",
            )
            .why(format!(
                "{} makes both, and the kernel refuses the second: \"file exists\"",
                file.display()
            ))
            .help("take the route out, or isDefaultGateway"),
        );
    }

    fn masquerade(&mut self) {
        if !self.is_on("ipMasq") {
            for key in ["ipMasqBackend", "ipMasqBeyond"] {
                self.no_effect(key, "ipMasq", "add \"ipMasq\": true, or take it out");
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
            self.problems.push(problem.help("the containers' own network has to be among them"));
            return;
        }
    }

    fn macvlan(&mut self) {
        let routes = self.member("hostRoutes").filter(|it| !it.node.items().is_empty());
        let key = if self.is_on("hostAccess") { self.member("hostAccess") } else { routes };
        let Some(key) = key else { return };
        let mode = self.node().text_of("mode").unwrap_or_default();
        let problem = if !matches!(mode, "" | "bridge") {
            let what = format!("{} needs mode bridge", key.key);
            self.refused("contradiction", key, what).help("in the other modes containers do not talk to links of their own parent: take one of them out")
        } else if self.is_on("linkInContainer") {
            let what = format!("{} does not go with linkInContainer", key.key);
            self.refused("contradiction", key, what)
                .help("the host has no part in a container's network: take one of them out")
        } else if !self.has_ipam() {
            let what = format!("{} needs \"ipam\"", key.key);
            self.refused("contradiction", key, what)
                .help("without addresses there is nothing to reach: add \"ipam\", or take it out")
        } else {
            self.host_routes(routes);
            return;
        };
        self.problems.push(problem);
    }

    fn host_routes(&mut self, routes: Option<&Member>) {
        let Some(pool) = &self.pool else { return };
        let of_ipam = pool.ipam.get("routes").map(Node::items).unwrap_or_default();
        let of_ipam: Vec<IpNetwork> =
            of_ipam.iter().filter_map(|it| it.text_of("dst")?.parse().ok()).collect();
        let mut problems = Vec::new();
        for node in routes.map(|it| it.node.items()).unwrap_or_default() {
            let Some(to) = node.text().and_then(|text| text.parse::<IpNetwork>().ok()) else {
                continue;
            };
            let is_it = |other: &IpNetwork| {
                (other.network(), other.prefix()) == (to.network(), to.prefix())
            };
            let what = if to.prefix() == 0 {
                "this is everything, and no container has its whole traffic go through its host here"
            } else if pool.ranges().any(|range| is_it(&range.subnet)) {
                "this is the container's own subnet, which is on the wire"
            } else if of_ipam.iter().any(is_it) {
                "this is among the routes of ipam too"
            } else {
                continue;
            };
            problems.push(
                Problem::error("contradiction", &node.at, what)
                    .why("macvlan refuses it, so every ADD fails")
                    .help("take it out"),
            );
        }
        self.problems.append(&mut problems);
    }

    /// Plugins that do nothing unless the runtime fills something in, or somebody wrote it down.
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
            // Its spelling has been found wrong.
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
            .why("runtimes hand a plugin only what it declares")
            .help(format!("add \"capabilities\": {{ \"{capability}\": true }}")),
        );
    }
}
