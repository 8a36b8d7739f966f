//! Compares networks with the host's routes and the addresses of its bridges.

use ipnetwork::IpNetwork;
use kernel::{KnownRoute, Link, Survey, Users};

use crate::lint::between::{ROUTED_BY_HOST, conflict, gateways};
use crate::lint::forward;
use crate::lint::network::{Network, Plugin};
use crate::lint::parents;
use crate::lint::problem::Problem;
use crate::lint::ranges::{Pool, Range, overlap, width};
use crate::lint::rules::{absent_gateway, tunnel};

/// The protocol number of this suite's routes for networks (`ARCHITECTURE.md`).
const OUR_PROTOCOL: u8 = 226;

/// The state of the host.
pub struct Host {
    links: Vec<Link>,
    routes: Vec<KnownRoute>,
    survey: Survey,
}

impl Host {
    /// Reads the state of the host.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel rejects a query.
    pub fn look() -> kernel::Result<Host> {
        let mut survey = Survey::host()?;
        Ok(Host { links: survey.links()?, routes: survey.routes()?, survey })
    }

    /// Compares a network with the host.
    pub fn check(&mut self, network: &Network<'_>, problems: &mut Vec<Problem>) {
        parents::check(network, &self.links, problems);
        self.present_gateway(network, problems);
        forward::check(network, problems);
        for plugin in &network.plugins {
            if plugin.is("ipip") {
                problems.extend(self.peers_on_link(plugin));
            }
            let Some(pool) = Pool::of(network, plugin) else { continue };
            if !ROUTED_BY_HOST.contains(&plugin.called()) {
                // The other plugins attach containers to a network in which the host can be, too,
                // so the host may have a route to it.
                continue;
            }
            for range in pool.ranges() {
                let mut routes = self.routes.iter().filter(|route| overlap(route.to, range.subnet));
                problems.extend(routes.find_map(|route| self.foreign_route(&pool, range, route)));
            }
            self.held_addresses(&pool, problems);
        }
    }

    /// Removes the finding about a missing gateway if this host has the gateway's address on
    /// another link.
    fn present_gateway(&mut self, network: &Network<'_>, problems: &mut Vec<Problem>) {
        let Some((problem, gateways)) = absent_gateway(network) else { return };
        let links = self.links.iter().filter(|link| link.kind != "ipip");
        let is_here = links.into_iter().any(|link| {
            let held = self.survey.addresses(link).unwrap_or_default();
            held.iter().any(|held| gateways.contains(&held.ip()))
        });
        problems.retain(|it| !is_here || *it != problem);
    }

    fn link(&self, index: Option<u32>) -> Option<&Link> {
        self.links.iter().find(|link| Some(link.index) == index)
    }

    /// Reports a route of another program to addresses of a range.
    fn foreign_route(
        &self,
        pool: &Pool<'_>,
        range: &Range<'_>,
        route: &KnownRoute,
    ) -> Option<Problem> {
        let link = self.link(route.link);
        if is_own(pool.plugin, pool.network.name(), route, link) {
            return None;
        }
        let over = link.map_or_else(String::new, |link| format!(" dev {}", link.name));
        let via = route.via.map_or_else(String::new, |via| format!(" via {via}"));
        let shown = format!("{}{via}{over}", route.to);
        let held = match (route.via, route.to.prefix() <= range.subnet.prefix()) {
            (None, _) => "is a network of this host".to_owned(),
            (Some(_), true) => "leads to other machines".to_owned(),
            (Some(_), false) => "leads to other machines in a part of it".to_owned(),
        };
        Some(
            Problem::warning(
                "host-route",
                range.at,
                format!("this host already has a route to {}", of_it(range.subnet, route.to)),
            )
            .why(format!(
                "\"{shown}\" {held}: either those machines or these containers are unreachable"
            ))
            .help("use a subnet that is not in use; `ip route` lists those of this host"),
        )
    }

    /// Reports containers of other nodes with addresses of a network of this host. Bridges are
    /// skipped, because the plugin itself refuses addresses in the subnet of this host's
    /// containers.
    fn peers_on_link(&self, plugin: &Plugin<'_>) -> Option<Problem> {
        let at = ["peersFile", "peers"].iter().find_map(|key| plugin.node.member(key))?;
        let is_on_link = |route: &&KnownRoute| {
            let link = self.link(route.link);
            route.via.is_none()
                && route.protocol != OUR_PROTOCOL
                && link.is_some_and(|link| link.ethernet && link.kind != "bridge")
        };
        let on_link: Vec<&KnownRoute> = self.routes.iter().filter(is_on_link).collect();
        let around = |cidr: IpNetwork| {
            let is_around = |to: IpNetwork| to.prefix() < cidr.prefix() && to.contains(cidr.ip());
            on_link.iter().find(|route| is_around(route.to))
        };
        let peers = tunnel::all_peers(plugin.node);
        let mut cidrs =
            peers.iter().flat_map(|peer| peer.cidrs.iter().map(move |cidr| (peer, *cidr)));
        let (peer, cidr, route) =
            cidrs.find_map(|(peer, cidr)| Some((peer, cidr, around(cidr.into())?)))?;
        let link = self.link(route.link).map_or("", |link| &link.name);
        let what = format!("podCIDR {cidr} of the peer {} is in a network of this host", peer.node);
        Some(
            Problem::warning("host-route", &at.key_at, what)
                .why(format!(
                    "\"{} dev {link}\": machines of this network with such an address are \
                     unreachable",
                    route.to
                ))
                .help(
                    "use addresses that are not in use; `ip route` lists the networks of this host",
                ),
        )
    }

    /// Reports an existing bridge with another address than the network configures.
    fn held_addresses(&mut self, pool: &Pool<'_>, problems: &mut Vec<Problem>) {
        let name = pool.plugin.node.text_of("bridge").unwrap_or("cni0");
        let has_vlan =
            pool.plugin.node.get("vlan").and_then(|it| it.integer()).is_some_and(|vlan| vlan != 0);
        let Some(link) =
            self.links.iter().find(|link| link.name == name).filter(|_| !has_vlan).cloned()
        else {
            return;
        };
        let ports = self.links.iter().filter(|port| port.master == Some(link.index)).cloned();
        let users = Users::among(ports, pool.network.name());
        // If the addresses cannot be read, there is no finding.
        let held = self.survey.addresses(&link).unwrap_or_default();
        for (range, wanted) in gateways(pool) {
            let of_family = held.iter().filter(|held| held.is_ipv4() == wanted.is_ipv4());
            if of_family.clone().any(|held| !conflict(*held, wanted) && held.ip() == wanted.ip()) {
                continue;
            }
            let Some(other) = of_family.into_iter().find(|held| conflict(**held, wanted)) else {
                continue;
            };
            let is_forced = pool.plugin.node.is_on("forceAddress");
            let instead = users.instead(name, other);
            problems.extend(match is_forced {
                // Without users of the other address, no container is cut off.
                true => instead.map(|instead| cut_off(range, name, wanted, *other, instead)),
                false => Some(other_address(range, name, wanted, *other, instead)),
            });
        }
    }
}

/// `forceAddress` would remove an address that containers use.
fn cut_off(
    range: &Range<'_>,
    bridge: &str,
    wanted: IpNetwork,
    used: IpNetwork,
    help: String,
) -> Problem {
    let what = format!(
        "{bridge} needs the gateway address {wanted}, but containers on this host use {used}"
    );
    Problem::warning("bridge-address", range.at, what)
        .why(format!(
            "\"forceAddress\" removes {used} from {bridge} at the next ADD, which cuts these \
             containers off"
        ))
        .help(help)
}

/// The bridge has another address.
fn other_address(
    range: &Range<'_>,
    bridge: &str,
    wanted: IpNetwork,
    other: IpNetwork,
    instead: Option<String>,
) -> Problem {
    let what = format!("{bridge} needs the gateway address {wanted}, but has {other} on this host");
    let remedy = instead.unwrap_or_else(|| {
        format!(
            "remove the old address (ip address del {other} dev {bridge}), or add \
             \"forceAddress\": true"
        )
    });
    Problem::warning("bridge-address", range.at, what)
        .why(format!(
            "ADD fails here: \"{bridge}\" already has an IP address different from {wanted}"
        ))
        .help(remedy)
}

/// Whether a route belongs to the network itself.
fn is_own(plugin: &Plugin<'_>, network: &str, route: &KnownRoute, link: Option<&Link>) -> bool {
    let Some(link) = link else { return route.protocol == OUR_PROTOCOL };
    // A host route to a container: the containers of one network are in one subnet.
    let is_container = route.to.prefix() == width(route.to) && link.kind == "veth";
    let of_bridge = plugin.is("bridge") && {
        let bridge = plugin.node.text_of("bridge").unwrap_or("cni0");
        link.name == bridge
            || link.name.strip_prefix(bridge).is_some_and(|rest| rest.starts_with('.'))
    };
    let by_alias = link.alias.strip_prefix("ferrocni:").and_then(|rest| rest.strip_prefix(network));
    let is_marked = by_alias.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let is_link_local = match route.to {
        IpNetwork::V6(to) => to.ip().is_unicast_link_local(),
        IpNetwork::V4(_) => false,
    };
    is_container || of_bridge || is_marked || is_link_local || route.protocol == OUR_PROTOCOL
}

/// The common addresses of a route and a subnet, in words.
fn of_it(subnet: IpNetwork, to: IpNetwork) -> String {
    match (subnet.prefix(), to.prefix()) {
        (own, other) if own == other => subnet.to_string(),
        (own, other) if own < other => format!("{to}, a part of {subnet}"),
        _ => format!("{subnet}, as a part of {to}"),
    }
}
