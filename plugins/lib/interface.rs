//! What every plugin that makes an interface in a container does with its addresses.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use kernel::Place::{Host, Pod};
use kernel::{
    Address, Announce, Backend, Masquerade, Neighbours, Object, Plan, Route, Sysctl, Up, Wait,
};
use libcni::{Addresses, Error, Result};

use crate::{Ends, unavailable};

/// The scope of destinations on the link itself (`ip-route(8)`); larger ones are narrower still.
const SCOPE_LINK: u8 = 253;
/// The scope that the reference suite gives its routes to containers.
const SCOPE_HOST: u8 = 254;

/// Where the other addresses of a container's subnet are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subnet {
    /// On the link, as in a switched network.
    OnLink,
    /// Behind the gateway, which is all there is on the link: a routed network.
    BehindGateway,
}

/// The container's interface `link`, which exists already: its addresses, up, its routes.
///
/// With `dad`, the kernel first looks for duplicates of IPv6 addresses, and the plan waits until it has.
pub fn plan_interface(
    plan: &mut Plan,
    link: &str,
    addresses: &Addresses,
    subnet: Subnet,
    dad: bool,
) {
    let has_ipv6 = addresses.ips().iter().any(|ip| ip.address.is_ipv6());
    if has_ipv6 {
        for link in ["lo", link] {
            plan.own(Pod, Sysctl::new(format!("ipv6/conf/{link}/disable_ipv6"), "0"));
            plan.because("container runtimes switch IPv6 off where they do not expect it");
        }
        plan.own(Pod, Sysctl::new(format!("ipv6/conf/{link}/keep_addr_on_down"), "1"));
    }
    plan.own(
        Pod,
        Sysctl::optional(format!("ipv6/conf/{link}/accept_dad"), if dad { "1" } else { "0" }),
    );
    if dad {
        plan.own(Pod, Sysctl::optional(format!("ipv6/conf/{link}/enhanced_dad"), "1"));
    }
    plan.own(Pod, Sysctl::new(format!("ipv4/conf/{link}/arp_notify"), "1"));
    if has_ipv6 {
        // Otherwise every container of the bridge would hear of a link-local address, twice.
        plan.own(Pod, Sysctl::optional(format!("ipv6/conf/{link}/ndisc_notify"), "1"));
    }
    for ip in addresses.ips() {
        let noprefixroute = subnet == Subnet::BehindGateway;
        plan.own(Pod, Address { dad, noprefixroute, ..Address::new(link, ip.address) }); // ip -n POD address add 10.1.2.5/24 dev eth0
    }
    let waits = plan.steps.iter().any(|step| matches!(step.object, Object::Macvlan(_)));
    plan.own(Pod, Up { waits, ..Up::of(link) }); // ip -n POD link set eth0 up
    if has_ipv6 && dad {
        plan.own(Pod, Wait::Addresses { link: link.to_owned() });
    }
    if subnet == Subnet::BehindGateway {
        plan_subnet_routes(plan, link, addresses);
    }
    for route in addresses.routes() {
        // What is on the link has no next hop.
        let is_local = route.scope.is_some_and(|scope| scope >= SCOPE_LINK);
        let gateway = addresses.gateway(route.dst.is_ipv4()).filter(|_| !is_local);
        let via = route.gw.or(gateway);
        let onlink = subnet == Subnet::BehindGateway && is_neighbour(via, addresses);
        plan.own(Pod, Route { onlink, ..pod_route(link, route, via) }); // ip -n POD route add default via 10.1.2.1 dev eth0
    }
}

/// The way to each gateway, and through it to its subnet.
fn plan_subnet_routes(plan: &mut Plan, link: &str, addresses: &Addresses) {
    for ip in addresses.ips() {
        let (Some(gateway), Ok(subnet)) =
            (ip.gateway, IpNetwork::new(ip.address.network(), ip.address.prefix()))
        else {
            continue;
        };
        let src = Some(ip.address.ip());
        let scope = Some(SCOPE_LINK);
        plan.own(Pod, Route { scope, src, ..Route::new(link, gateway.into()) }); // ip -n POD route add 10.1.2.1 dev eth0 scope link src 10.1.2.5
        if !is_single(subnet) {
            plan.own(Pod, Route { via: Some(gateway), src, ..Route::new(link, subnet) }); // ip -n POD route add 10.1.2.0/24 via 10.1.2.1 dev eth0 src 10.1.2.5
        }
    }
}

/// Whether a subnet is one address.
fn is_single(subnet: IpNetwork) -> bool {
    subnet.prefix() == if subnet.is_ipv4() { 32 } else { 128 }
}

/// Makes the host's end of a wire the gateway of the container at its other end, with a route to each of its addresses.
pub fn plan_gateway_end(plan: &mut Plan, link: &str, addresses: &Addresses) {
    for ip in addresses.ips() {
        if let Some(gateway) = ip.gateway {
            plan.own(Host, Address::new(link, gateway.into())); // ip address add 10.1.2.1/32 dev veth1a2b
        }
        let scope = Some(SCOPE_HOST);
        plan.own(Host, Route { scope, ..Route::new(link, ip.address.ip().into()) }); // ip route add 10.1.2.5 dev veth1a2b scope host
    }
}

/// Whether a next hop is in a subnet of the container, and not a gateway. The reference suite accepts such routes on
/// routed wires too; who answers there for the neighbour is the host's business (`proxy_arp`).
fn is_neighbour(via: Option<IpAddr>, addresses: &Addresses) -> bool {
    let is_gateway = |via| addresses.ips().iter().any(|ip| ip.gateway == Some(via));
    via.is_some_and(|via| {
        !is_gateway(via) && addresses.ips().iter().any(|ip| ip.address.contains(via))
    })
}

fn pod_route(link: &str, route: &libcni::Route, via: Option<std::net::IpAddr>) -> Route {
    Route {
        via,
        mtu: route.mtu,
        advmss: route.advmss,
        priority: route.priority,
        table: route.table,
        scope: route.scope,
        ..Route::new(link, route.dst)
    }
}

/// Hides the container's addresses behind the host's, by the backend that `ipMasqBackend` names, outside the networks of
/// `ipMasqBeyond`.
///
/// # Errors
///
/// There is no such backend; an address is in none of the networks.
pub fn plan_masquerade(
    plan: &mut Plan,
    backend: Option<&str>,
    beyond: &[String],
    addresses: &Addresses,
) -> Result<()> {
    let (backend, beyond) = masquerade_of(backend, beyond)?;
    for ip in addresses.ips() {
        let address = within(ip.address, &beyond)?;
        plan.own(Host, Masquerade { address, backend });
    }
    Ok(())
}

/// Why `ipMasq` could not be served whatever the addresses, for STATUS.
///
/// # Errors
///
/// The configuration is wrong, or the program that it asks for is not installed.
pub fn check_masquerade(backend: Option<&str>, beyond: &[String]) -> Result<()> {
    match masquerade_of(backend, beyond)? {
        (Backend::Nftables, _) => Ok(()),
        (Backend::Iptables, _) => kernel::iptables::usable().map_err(unavailable),
    }
}

fn masquerade_of(backend: Option<&str>, beyond: &[String]) -> Result<(Backend, Vec<IpNetwork>)> {
    let backend = match backend {
        None | Some("" | "nftables") => Backend::Nftables,
        Some("iptables") => Backend::Iptables,
        Some(other) => {
            return Err(Error::config(format!("unknown ipmasq backend \"{other}\""))
                .details("ipMasqBackend is \"nftables\" or \"iptables\""));
        }
    };
    let beyond = beyond.iter().map(|text| network(text)).collect::<Result<_>>()?;
    Ok((backend, beyond))
}

fn network(text: &str) -> Result<IpNetwork> {
    text.parse().map_err(|error| {
        Error::config(format!("ipMasqBeyond: \"{text}\" is no network: {error}"))
            .details("write networks as \"10.244.0.0/16\"")
    })
}

/// The address with the length of the network that it is in, or of its own subnet if none of its family is given.
fn within(address: IpNetwork, networks: &[IpNetwork]) -> Result<IpNetwork> {
    let mut family = networks.iter().filter(|n| n.is_ipv4() == address.is_ipv4()).peekable();
    if family.peek().is_none() {
        return Ok(address);
    }
    let Some(network) = family.find(|network| network.contains(address.ip())) else {
        let address = address.ip();
        return Err(Error::config(format!("ipMasqBeyond: {address} is in none of its networks"))
            .details("the container is in one of them, such as that of all nodes' containers"));
    };
    Ok(IpNetwork::new(address.ip(), network.prefix()).unwrap_or(address))
}

/// Lets the host forward for the families of the addresses. It stays on: others rely on it by then.
pub fn plan_forwarding(plan: &mut Plan, addresses: &Addresses) {
    for (is_ipv4, key) in [(true, "ipv4/ip_forward"), (false, "ipv6/conf/all/forwarding")] {
        if addresses.ips().iter().any(|ip| ip.address.is_ipv4() == is_ipv4) {
            plan.share(Host, Sysctl::new(key, "1")); // sysctl -w net/ipv4/ip_forward=1
        }
    }
}

/// Tells the host where the container's addresses are: behind `link`.
pub fn plan_neighbours(plan: &mut Plan, link: &str, ends: &Ends, addresses: &Addresses) {
    let addresses = addresses.ips().iter().map(|ip| ip.address.ip()).collect();
    let link = link.to_owned();
    plan.own(Host, Neighbours { link, mac: ends.pod_mac, addresses, permanent: false });
    plan.because("an address that is used again has a new MAC, and the first packet must not wait to learn it");
}

/// Waits until frames pass between both ends, and to the host's addresses on `gateway` if it has any, and both take
/// what comes; then lets the neighbours know the container's addresses.
pub fn plan_announcement(
    plan: &mut Plan,
    ends: &Ends,
    gateway: Option<&str>,
    addresses: &Addresses,
) {
    plan.own(Host, Wait::Running { link: ends.host.clone() });
    if let Some(link) = gateway.filter(|link| *link != ends.host) {
        plan.share(Host, Wait::Running { link: link.to_owned() });
        plan.because("its first port has just come up, and until it has noticed it hears no IPv6");
    }
    plan.own(Pod, Wait::Running { link: ends.pod.clone() });
    plan.because("only now do frames pass, so only now is it worth telling the neighbours");
    if let Some(link) = gateway {
        let theirs = addresses.gateways();
        match local(link, theirs.iter().map(|address| address.ip())) {
            Some(wait) if link == ends.host => plan.own(Host, wait),
            Some(wait) => plan.share(Host, wait),
            None => {}
        }
    }
    plan_announced(plan, ends, addresses);
}

/// Lets the neighbours know the container's addresses, once the kernel takes packets to them as its own.
pub fn plan_announced(plan: &mut Plan, ends: &Ends, addresses: &Addresses) {
    if let Some(wait) = local(&ends.pod, addresses.ips().iter().map(|ip| ip.address.ip())) {
        plan.own(Pod, wait);
    }
    plan.own(Pod, Announce { link: ends.pod.clone(), mac: ends.pod_mac });
}

/// Waiting until IPv6 addresses are in use; nothing without any.
fn local(link: &str, addresses: impl Iterator<Item = IpAddr>) -> Option<Wait> {
    let ipv6 = |address| match address {
        IpAddr::V6(address) => Some(address),
        IpAddr::V4(_) => None,
    };
    let addresses: Vec<_> = addresses.filter_map(ipv6).collect();
    (!addresses.is_empty()).then(|| Wait::Local { link: link.to_owned(), addresses })
}

/// A link on the host's side that does not believe router advertisements: they would come from a container.
pub fn no_router_advertisements(link: &str) -> Sysctl {
    Sysctl::optional(format!("ipv6/conf/{link}/accept_ra"), "0")
}
