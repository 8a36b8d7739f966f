//! Checks a network's pool: finds configurations that host-local refuses, and addresses that
//! containers cannot use.

mod routes;

use std::path::{Component, Path};

use libcni::{Version, ip};

use crate::lint::document::Node;
use crate::lint::problem::{At, Problem};
use crate::lint::ranges::{Pool, Range, Set, address, bits, bounds, width};

/// Checks a pool.
pub fn check(pool: &Pool<'_>, is_ours: bool, problems: &mut Vec<Problem>) {
    let before = problems.len();
    given(pool, problems);
    folder(pool, problems);
    for set in &pool.sets {
        within(set, problems);
    }
    between(pool, problems);
    families(pool, problems);
    for (node, key) in subnets(pool) {
        subnet(node, key, problems);
    }
    for range in pool.ranges() {
        ends(range, problems);
    }
    if problems.len() == before {
        routes::check(pool, is_ours, problems);
    }
}

/// All objects with a subnet, and their subnets.
fn subnets<'a>(pool: &Pool<'a>) -> Vec<(&'a Node, &'a Node)> {
    let listed = pool.ipam.get("ranges").map(Node::items).unwrap_or_default();
    let by_runtime = pool.plugin.node.get("runtimeConfig").and_then(|it| it.get("ipRanges"));
    let by_runtime = by_runtime.map(Node::items).unwrap_or_default();
    let all = listed.iter().chain(by_runtime).flat_map(Node::items);
    let all = std::iter::once(pool.ipam).chain(all);
    all.filter_map(|node| Some((node, node.get("subnet")?))).collect()
}

fn refused(rule: &'static str, at: &At, what: String) -> Problem {
    Problem::error(rule, at, what).why("host-local refuses it, so every ADD fails")
}

/// Checks that there are addresses to assign, and that the keys that require `subnet` have it.
fn given(pool: &Pool<'_>, problems: &mut Vec<Problem>) {
    let ipam = pool.ipam;
    let is_wrong = ipam.get("ranges").is_some_and(|ranges| !ranges.items().is_empty());
    if pool.sets.is_empty() && !pool.is_open() && !is_wrong {
        let at = ipam.get("ranges").or(ipam.get("type")).map_or(&ipam.at, |node| &node.at);
        problems
            .push(refused("no-ranges", at, "host-local has no addresses to assign".to_owned()).help(
            "add \"ranges\": [[{ \"subnet\": \"10.1.2.0/24\" }]], with subnets that are not in use",
        ));
    }
    if ipam.get("subnet").is_some() {
        return;
    }
    for member in ["rangeStart", "rangeEnd", "gateway"].iter().filter_map(|key| ipam.member(key)) {
        let problem = Problem::warning(
            "no-effect",
            &member.key_at,
            format!("{} has no effect here", member.key),
        )
        .why("it belongs to a \"subnet\" in the same object, which is missing");
        problems.push(match ipam.get("ranges") {
            Some(_) => problem.help("move it into its range in \"ranges\""),
            None => problem.help("add \"subnet\": \"..\""),
        });
    }
}

fn folder(pool: &Pool<'_>, problems: &mut Vec<Problem>) {
    let Some(node) = pool.ipam.get("dataDir") else { return };
    let Some(text) = node.text().filter(|text| !text.is_empty()) else { return };
    let path = Path::new(text);
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        problems.push(
            refused(
                "data-dir",
                &node.at,
                format!("{text:?} is not an absolute path without \"..\""),
            )
            .help("write an absolute path, such as /var/lib/cni/networks"),
        );
    }
}

/// Checks a subnet and the keys of its range.
fn subnet(node: &Node, key: &Node, problems: &mut Vec<Problem>) {
    let Some(subnet) = key.text().and_then(|text| ip::cidr(text).ok()) else { return };
    if subnet.prefix() > width(subnet) - 2 {
        problems.push(
            refused(
                "subnet-too-small",
                &key.at,
                format!("{subnet} is too small for a range of addresses"),
            )
            .help(format!("the prefix length is at most {}", width(subnet) - 2)),
        );
        return;
    }
    let (network, end) = bounds(subnet);
    if network != bits(subnet.ip()) {
        let right = format!("{}/{}", address(subnet, network), subnet.prefix());
        problems.push(
            refused(
                "host-bits",
                &key.at,
                format!("{subnet} is an address in a subnet, not a subnet"),
            )
            .help(format!(
                "write {right:?}; to assign certain addresses, set rangeStart and rangeEnd"
            )),
        );
        return;
    }
    let last = address(subnet, end);
    if subnet.ip().is_loopback() || subnet.ip().is_multicast() {
        problems.push(
            Problem::error(
                "unusable-subnet",
                &key.at,
                format!("no container can have addresses of {subnet}"),
            )
            .why("these addresses are reserved, and plugins refuse them")
            .help("use private addresses, such as those of 10.0.0.0/8 or fd00::/8"),
        );
    }
    for name in ["rangeStart", "rangeEnd"] {
        let Some(end) = node.get(name) else { continue };
        let Some(text) = end.text().filter(|text| !text.is_empty()) else { continue };
        if ip::address(text).is_ok_and(|ip| !subnet.contains(ip)) {
            problems.push(
                refused("outside-subnet", &end.at, format!("{text} is not in {subnet}"))
                    .also(&key.at, "the subnet")
                    .help(format!("{subnet} has {} to {last}", subnet.ip())),
            );
        }
    }
    gateway(node, key, subnet, problems);
}

fn gateway(node: &Node, key: &Node, subnet: ipnetwork::IpNetwork, problems: &mut Vec<Problem>) {
    let Some(gateway) = node.get("gateway") else { return };
    let Some(text) = gateway.text().filter(|text| !text.is_empty()) else { return };
    let Ok(ip) = ip::address(text) else { return };
    if ip.is_ipv4() != subnet.is_ipv4() {
        problems.push(
            Problem::error(
                "gateway",
                &gateway.at,
                format!("the gateway {text} is of another family than {subnet}"),
            )
            .also(&key.at, "the subnet")
            .why("plugins refuse it")
            .help("give each family its own range set, with a gateway"),
        );
    }
}

/// Checks the ends of a range whose subnet is correct.
fn ends(range: &Range<'_>, problems: &mut Vec<Problem>) {
    let end = ["rangeEnd", "rangeStart"].iter().find_map(|key| range.node.get(key));
    let at = end.map_or(range.at, |end| &end.at);
    let (network, end) = bounds(range.subnet);
    if !range.is_whole || range.first < network || range.last > end {
        // Another check has reported it.
        return;
    }
    if range.first > range.last {
        problems.push(
            refused(
                "empty-range",
                at,
                format!("the range {} ends before it begins", range.shown()),
            )
            .help("rangeStart is the first address, rangeEnd the last"),
        );
    } else if range.first == range.last && range.contains(range.gateway) {
        problems.push(
            refused(
                "empty-range",
                at,
                format!("the only address of the range, {}, is the gateway", range.gateway),
            )
            .help("give the range more addresses"),
        );
    }
}

/// Checks the ranges of one set.
fn within(set: &Set<'_>, problems: &mut Vec<Problem>) {
    if set.is_empty {
        let problem = refused("no-ranges", set.at, "this range set is empty".to_owned());
        problems.push(problem.help("remove it, or add a range: [{ \"subnet\": \"..\" }]"));
    }
    let Some(first) = set.ranges.first() else { return };
    if let Some(other) = set.ranges.iter().find(|it| it.subnet.is_ipv4() != first.subnet.is_ipv4())
    {
        problems.push(
            refused("mixed-families", other.at, "a range set has ranges of one family".to_owned())
                .also(first.at, "the other family")
                .help("write a separate list for each family: [[{ IPv4 }], [{ IPv6 }]]"),
        );
    }
}

/// Reports overlapping ranges of one set or of several. Each range is reported once, with one range
/// that it overlaps, because all pairs of many ranges would fill pages.
fn between(pool: &Pool<'_>, problems: &mut Vec<Problem>) {
    let mut ranges: Vec<(usize, &Range<'_>)> = pool.ranges().enumerate().collect();
    ranges.sort_by_key(|(index, range)| (range.subnet.is_ipv4(), range.first, *index));
    let mut widest: Option<(usize, &Range<'_>)> = None;
    for (index, range) in ranges {
        let Some((at, before)) = widest.filter(|(_, before)| before.overlaps(range)) else {
            widest = Some((index, range));
            continue;
        };
        problems.push(match at < index {
            true => overlapping(before, range),
            false => overlapping(range, before),
        });
        if range.last > before.last {
            widest = Some((index, range));
        }
    }
}

fn overlapping(range: &Range<'_>, other: &Range<'_>) -> Problem {
    refused(
        "overlapping-ranges",
        other.at,
        format!("the ranges have addresses in common: {}", range.common(other)),
    )
    .also(range.at, "the other range")
    .help("give each address to one range only")
}

/// Reports several addresses of one family, which versions before 0.3.0 cannot express.
fn families(pool: &Pool<'_>, problems: &mut Vec<Problem>) {
    let (version, at) = &pool.network.version;
    if Version::parse(version).is_ok_and(|version| version >= Version::new(0, 3, 0)) {
        return;
    }
    let of_v4 = pool.sets.iter().filter(|set| set.is_ipv4()).count();
    if of_v4 > 1 || pool.sets.len() - of_v4 > 1 {
        let first = pool.sets.first().map_or(&pool.ipam.at, |set| set.at);
        problems.push(
            refused(
                "version",
                at,
                format!(
                    "version {version} allows one address of each family, but there are more range \
                     sets"
                ),
            )
            .also(first, "the first range set")
            .help("set cniVersion to 1.0.0"),
        );
    }
}
