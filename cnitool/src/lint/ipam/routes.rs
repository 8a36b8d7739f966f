//! Checks the routes of a pool.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use libcni::ip;

use crate::lint::document::Node;
use crate::lint::problem::Problem;
use crate::lint::ranges::{Pool, address, bounds};

/// Plugins of routed links, whose gateway can be outside the subnet.
const ROUTED: [&str; 2] = ["ptp", "ipip"];

/// Checks the routes of a pool whose ranges are correct.
pub fn check(pool: &Pool<'_>, is_ours: bool, problems: &mut Vec<Problem>) {
    let routes = pool.ipam.get("routes").map(Node::items).unwrap_or_default();
    let read: Vec<Route<'_>> = routes.iter().filter_map(Route::of).collect();
    let mut known: HashMap<Key, &Route<'_>> = HashMap::new();
    for route in &read {
        destination(route, problems);
        next_hop(route, pool, problems);
        match known.entry(route.key()) {
            Entry::Occupied(other) => problems.push(twice(route, other.get(), is_ours)),
            Entry::Vacant(free) => drop(free.insert(route)),
        }
    }
    gateways(pool, &read, problems);
}

struct Route<'a> {
    node: &'a Node,
    dst: &'a Node,
    to: IpNetwork,
    via: Option<(&'a Node, IpAddr)>,
}

impl<'a> Route<'a> {
    fn of(node: &'a Node) -> Option<Route<'a>> {
        let dst = node.get("dst")?;
        let via = node.get("gw").and_then(|gw| Some((gw, ip::address(gw.text()?).ok()?)));
        Some(Route { node, dst, to: ip::cidr(dst.text()?).ok()?, via })
    }

    /// The key by which the kernel identifies the route.
    fn key(&self) -> Key {
        let numbers = ["priority", "table"].map(|key| self.node.get(key).and_then(Node::integer));
        (self.to.network(), self.to.prefix(), self.via.map(|(_, via)| via), numbers)
    }
}

type Key = (IpAddr, u8, Option<IpAddr>, [Option<i128>; 2]);

fn destination(route: &Route<'_>, problems: &mut Vec<Problem>) {
    let (network, _) = bounds(route.to);
    let network = address(route.to, network);
    if network != route.to.ip() {
        problems.push(
            Problem::warning(
                "host-bits",
                &route.dst.at,
                format!("{} is an address in a subnet, not a subnet", route.to),
            )
            .why(
                "the reference plugins pass it on unchanged, and the kernel refuses it: \"invalid \
                 argument\"",
            )
            .help(format!("write \"{network}/{}\"", route.to.prefix())),
        );
    }
}

fn twice(route: &Route<'_>, other: &Route<'_>, is_ours: bool) -> Problem {
    let what = "this route is a duplicate";
    let problem = match is_ours {
        true => Problem::warning("duplicate-route", &route.dst.at, what),
        false => Problem::error("duplicate-route", &route.dst.at, what),
    };
    problem
        .also(&other.dst.at, "first here")
        .why("the reference plugins add both, and the kernel refuses the second: \"file exists\"")
        .help("remove one of them")
}

/// Checks that the next hop of a route is reachable.
fn next_hop(route: &Route<'_>, pool: &Pool<'_>, problems: &mut Vec<Problem>) {
    let Some((gw, via)) = route.via else {
        let has_family = pool.ranges().any(|range| range.subnet.is_ipv4() == route.to.is_ipv4());
        if !has_family && !pool.is_open() {
            let family = if route.to.is_ipv4() { "IPv4" } else { "IPv6" };
            problems.push(
                Problem::warning(
                    "route-without-addresses",
                    &route.dst.at,
                    format!("the container has no {family} addresses for this route"),
                )
                .why(
                    "the route has no next hop, and the container cannot use it without an address \
                     of the family",
                )
                .help(format!("add a range set of {family} addresses, or remove the route")),
            );
        }
        return;
    };
    if via.is_ipv4() != route.to.is_ipv4() {
        problems.push(
            Problem::error(
                "next-hop",
                &gw.at,
                format!("the next hop {via} is of another family than {}", route.to),
            )
            .why("the kernel refuses such a route, so every ADD fails")
            .help("write an address of the same family"),
        );
        return;
    }
    let reached = pool.ranges().any(|range| {
        range.subnet.contains(via)
            || (ROUTED.contains(&pool.plugin.called()) && range.gateway == via)
    });
    if reached || pool.is_open() {
        return;
    }
    let subnets: Vec<String> = pool.ranges().map(|range| range.subnet.to_string()).collect();
    problems.push(
        Problem::error(
            "next-hop",
            &gw.at,
            format!("the next hop {via} is in no subnet of the container: {}", subnets.join(", ")),
        )
        .why("the kernel refuses such a route, \"network is unreachable\", so every ADD fails")
        .help("write an address of these subnets, or omit gw to use the gateway"),
    );
}

/// Reports gateways that the container cannot reach.
fn gateways(pool: &Pool<'_>, routes: &[Route<'_>], problems: &mut Vec<Problem>) {
    if ROUTED.contains(&pool.plugin.called()) {
        return;
    }
    for range in pool.ranges() {
        let Some(gateway) = range.node.get("gateway") else { continue };
        if range.subnet.contains(range.gateway) || range.gateway.is_ipv4() != range.subnet.is_ipv4()
        {
            continue;
        }
        let uses =
            |route: &Route<'_>| route.via.is_none() && route.to.is_ipv4() == range.subnet.is_ipv4();
        let is_used = routes.iter().any(uses) || pool.plugin.node.is_on("isDefaultGateway");
        let what = format!("the gateway {} is not in {}", range.gateway, range.subnet);
        let problem = match is_used {
            true => Problem::error("gateway", &gateway.at, what).why(
                "the kernel refuses routes through it, \"network is unreachable\", so every ADD \
                 fails",
            ),
            false => {
                Problem::warning("gateway", &gateway.at, what).why("containers cannot reach it")
            }
        };
        problems.push(
            problem
                .also(range.at, "the subnet")
                .help("write an address of the subnet, or omit it to use the first one"),
        );
    }
}
