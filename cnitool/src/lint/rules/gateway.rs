//! Finds chains in which `ipip` follows a plugin whose containers do not use this host as their
//! gateway.

use std::net::IpAddr;

use crate::lint::document::Node;
use crate::lint::network::{Network, Plugin, beginning};
use crate::lint::problem::Problem;
use crate::lint::ranges::Pool;

/// The error for a network whose gateway is not this host according to the configuration, and the
/// gateway's addresses: if this host has one of them on another link, it is the gateway.
pub fn absent(network: &Network<'_>) -> Option<(Problem, Vec<IpAddr>)> {
    let index = network.plugins.iter().position(|it| it.is("ipip") && it.ipam.is_none())?;
    let is_interface =
        |it: &&Plugin<'_>| ["bridge", "ptp", "macvlan", "ipvlan"].contains(&it.called());
    let before = network.plugins.iter().take(index).rfind(is_interface)?;
    let is_on = |key| before.node.is_on(key);
    let (what, help) = match before.called() {
        "bridge" if is_on("isGateway") || is_on("isDefaultGateway") => return None,
        "bridge" => (
            "the bridge is not the gateway of its containers",
            "Set isGateway in the bridge before it.",
        ),
        "ptp" => return None,
        _ => ("the containers' gateway is not this host", "Put ipip after bridge or ptp."),
    };
    let pool = Pool::of(network, before)?;
    let routes = before.node.get("ipam").and_then(|ipam| ipam.get("routes"));
    if routes.map(Node::items).unwrap_or_default().iter().any(|route| route.has("gw")) {
        return None;
    }
    let gateways: Vec<IpAddr> =
        pool.ranges().filter(|it| it.subnet.is_ipv4()).map(|it| it.gateway).collect();
    let ipip = network.plugins.get(index)?;
    let at = ipip.node.get("type").map_or_else(|| beginning(ipip.node), |it| it.at.clone());
    let problem = Problem::error("no-gateway", &at, format!("{what}, so no packets reach ipip"))
        .why(
            "ipip refuses containers that send their packets for the peers to another address than \
             this host's, so every ADD fails",
        )
        .help(help);
    (!gateways.is_empty()).then_some((problem, gateways))
}
