//! Finds firewall chains of other programs that drop forwarded packets.

use kernel::iptables;
use kernel::nft::Nft;

use crate::lint::between::ROUTED_BY_HOST;
use crate::lint::network::{Network, Plugin, beginning};
use crate::lint::problem::Problem;

/// Warns of chains that drop forwarded packets: containers then start, but can reach only this
/// host.
pub fn check(network: &Network<'_>, problems: &mut Vec<Problem>) {
    // The plugin `firewall` adds rules that accept the network's packets.
    if network.plugins.iter().any(|plugin| plugin.is("firewall")) {
        return;
    }
    let Some(plugin) = network.plugins.iter().find(|plugin| is_routed(plugin)) else { return };
    // If the chains cannot be read, there is no finding.
    let chains = dropping().unwrap_or_default();
    let Some((chain, is_certain)) = chains.iter().max_by_key(|(_, is_certain)| *is_certain) else {
        return;
    };
    let at = plugin.node.get("type").map_or_else(|| beginning(plugin.node), |it| it.at.clone());
    let what = match is_certain {
        true => {
            format!(
                "this host forwards no packets: {chain} has the policy drop and no rule that \
                 accepts"
            )
        }
        false => format!(
            "this host forwards only packets that other programs accept: {chain} has the policy \
             drop"
        ),
    };
    problems.push(
        Problem::warning("forward-drop", &at, what)
            .why(
                "packets between the containers and other machines are dropped unless a rule \
                 accepts them; Docker and ufw set this policy",
            )
            .help(remedy(network, chain)),
    );
}

/// The rules that accept packets from and to the network's containers.
fn remedy(network: &Network<'_>, chain: &str) -> String {
    let subnet = network
        .plugins
        .iter()
        .filter_map(|plugin| crate::lint::ranges::Pool::of(network, plugin))
        .find_map(|pool| pool.ranges().find(|range| range.subnet.is_ipv4()).map(|it| it.subnet));
    let subnet = subnet.map_or_else(|| "SUBNET".to_owned(), |subnet| subnet.to_string());
    let rule = |direction: &str| match chain.strip_prefix("iptables-legacy ") {
        Some(chain) => format!("iptables-legacy -I {chain} -{direction} {subnet} -j ACCEPT"),
        None => format!("nft insert rule {chain} ip {direction}addr {subnet} accept"),
    };
    format!(
        "accept the containers' packets, for example with `{}` and `{}`, or add the firewall \
         plugin to the list",
        rule("s"),
        rule("d")
    )
}

/// Whether the host forwards packets of the plugin's containers.
fn is_routed(plugin: &Plugin<'_>) -> bool {
    let is_gateway = || ["isGateway", "isDefaultGateway"].iter().any(|key| plugin.node.is_on(key));
    ROUTED_BY_HOST.contains(&plugin.called()) && (!plugin.is("bridge") || is_gateway())
}

/// The chains with the policy `drop`, and for each whether no rule accepts packets.
fn dropping() -> kernel::Result<Vec<(String, bool)>> {
    let is_ipv4 = true;
    let drops = Nft::open()?.forward_drops(is_ipv4)?.into_iter();
    let mut found: Vec<(String, bool)> = drops.map(|drop| (drop.chain, drop.is_certain)).collect();
    let legacy = iptables::legacy_forward_drops(is_ipv4)?;
    found.extend(legacy.map(|is_certain| ("iptables-legacy FORWARD".to_owned(), is_certain)));
    Ok(found)
}
