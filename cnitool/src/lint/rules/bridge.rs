//! Checks the keys of `bridge`.

use ipnetwork::IpNetwork;
use libcni::IfName;

use super::Found;
use crate::lint::between::conflict;
use crate::lint::binaries::Binaries;
use crate::lint::document::Node;
use crate::lint::problem::Problem;
use crate::lint::ranges::{Range, Set};

impl Found<'_, '_> {
    pub(super) fn bridge(&mut self) {
        if let (true, true, Some(at)) =
            (self.is_on("hairpinMode"), self.is_on("promiscMode"), self.member("promiscMode"))
        {
            let problem =
                self.refused("contradiction", at, "hairpinMode and promiscMode exclude each other");
            let problem = match self.member("hairpinMode") {
                Some(other) => problem.also(&other.key_at, "and this"),
                None => problem,
            };
            self.problems.push(
                problem
                    .help("remove one of them: promiscMode also lets containers reach themselves"),
            );
        }
        if let (true, true, Some(at)) = (
            self.is_on("disableContainerInterface"),
            self.has_ipam(),
            self.member("disableContainerInterface"),
        ) {
            let problem =
                self.refused("contradiction", at, "an interface that stays down has no addresses");
            self.problems.push(problem.help("remove \"ipam\" or disableContainerInterface"));
        }
        // Another check reports an `ipam` without a type.
        let is_meant = self.node().get("ipam").is_some_and(|ipam| !ipam.members().is_empty());
        if !self.has_ipam() && !is_meant {
            let help =
                "add \"ipam\": { \"type\": \"host-local\", \"subnet\": \"..\" }, or remove the key";
            for key in ["isGateway", "isDefaultGateway", "ipMasq"] {
                self.no_effect(key, "\"ipam\"", help);
            }
        } else if !self.is_on("isGateway") && !self.is_on("isDefaultGateway") {
            self.no_effect(
                "forceAddress",
                "isGateway",
                "add \"isGateway\": true, or remove the key",
            );
        }
        if self.node().get("vlan").and_then(Node::integer).unwrap_or(0) == 0
            && self.node().get("vlanTrunk").is_none()
        {
            self.no_effect(
                "preserveDefaultVlan",
                "vlan or vlanTrunk",
                "add one of them, or remove the key",
            );
        }
    }

    /// Reports gateways that one bridge cannot have. A bridge can be the gateway of one IPv4
    /// subnet, and of IPv6 subnets that do not overlap. A container has an address of each range
    /// set.
    pub(super) fn gateways(&mut self) {
        let is_gateway = self.is_on("isGateway") || self.is_on("isDefaultGateway");
        let Some(pool) = self.pool.as_ref().filter(|_| is_gateway) else { return };
        if self.is_on("forceAddress") {
            return;
        }
        let wanted = |range: &Range<'_>| IpNetwork::new(range.gateway, range.subnet.prefix()).ok();
        let differ = |one: &Range<'_>, two: &Range<'_>| {
            // Another rule has reported overlapping ranges.
            let differ = wanted(one).zip(wanted(two)).is_some_and(|(one, two)| conflict(one, two));
            differ && !one.overlaps(two)
        };
        for (index, set) in pool.sets.iter().enumerate() {
            let conflicts = |before: &&Set<'_>| {
                let of_set = |one| set.ranges.iter().all(|two| differ(one, two));
                before.ranges.iter().all(of_set)
            };
            let before = pool.sets.iter().take(index).find(conflicts);
            let first = before.and_then(|before| before.ranges.first());
            let (Some(one), Some(two)) = (first, set.ranges.first()) else { continue };
            let what = format!(
                "the bridge cannot be the gateway of {} and of {} at once",
                one.subnet, two.subnet
            );
            let problem = Problem::error("contradiction", two.at, what)
                .also(one.at, "the other subnet")
                .why("bridge refuses it, so every ADD fails")
                .help("give each subnet a network of its own, with a \"bridge\" of its own");
            self.problems.push(problem);
            return;
        }
    }

    pub(super) fn vlans(&mut self) {
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
                        .help("minID is the first VLAN, maxID the last")
                }
                _ => continue,
            };
            self.problems.push(problem);
        }
    }

    /// Reports a duplicate default route: with `isDefaultGateway`, the reference suite's bridge
    /// makes one in addition to the route of `ipam`.
    pub(super) fn default_twice(&mut self, binaries: &Binaries) {
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
            Problem::error("duplicate-route", &dst.at, "isDefaultGateway already adds this route")
                .why(format!(
                    "{} adds both, and the kernel refuses the second: \"file exists\"",
                    file.display()
                ))
                .help("remove the route or isDefaultGateway"),
        );
    }
}
