//! Finds networks that each have a default route: a container on two of them has two default
//! routes.

use ipnetwork::IpNetwork;
use libcni::ip;

use crate::lint::document::Node;
use crate::lint::network::{Network, Plugin};
use crate::lint::problem::{At, Problem};
use crate::lint::ranges::Pool;

/// Reports each network after the first that has a default route.
pub fn check(networks: &[Network<'_>], problems: &mut Vec<Problem>) {
    let named = || networks.iter().filter(|it| !it.is_chain() && !it.name().is_empty());
    for is_ipv4 in [true, false] {
        let family = if is_ipv4 { "IPv4" } else { "IPv6" };
        let mut bringing = named().filter_map(|it| Some((it, default_route(it, is_ipv4)?)));
        let Some((first, at_first)) = bringing.next() else { continue };
        for (_, at) in bringing.filter(|(network, _)| network.name() != first.name()) {
            let what =
                format!("the network {:?} also has a default route of {family}", first.name());
            let why = match is_ipv4 {
                true => {
                    "a container on both networks has both routes, and uses the one that was added \
                     last"
                }
                false => {
                    "a container on both networks has both routes, and the kernel splits its \
                     connections between them"
                }
            };
            problems.push(
                Problem::note("two-default-routes", at, what)
                    .also(at_first, "the other network's")
                    .why(why)
                    .help(
                        "if containers join both, remove it from one, or give its route in ipam a \
                         \"priority\": the smaller number is preferred",
                    ),
            );
        }
    }
}

/// The position of a network's default route of a family. A route with a metric or a table is
/// intended, and does not count.
fn default_route<'a>(network: &Network<'a>, is_ipv4: bool) -> Option<&'a At> {
    network.plugins.iter().find_map(|plugin| {
        routes(plugin).find(|route| is_default(route, is_ipv4)).map(|route| &route.at).or_else(
            || {
                let key = plugin.node.get("isDefaultGateway")?;
                let is_on = plugin.node.is_on("isDefaultGateway") && plugin.is("bridge");
                let pool = Pool::of(network, plugin)?;
                let has_family = pool.ranges().any(|range| range.subnet.is_ipv4() == is_ipv4);
                (is_on && has_family).then_some(&key.at)
            },
        )
    })
}

fn routes<'a>(plugin: &Plugin<'a>) -> impl Iterator<Item = &'a Node> {
    let routes = plugin.node.get("ipam").and_then(|ipam| ipam.get("routes"));
    routes.map(Node::items).unwrap_or_default().iter()
}

fn is_default(route: &Node, is_ipv4: bool) -> bool {
    let dst = route.text_of("dst").and_then(|text| ip::cidr(text).ok());
    let leads_everywhere = |dst: IpNetwork| dst.prefix() == 0 && dst.is_ipv4() == is_ipv4;
    dst.is_some_and(leads_everywhere)
        && ["priority", "table"].iter().all(|key| route.get(key).is_none())
}
