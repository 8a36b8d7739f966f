//! Compares networks with each other: their names, addresses and bridges.

use std::collections::HashMap;

use ipnetwork::IpNetwork;

use crate::lint::document::Node;
use crate::lint::files::File;
use crate::lint::network::{Network, Plugin};
use crate::lint::problem::Problem;
use crate::lint::ranges::{Pool, Range, bits, bounds, overlap};

/// Plugins to whose subnets the host has routes.
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
        let before = || pools.iter().take(index);
        first_few(before().filter_map(|before| addresses(before, pool)), problems);
        first_few(before().filter_map(|before| bridges(before, pool)), problems);
    }
}

/// The maximum number of other networks in the findings about one network. All pairs of many equal
/// networks would fill pages.
const OTHERS: usize = 3;
/// The maximum number of further networks that are counted.
const COUNTED: usize = 100;

/// Reports conflicts of a network with the first few networks before it, and the number of other
/// conflicts.
fn first_few(found: impl Iterator<Item = Problem>, problems: &mut Vec<Problem>) {
    let mut found = found.fuse();
    let shown: Vec<_> = found.by_ref().take(OTHERS).collect();
    let more = found.take(COUNTED).count();
    let last = shown.len().saturating_sub(1);
    problems.extend(shown.into_iter().enumerate().map(|(index, problem)| {
        match index == last && more > 0 {
            true if more == COUNTED => problem.and_more("100 or more others"),
            true => problem.and_more(&format!("{more} more")),
            false => problem,
        }
    }));
}

/// Reports two networks with the same name, of which runtimes find only one.
fn names(files: &[File], networks: &[Network<'_>], problems: &mut Vec<Problem>) {
    let mut known: HashMap<&str, &Network<'_>> = HashMap::new();
    for network in networks.iter().filter(|network| !network.name().is_empty()) {
        let Some(before) = known.get(network.name()).copied() else {
            known.insert(network.name(), network);
            continue;
        };
        let other = files.get(before.file).map_or("", |file| file.shown.as_str());
        let shared = match data_dirs(before).any(|dir| data_dirs(network).any(|own| own == dir)) {
            true => ", and both share one pool in host-local's files",
            false => "",
        };
        problems.push(
            Problem::warning(
                "same-name",
                &network.name_at(),
                format!("another network has the name {:?}", network.name()),
            )
            .also(&before.name_at(), "here")
            .why(format!("runtimes find only {other} by this name{shared}"))
            .help("give each network a unique name"),
        );
    }
}

/// The directories of host-local's reservations for a network.
fn data_dirs<'a>(network: &'a Network<'a>) -> impl Iterator<Item = &'a str> {
    let pools = network.plugins.iter().filter_map(|plugin| Pool::of(network, plugin));
    pools.map(|pool| pool.data_dir())
}

/// Reports two networks that assign the same addresses, or whose subnets conflict in the host's
/// routes.
fn addresses(before: &Pool<'_>, pool: &Pool<'_>) -> Option<Problem> {
    let (one, two) = (before.network, pool.network);
    // Networks with the same name share a pool, which `names` reports.
    if one.name() == two.name() {
        return None;
    }
    let by_range = |range: &Range<'_>| (range.first, range.last);
    if let Some((a, b)) = common(before, pool, by_range) {
        let what =
            format!("the network {:?} assigns the same addresses: {}", one.name(), a.common(b));
        return Some(
            Problem::warning("overlapping-networks", b.at, what)
                .also(a.at, "the other network's")
                .why(
                    "each network has its own list of reservations, so two containers can get the \
                     same address",
                )
                .help(
                    "use a separate subnet, or separate rangeStart and rangeEnd, for each network",
                ),
        );
    }
    let on_host = |pool: &Pool<'_>| ROUTED_BY_HOST.contains(&pool.plugin.called());
    if !on_host(before) || !on_host(pool) || is_same_bridge(before, pool) {
        return None;
    }
    let (a, b) = common(before, pool, |range| bounds(range.subnet))?;
    let what = format!("the network {:?} also has addresses of this subnet", one.name());
    Some(
        Problem::warning("overlapping-networks", b.at, what)
            .also(a.at, "the other network's")
            .why(
                "the host has one route to a subnet, and reaches the containers of only one \
                 network",
            )
            .help("use a separate subnet for each network, or the same bridge for both"),
    )
}

/// Two ranges, one of each pool, that overlap, where `ends` returns the ends of a range. The cost
/// is that of sorting the ranges.
fn common<'a, 'b>(
    one: &'b Pool<'a>,
    two: &'b Pool<'a>,
    ends: impl Fn(&Range<'_>) -> (u128, u128),
) -> Option<(&'b Range<'a>, &'b Range<'a>)> {
    let of = |pool: &'b Pool<'a>, is_second| pool.ranges().map(move |range| (range, is_second));
    let mut all: Vec<_> = of(one, false).chain(of(two, true)).collect();
    all.sort_by_key(|(range, is_second)| (range.subnet.is_ipv4(), ends(range), *is_second));
    // For each pool, the range seen so far that ends last.
    let mut farthest: [Option<&Range<'_>>; 2] = [None, None];
    for (range, is_second) in all {
        let [first, second] = &mut farthest;
        let (own, others) = if is_second { (second, first) } else { (first, second) };
        let is_met = |other: &&Range<'_>| {
            other.subnet.is_ipv4() == range.subnet.is_ipv4() && ends(other).1 >= ends(range).0
        };
        if let Some(other) = others.filter(is_met) {
            return Some(if is_second { (other, range) } else { (range, other) });
        }
        let reaches = |own: &Range<'_>| {
            own.subnet.is_ipv4() == range.subnet.is_ipv4() && ends(own).1 >= ends(range).1
        };
        if !own.is_some_and(reaches) {
            *own = Some(range);
        }
    }
    None
}

fn is_same_bridge(one: &Pool<'_>, two: &Pool<'_>) -> bool {
    segment_of(one.plugin).is_some() && segment_of(one.plugin) == segment_of(two.plugin)
}

/// The bridge and the VLAN to which the plugin `bridge` attaches containers.
pub fn segment_of<'a>(plugin: &Plugin<'a>) -> Option<(&'a str, i128)> {
    let name = plugin.node.text_of("bridge").filter(|name| !name.is_empty()).unwrap_or("cni0");
    let vlan = plugin.node.get("vlan").and_then(Node::integer).unwrap_or(0);
    plugin.is("bridge").then_some((name, vlan))
}

/// The gateway addresses that a network configures for its bridge.
pub fn gateways<'a, 'b>(pool: &'b Pool<'a>) -> impl Iterator<Item = (&'b Range<'a>, IpNetwork)> {
    let is_gateway =
        pool.plugin.node.is_on("isGateway") || pool.plugin.node.is_on("isDefaultGateway");
    let ranges = pool.ranges().filter(move |_| is_gateway && pool.plugin.is("bridge"));
    ranges.filter_map(|range| {
        Some((range, IpNetwork::new(range.gateway, range.subnet.prefix()).ok()?))
    })
}

/// Whether the plugin `bridge` refuses a second address for a bridge: another address of IPv4, or
/// of an overlapping IPv6 subnet.
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
    let (name, _) = segment_of(pool.plugin)?;
    let other = before.network.name();
    Some(
        Problem::warning(
            "same-bridge",
            b.at,
            format!(
                "{name} needs the gateway address {wanted}, but {held} for the network {other:?}"
            ),
        )
        .also(a.at, "the other network's")
        .why(format!(
            "the first ADD of the second network fails: \"{name}\" already has an IP address \
             different from {wanted}"
        ))
        .help("give each network its own bridge: \"bridge\": \"cni1\""),
    )
}
