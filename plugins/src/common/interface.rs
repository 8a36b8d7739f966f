//! Plans that every plugin needs for the addresses of a container's interface.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use kernel::Place::{Host, Pod};
use kernel::{
    Address, Announce, Backend, Masquerade, Neighbours, Plan, Route, Sysctl, Up, Wait, nft,
};
use libcni::{Addresses, Call, Error, Result, json};
use serde_json::Value;

use super::{Ends, network_plan_of, unavailable};

/// The scope of destinations on the link itself (`ip-route(8)`); larger ones are narrower still.
const SCOPE_LINK: u8 = 253;
/// The scope that the reference suite gives its routes to containers.
const SCOPE_HOST: u8 = 254;

/// The location of the other addresses in a container's subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subnet {
    /// On the link, as in a switched network.
    OnLink,
    /// Behind the gateway, the only neighbour on the link: a routed network.
    BehindGateway,
}

/// Plans the addresses, the state and the routes of the container's interface `link`, which exists
/// already.
///
/// With `dad`, the kernel runs duplicate address detection for IPv6 addresses, and the plan waits
/// for its end.
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
        plan.own(Pod, Sysctl::optional(format!("ipv6/conf/{link}/keep_addr_on_down"), "1"));
    }
    let accept_dad = format!("ipv6/conf/{link}/accept_dad");
    if dad && has_ipv6 {
        plan.own(Pod, Sysctl::new(accept_dad, "1"));
    } else {
        plan.own(Pod, Sysctl::optional(accept_dad, if dad { "1" } else { "0" }));
    }
    if dad {
        plan.own(Pod, Sysctl::optional(format!("ipv6/conf/{link}/enhanced_dad"), "1"));
    }
    plan.own(Pod, Sysctl::optional(format!("ipv4/conf/{link}/arp_notify"), "1"));
    if has_ipv6 {
        // Otherwise the kernel would announce a link-local address to every container of the
        // bridge, twice.
        plan.own(Pod, Sysctl::optional(format!("ipv6/conf/{link}/ndisc_notify"), "1"));
    }
    for ip in addresses.ips() {
        let noprefixroute = subnet == Subnet::BehindGateway;
        // ip -n POD address add 10.1.2.5/24 dev eth0
        plan.own(Pod, Address { dad, noprefixroute, ..Address::new(link, ip.address) });
    }
    let waits = plan.has("macvlan");
    plan.own(Pod, Up { waits, ..Up::of(link) }); // ip -n POD link set eth0 up
    if has_ipv6 && dad {
        plan.own(Pod, Wait::Addresses { link: link.to_owned() });
    }
    if subnet == Subnet::BehindGateway {
        plan_subnet_routes(plan, link, addresses);
    }
    for route in addresses.routes() {
        // A destination on the link has no next hop.
        let is_local = route.scope.is_some_and(|scope| scope >= SCOPE_LINK);
        let gateway = addresses.gateway(route.dst.is_ipv4()).filter(|_| !is_local);
        let via = route.gw.or(gateway);
        let onlink = subnet == Subnet::BehindGateway && is_neighbour(via, addresses);
        // ip -n POD route add default via 10.1.2.1 dev eth0
        plan.own(Pod, Route { onlink, ..pod_route(link, route, via) });
    }
}

/// Plans the route to each gateway, and through the gateway to its subnet.
fn plan_subnet_routes(plan: &mut Plan, link: &str, addresses: &Addresses) {
    for ip in addresses.ips() {
        let (Some(gateway), Ok(subnet)) =
            (ip.gateway, IpNetwork::new(ip.address.network(), ip.address.prefix()))
        else {
            continue;
        };
        let src = Some(ip.address.ip());
        let scope = Some(SCOPE_LINK);
        // ip -n POD route add 10.1.2.1 dev eth0 scope link src 10.1.2.5
        plan.own(Pod, Route { scope, src, ..Route::new(link, gateway.into()) });
        if !is_single(subnet) {
            // ip -n POD route add 10.1.2.0/24 via 10.1.2.1 dev eth0 src 10.1.2.5
            plan.own(Pod, Route { via: Some(gateway), src, ..Route::new(link, subnet) });
        }
    }
}

/// Whether a subnet has only one address.
fn is_single(subnet: IpNetwork) -> bool {
    subnet.prefix() == if subnet.is_ipv4() { 32 } else { 128 }
}

/// The sysctl that switches on IPv6 for a link of the host that gets an IPv6 gateway address;
/// `None` if it gets none.
pub fn with_ipv6(link: &str, mut addresses: impl Iterator<Item = IpNetwork>) -> Option<Sysctl> {
    let key = || format!("ipv6/conf/{link}/disable_ipv6");
    addresses.any(|address| address.is_ipv6()).then(|| Sysctl::new(key(), "0"))
}

/// The reason that a plan gives for [`with_ipv6`].
pub const WITH_IPV6: &str = "the host may have IPv6 switched off for new interfaces";

/// Makes the host's end of a veth pair the gateway of its container, with a route to each of the
/// container's addresses.
pub fn plan_gateway_end(plan: &mut Plan, link: &str, addresses: &Addresses) {
    if let Some(setting) = with_ipv6(link, addresses.ips().iter().map(|ip| ip.address)) {
        plan.own(Host, setting);
        plan.because(WITH_IPV6);
    }
    for ip in addresses.ips() {
        if let Some(gateway) = ip.gateway {
            // ip address add 10.1.2.1/32 dev veth1a2b
            plan.own(Host, Address::new(link, gateway.into()));
        }
        let scope = Some(SCOPE_HOST);
        // ip route add 10.1.2.5 dev veth1a2b scope host
        plan.own(Host, Route { scope, ..Route::new(link, ip.address.ip().into()) });
    }
}

/// Whether a next hop is in a subnet of the container, and not a gateway. The reference suite
/// accepts such routes on a routed veth pair too, where the host may answer for the neighbour
/// (`proxy_arp`).
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

/// Hides the container's addresses behind the host's, by the backend that `ipMasqBackend` names,
/// outside the networks of `ipMasqBeyond`.
///
/// # Errors
///
/// Returns an error if there is no such backend, or if an address is in none of the networks.
pub fn plan_masquerade(
    plan: &mut Plan,
    backend: Option<&str>,
    beyond: &[String],
    addresses: &Addresses,
) -> Result<()> {
    plan_masquerade_but(plan, backend, beyond, addresses, false)
}

/// As [`plan_masquerade`]; on request, it does not hide the addresses from the network's
/// [pods](kernel::PodCidrs) on other nodes either. Only nf_tables can do that.
///
/// # Errors
///
/// The errors of [`plan_masquerade`].
pub fn plan_masquerade_but(
    plan: &mut Plan,
    backend: Option<&str>,
    beyond: &[String],
    addresses: &Addresses,
    not_to_pods: bool,
) -> Result<()> {
    let (backend, beyond) = masquerade_of(backend, beyond)?;
    let pods_of = not_to_pods.then(|| plan.owner.network.clone());
    for ip in addresses.ips() {
        let address = within(ip.address, &beyond)?;
        plan.own(Host, Masquerade { address, backend, pods_of: pods_of.clone() });
    }
    Ok(())
}

/// STATUS: checks that `ipMasq` can be served, whatever the addresses.
///
/// # Errors
///
/// Returns an error if the configuration is wrong, a required program is not installed, or the
/// kernel refuses the rules.
pub fn check_masquerade(backend: Option<&str>, beyond: &[String]) -> Result<()> {
    match masquerade_of(backend, beyond)? {
        (Backend::Nftables, _) => {
            nft::Nft::open().and_then(|mut nft| nft.can_masquerade()).map_err(without_nftables)
        }
        (Backend::Iptables, _) => kernel::iptables::usable().map_err(unavailable),
    }
}

/// STATUS: checks that `macspoofchk` can be served.
///
/// # Errors
///
/// Returns an error if the kernel refuses the rules.
pub fn check_guard() -> Result<()> {
    let checked = nft::Nft::open().and_then(|mut nft| nft.can_guard());
    checked.map_err(without_nftables)
}

fn without_nftables(error: kernel::Error) -> Error {
    let hint = "Load nf_tables on the host (modprobe nf_tables). ipMasq does not need it if \
        \"ipMasqBackend\" is \"iptables\" and the host's iptables is the legacy one";
    unavailable(if error.hint.is_empty() { error.hint(hint) } else { error })
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
        Error::config(format!("ipMasqBeyond: \"{text}\" is not a network: {error}"))
            .details("Write networks as \"10.244.0.0/16\"")
    })
}

/// The address with the prefix length of the network that contains it, or of its own subnet if no
/// network of its family is given.
fn within(address: IpNetwork, networks: &[IpNetwork]) -> Result<IpNetwork> {
    let mut family = networks.iter().filter(|n| n.is_ipv4() == address.is_ipv4()).peekable();
    if family.peek().is_none() {
        return Ok(address);
    }
    let Some(network) = family.find(|network| network.contains(address.ip())) else {
        let address = address.ip();
        return Err(Error::config(format!("ipMasqBeyond: {address} is in none of its networks"))
            .details(
                "Name a network that contains the container's address, such as that of all \
                 nodes' containers",
            ));
    };
    Ok(IpNetwork::new(address.ip(), network.prefix()).unwrap_or(address))
}

/// The sysctls that switch on forwarding of IPv4 and IPv6.
const FORWARDING: [(bool, &str); 2] =
    [(true, "ipv4/ip_forward"), (false, "ipv6/conf/all/forwarding")];

/// Switches on forwarding for the families of the addresses. It is never switched off, because
/// other programs may rely on it by then.
pub fn plan_forwarding(plan: &mut Plan, addresses: &Addresses) {
    for (is_ipv4, key) in FORWARDING {
        if addresses.ips().iter().any(|ip| ip.address.is_ipv4() == is_ipv4) {
            plan.share(Host, Sysctl::new(key, "1")); // sysctl -w net/ipv4/ip_forward=1
        }
    }
}

/// STATUS: checks that the host can be the gateway on `link`, for the address families that
/// `forwards` selects. The families of the network are those in the IPAM configuration; if it names
/// none, nothing is checked. For a link whose name is not known yet, `link` is `default`.
///
/// # Errors
///
/// Returns an error if forwarding, or IPv6 on new links, is off and cannot be switched on.
pub fn check_gateway(call: &Call, link: &str, forwards: impl Fn(bool) -> bool) -> Result<()> {
    let mut families = Vec::new();
    if let Some(ipam) = json::get(&call.config, "ipam") {
        families_in(ipam, &mut families);
    }
    families.retain(|is_ipv4| forwards(*is_ipv4));
    let mut plan = network_plan_of(call);
    for (is_ipv4, key) in FORWARDING {
        if families.contains(&is_ipv4) {
            plan.share(Host, Sysctl::new(key, "1"));
        }
    }
    if families.contains(&false) {
        plan.share(Host, Sysctl::new(format!("ipv6/conf/{link}/disable_ipv6"), "0"));
    }
    plan.settable().map_err(unavailable)
}

/// The address families in an IPAM configuration, except in its routes: true for IPv4.
fn families_in(config: &Value, found: &mut Vec<bool>) {
    match config {
        Value::String(text) => {
            let network = text.contains('/').then(|| text.parse::<IpNetwork>().ok()).flatten();
            found.extend(network.map(|network| network.is_ipv4()));
        }
        Value::Array(values) => values.iter().for_each(|value| families_in(value, found)),
        Value::Object(keys) => {
            let is_route = |key: &str| key.eq_ignore_ascii_case("routes");
            let of_addresses = keys.iter().filter(|(key, _)| !is_route(key));
            of_addresses.for_each(|(_, value)| families_in(value, found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Waits until frames pass between both ends. Then adds the container's addresses to the host's
/// neighbour table on `gateway`, the host's link with the gateway's addresses, waits until both
/// ends accept packets, and announces the container's addresses to the neighbours.
///
/// The entries come after the wait because the kernel drops those of a link without a carrier, and
/// it takes note of a lost carrier late: a new link has none until its other end is up.
pub fn plan_announcement(
    plan: &mut Plan,
    ends: &Ends,
    gateway: Option<&str>,
    addresses: &Addresses,
) {
    plan.own(Host, Wait::Running { link: ends.host.clone() });
    if let Some(link) = gateway.filter(|link| *link != ends.host) {
        plan.share(Host, Wait::Running { link: link.to_owned() });
        plan.because(
            "its first port has just come up, and it receives no IPv6 packets until it is running",
        );
    }
    plan.own(Pod, Wait::Running { link: ends.pod.clone() });
    plan.because("frames pass only from now on, so an earlier announcement would be lost");
    if let Some(link) = gateway {
        plan_neighbours(plan, link, ends, addresses);
        let theirs = addresses.gateways();
        match local(link, theirs.iter().map(|address| address.ip())) {
            Some(wait) if link == ends.host => plan.own(Host, wait),
            Some(wait) => plan.share(Host, wait),
            None => {}
        }
    }
    plan_announced(plan, ends, addresses);
}

fn plan_neighbours(plan: &mut Plan, link: &str, ends: &Ends, addresses: &Addresses) {
    let addresses = addresses.ips().iter().map(|ip| ip.address.ip()).collect();
    let link = link.to_owned();
    // ip neighbour replace 10.1.2.5 lladdr MAC dev veth1a2b
    plan.own(Host, Neighbours { link, mac: ends.pod_mac, addresses, permanent: false });
    plan.because(
        "a reused address has a new MAC, and the first packet must not wait for its resolution",
    );
}

/// Announces the container's addresses to the neighbours, once the kernel accepts packets to them.
pub fn plan_announced(plan: &mut Plan, ends: &Ends, addresses: &Addresses) {
    if let Some(wait) = local(&ends.pod, addresses.ips().iter().map(|ip| ip.address.ip())) {
        plan.own(Pod, wait);
    }
    plan.own(Pod, Announce { link: ends.pod.clone(), mac: ends.pod_mac });
    plan.because(
        "the address stays the same: the kernel announces it and the IP addresses to the \
         neighbours",
    );
}

/// Waits until IPv6 addresses are in use; `None` if there are none.
fn local(link: &str, addresses: impl Iterator<Item = IpAddr>) -> Option<Wait> {
    let ipv6 = |address| match address {
        IpAddr::V6(address) => Some(address),
        IpAddr::V4(_) => None,
    };
    let addresses: Vec<_> = addresses.filter_map(ipv6).collect();
    (!addresses.is_empty()).then(|| Wait::Local { link: link.to_owned(), addresses })
}

/// The sysctl that makes a link of the host ignore router advertisements: they would come from a
/// container.
pub fn no_router_advertisements(link: &str) -> Sysctl {
    Sysctl::optional(format!("ipv6/conf/{link}/accept_ra"), "0")
}
