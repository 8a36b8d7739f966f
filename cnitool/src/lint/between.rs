//! Networks beside each other: their names, their addresses, their bridges.

use ipnetwork::IpNetwork;

use crate::lint::files::File;
use crate::lint::network::Network;
use crate::lint::problem::Problem;
use crate::lint::ranges::{Pool, Range, bits, overlap};

/// Plugins whose addresses are the host's own matter: it has a route to their subnet.
pub const ROUTED_BY_HOST: [&str; 3] = ["bridge", "ptp", "ipip"];

/// Compares all networks.
pub fn check(files: &[File], networks: &[Network<'_>], problems: &mut Vec<Problem>) {
    names(files, networks, problems);
    let pools: Vec<Pool<'_>> = networks
        .iter()
        .flat_map(|network| {
            network.plugins.iter().filter_map(move |plugin| Pool::of(network, plugin))
        })
        .collect();
    for (index, pool) in pools.iter().enumerate() {
        for before in pools.iter().take(index) {
            problems.extend(addresses(before, pool));
            problems.extend(bridges(before, pool));
        }
    }
}

/// Two networks of one name: only one of them is found.
fn names(files: &[File], networks: &[Network<'_>], problems: &mut Vec<Problem>) {
    for (index, network) in networks.iter().enumerate() {
        let same = |before: &&Network<'_>| before.name() == network.name();
        let Some(before) =
            networks.iter().take(index).find(same).filter(|_| !network.name().is_empty())
        else {
            continue;
        };
        let other = files.get(before.file).map_or("", |file| file.shown.as_str());
        let shared = match data_dirs(before).any(|dir| data_dirs(network).any(|own| own == dir)) {
            true => ", and in host-local's files both share one pool",
            false => "",
        };
        problems.push(
            Problem::warning(
                "same-name",
                &network.name_at(),
                format!("there is a network {:?} already", network.name()),
            )
            .also(&before.name_at(), "here")
            .why(format!("runtimes that look for it by name find {other}{shared}"))
            .help("give each network a name of its own"),
        );
    }
}

/// Where host-local keeps what it hands out for a network.
fn data_dirs<'a>(network: &'a Network<'a>) -> impl Iterator<Item = &'a str> {
    let pools = network.plugins.iter().filter_map(|plugin| Pool::of(network, plugin));
    pools.map(|pool| pool.data_dir())
}

/// Two networks that hand out the same addresses, or whose subnets the host cannot tell apart.
fn addresses(before: &Pool<'_>, pool: &Pool<'_>) -> Option<Problem> {
    let (one, two) = (before.network, pool.network);
    // By one name they share a pool, and that has been said.
    if one.name() == two.name() {
        return None;
    }
    let pairs = || before.ranges().flat_map(|a| pool.ranges().map(move |b| (a, b)));
    if let Some((a, b)) = pairs().find(|(a, b)| a.overlaps(b)) {
        let what =
            format!("the network {:?} hands out the same addresses: {}", one.name(), a.common(b));
        return Some(
            Problem::warning("overlapping-networks", b.at, what)
                .also(a.at, "the other network's")
                .why("each network keeps its own list of what is taken, so two containers get one address")
                .help("use a subnet of its own, or rangeStart and rangeEnd, for each network"),
        );
    }
    let on_host = |pool: &Pool<'_>| ROUTED_BY_HOST.contains(&pool.plugin.called());
    if !on_host(before) || !on_host(pool) || is_same_bridge(before, pool) {
        return None;
    }
    let (a, b) = pairs().find(|(a, b)| overlap(a.subnet, b.subnet))?;
    let what = format!("the network {:?} has addresses of this subnet too", one.name());
    Some(
        Problem::warning("overlapping-networks", b.at, what)
            .also(a.at, "the other network's")
            .why("the host has one route to a subnet, and reaches the containers of one network only")
            .help("use a subnet of its own for each network, or the same bridge for both"),
    )
}

fn bridge<'a>(pool: &Pool<'a>) -> Option<&'a str> {
    let is_bridge = pool.plugin.is("bridge");
    is_bridge.then(|| pool.plugin.node.text_of("bridge").unwrap_or("cni0"))
}

fn is_same_bridge(one: &Pool<'_>, two: &Pool<'_>) -> bool {
    let vlan = |pool: &Pool<'_>| {
        pool.plugin.node.get("vlan").and_then(crate::lint::document::Node::integer).unwrap_or(0)
    };
    bridge(one).is_some() && bridge(one) == bridge(two) && vlan(one) == vlan(two)
}

/// The addresses that a bridge is to have as a gateway.
pub fn gateways<'a, 'b>(pool: &'b Pool<'a>) -> impl Iterator<Item = (&'b Range<'a>, IpNetwork)> {
    let is_gateway =
        pool.plugin.node.is_on("isGateway") || pool.plugin.node.is_on("isDefaultGateway");
    let ranges = pool.ranges().filter(move |_| is_gateway && pool.plugin.is("bridge"));
    ranges.filter_map(|range| {
        Some((range, IpNetwork::new(range.gateway, range.subnet.prefix()).ok()?))
    })
}

/// One bridge that two networks give different addresses of IPv4, or of overlapping subnets: the second is refused.
pub fn conflict(held: IpNetwork, wanted: IpNetwork) -> bool {
    held.is_ipv4() == wanted.is_ipv4()
        && (bits(held.ip()), held.prefix()) != (bits(wanted.ip()), wanted.prefix())
        && (held.is_ipv4() || overlap(held, wanted))
}

fn bridges(before: &Pool<'_>, pool: &Pool<'_>) -> Option<Problem> {
    if !is_same_bridge(before, pool) || pool.plugin.node.is_on("forceAddress") {
        return None;
    }
    let pairs = gateways(before)
        .flat_map(|(a, held)| gateways(pool).map(move |(b, wanted)| (a, held, b, wanted)));
    let (a, held, b, wanted) =
        pairs.into_iter().find(|(_, held, _, wanted)| conflict(*held, *wanted))?;
    let name = bridge(pool).unwrap_or_default();
    let other = before.network.name();
    Some(
        Problem::warning("same-bridge", b.at, format!("{name} is to be the gateway {wanted}, and {held} for the network {other:?}"))
            .also(a.at, "the other network's")
            .why(format!("the network whose ADD comes second is refused: \"{name}\" already has an IP address different from {wanted}"))
            .help("give each network a bridge of its own: \"bridge\": \"cni1\""),
    )
}
