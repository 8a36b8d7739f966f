//! Compares the parents of macvlan networks with this host's links.

use kernel::Link;

use crate::lint::network::Network;
use crate::lint::problem::Problem;

/// Warns of parents that are down: containers then start, but reach nothing.
pub fn check(network: &Network<'_>, links: &[Link], problems: &mut Vec<Problem>) {
    for plugin in network.plugins.iter().filter(|plugin| plugin.is("macvlan")) {
        if plugin.node.is_on("linkInContainer") {
            continue;
        }
        let Some(master) = plugin.node.get("master") else { continue };
        let down = links.iter().find(|link| Some(&*link.name) == master.text() && !link.up);
        problems.extend(down.map(|Link { name, .. }| {
            Problem::warning(
                "parent-down",
                &master.at,
                format!("the parent {name} is down on this host"),
            )
            .why("containers start, and reach nothing until it is up")
            .help(format!("run `ip link set {name} up`"))
        }));
    }
}
