//! Checks each plugin of a network: its type, its place in the list and its keys.

mod keys;
mod kind;

use serde_json::Value as Json;

use kind::Wanted;

use crate::lint::binaries::Binaries;
use crate::lint::known::{self, Role};
use crate::lint::network::{Network, Plugin, beginning};
use crate::lint::problem::Problem;

/// The schema of the keys that every plugin can have.
pub fn common_keys() -> Json {
    serde_json::from_str(include_str!("plugin.schema.json")).unwrap_or_default()
}

/// Checks the types and the keys of a network's plugins.
pub fn check(
    network: &Network<'_>,
    binaries: &Binaries,
    common: &Json,
    problems: &mut Vec<Problem>,
) {
    for plugin in &network.plugins {
        kind::check(plugin.node, Wanted::Plugin, binaries, problems);
        if let Some(ipam) = plugin.node.get("ipam") {
            kind::check(ipam, Wanted::Addresses, binaries, problems);
        }
        keys::check(plugin, binaries, common, problems);
        keys::capabilities(plugin, binaries, problems);
    }
    if !network.is_chain() {
        order(network, problems);
    }
}

/// Reports plugins at a wrong position in the list.
fn order(network: &Network<'_>, problems: &mut Vec<Problem>) {
    let role = |plugin: &Plugin<'_>| plugin.kind.as_ref().and_then(|kind| known::role(kind));
    let at = |plugin: &Plugin<'_>| {
        plugin.node.get("type").map_or_else(|| beginning(plugin.node), |it| it.at.clone())
    };
    if let Some(first) = network.plugins.first().filter(|first| role(first) == Some(Role::Chained))
    {
        problems.push(
            Problem::error(
                "order",
                &at(first),
                format!("{} cannot be the first plugin", first.called()),
            )
            .why("it changes the interface of a plugin before it, and fails without one")
            .help(
                "put it after bridge, ptp or another plugin that creates an interface, in a \
                 .conflist file",
            ),
        );
    }
    let makers: Vec<&Plugin<'_>> =
        network.plugins.iter().filter(|it| role(it) == Some(Role::Interface)).collect();
    if let [first, second, ..] = makers.as_slice() {
        let what = format!(
            "{} and {} both create the container's interface",
            first.called(),
            second.called()
        );
        problems.push(
            Problem::error("order", &at(second), what)
                .label("the interface already exists")
                .also(&at(first), "created here")
                .why("all plugins of a list use the same interface name, so the second one fails")
                .help("move the second one to a network of its own"),
        );
    }
}
