//! Checks the keys of `macvlan`.

use ipnetwork::IpNetwork;

use super::Found;
use crate::lint::document::{Member, Node};
use crate::lint::problem::Problem;

impl Found<'_, '_> {
    pub(super) fn macvlan(&mut self) {
        let routes = self.member("hostRoutes").filter(|it| !it.node.items().is_empty());
        let key = if self.is_on("hostAccess") { self.member("hostAccess") } else { routes };
        let Some(key) = key else { return };
        let mode = self.node().text_of("mode").unwrap_or_default();
        let problem = if !matches!(mode, "" | "bridge") {
            let what = format!("{} needs mode bridge", key.key);
            self.refused("contradiction", key, what).help(
                "in other modes containers cannot reach links of their own parent: remove one of \
                 them",
            )
        } else if self.is_on("linkInContainer") {
            let what = format!("{} excludes linkInContainer", key.key);
            self.refused("contradiction", key, what)
                .help("the host has no link in the container's network: remove one of them")
        } else if !self.has_ipam() {
            let what = format!("{} needs \"ipam\"", key.key);
            self.refused("contradiction", key, what).help(
                "containers without addresses are unreachable: add \"ipam\", or remove the key",
            )
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
                "this is the default route, which cannot lead through the host"
            } else if pool.ranges().any(|range| is_it(&range.subnet)) {
                "this is the container's own subnet, which is on the parent's network"
            } else if of_ipam.iter().any(is_it) {
                "the routes of ipam already contain this one"
            } else {
                continue;
            };
            problems.push(
                Problem::error("contradiction", &node.at, what)
                    .why("macvlan refuses it, so every ADD fails")
                    .help("remove it"),
            );
        }
        self.problems.append(&mut problems);
    }
}
