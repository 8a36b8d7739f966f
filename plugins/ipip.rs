//! `ipip` takes packets between containers on different nodes through a tunnel: IP in IP, one 20-byte header, no
//! encryption and no overlay of its own.
//!
//! ```json
//! {
//!   "cniVersion": "1.1.0",
//!   "name": "pods",
//!   "type": "ipip",
//!   "peers": [
//!     { "node": "192.0.2.1", "podCIDRs": ["10.1.1.0/24"] },
//!     { "node": "192.0.2.2", "podCIDRs": ["10.1.2.0/24"] }
//!   ],
//!   "ipam": {
//!     "type": "host-local",
//!     "subnet": "10.1.1.0/24",
//!     "routes": [{ "dst": "0.0.0.0/0" }]
//!   }
//! }
//! ```
//!
//! With `ipam` it stands alone: the container gets a routed wire to its host, as from `ptp`. Without, it comes after
//! `bridge` or `ptp` in a chain, and corrects what they made: the container's packets have to fit the tunnel.
//!
//! Either way the node gets one tunnel, and routes to the other nodes' containers through it. They belong to the network:
//! each ADD brings them in line with the configuration, `ipip sync` does so in between, and GC removes them when no
//! container of the network is left.

#[path = "ipip/node.rs"]
mod node;
#[path = "ipip/peers.rs"]
mod peers;

use std::cell::OnceCell;
use std::net::{IpAddr, Ipv4Addr};

use ferrocni::{
    Ends, Linux, Subnet, no_router_advertisements, plan_announcement, plan_gateway_end,
    plan_interface, plan_neighbours, plan_of,
};
use kernel::Place::{Host, Pod};
use kernel::{Conflict, Mtu, Plan, RouteSet, Survey, Sysctl, Tunnel, Up, Veth};
use libcni::{
    AddResult, Addresses, Addressing, Call, Error, IfName, Interface, Manual, Result, Route, Verb,
    code, ip,
};
use serde::Deserialize;

use node::{Local, Node, Wanted};
use peers::Entry;

fn main() -> std::process::ExitCode {
    libcni::run::<Ipip>()
}

/// The configuration of an `ipip` network.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Ipip {
    /// The tunnel's name; tunl0, which is the kernel's own, if not given. Any other name makes a tunnel that leaves tunl0
    /// alone.
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "interface")))]
    device: Option<IfName>,
    /// Where the tunnel's packets come from: an address of this host, or the interface that has it. If not given, what the
    /// kernel chooses for packets to the peers.
    local: Option<String>,
    /// The host's address on the tunnel, which is what other nodes' containers see of it. If not given, the gateway of the
    /// container's addresses.
    address: Option<String>,
    /// The largest packet, in bytes, inside the tunnel. 0 derives it from the routes to the peers, at each ADD.
    mtu: u32,
    /// Which peers are reached through the tunnel: "always" (if not given) all, "crossSubnet" those that are not on a link
    /// of this host; the others are reached directly.
    #[cfg_attr(test, schemars(extend("enum" = ["always", "crossSubnet", null])))]
    mode: Option<String>,
    /// The other nodes. This one may be among them, so that all nodes can have the same list.
    peers: Vec<Entry>,
    /// The path of a JSON file with more peers: a list, or an object with the key "peers". Whoever writes it should put it
    /// in its place by a rename, and then run "ipip sync".
    peers_file: Option<String>,
    /// Who makes the routes to the peers: "peers" (if not given) this plugin, from the list; "external" somebody else, such
    /// as a BGP daemon, and only the tunnel is made here.
    #[cfg_attr(test, schemars(extend("enum" = ["peers", "external", null])))]
    routes: Option<String>,
    /// What was found out about this node in this call.
    #[serde(skip)]
    #[cfg_attr(test, schemars(skip))]
    node: OnceCell<Node>,
}

impl libcni::Plugin for Ipip {
    const MANUAL: Manual = Manual::new(
        "ipip",
        "reaches containers on other nodes through an IP-in-IP tunnel",
        include_str!("ipip.schema.json"),
    )
    .with_sync(
        "Brings this node's tunnel and routes in line with the configuration, as each ADD does, and says what it changed",
    );
    type Executor = Linux;

    /// With `ipam` it stands alone, without it is chained.
    fn addressing(&self, call: &Call) -> Addressing {
        if is_alone(call) { Addressing::Required } else { Addressing::None }
    }

    fn plan(&self, call: &Call, addresses: &Addresses) -> Result<(Plan, AddResult)> {
        let mut plan = plan_of(call)?;
        let ends = Ends::of(call, &plan, None, &[])?;
        if call.verb == Verb::Del {
            // The node's tunnel and routes stay, and in a chain the container's link is another plugin's.
            if is_alone(call) {
                plan.own(Host, ends.veth(0, None));
            }
            return Ok((plan, AddResult::default()));
        }
        let mut addresses = match is_alone(call) {
            true => addresses.clone(),
            false => previous(call)?,
        };
        if is_alone(call) {
            only_ipv4(&addresses)?;
            addresses.default_gateways();
        }
        let node = self.node()?;
        fits_ipv6(node.mtu, &addresses)?;
        let is_ipv4 = true;
        let address = match (self.address()?, addresses.gateway(is_ipv4)) {
            (Some(address), _) => Some(address),
            (None, Some(IpAddr::V4(gateway))) => Some(gateway),
            (None, _) if addresses.is_empty() => None,
            (None, _) => return Err(no_gateway()),
        };
        node.check_pod(&addresses)?;

        self.plan_network(&mut plan, node, address)?;
        // CHECK goes by prevResult: what is not in it any more, a later plugin has taken away.
        let added = match call.verb {
            Verb::Check => Vec::new(),
            _ => node.uncovered(&addresses)?,
        };
        addresses.0.routes.extend(added.iter().cloned());
        for route in addresses.0.routes.iter_mut().filter(|route| route.mtu > node.mtu) {
            route.mtu = node.mtu;
        }
        let result = match is_alone(call) {
            true => plan_alone(&mut plan, call, &ends, node.mtu, addresses),
            false => plan_chained(&mut plan, call, &ends, node.mtu, &added)?,
        };
        Ok((plan, result))
    }

    fn network_plan(&self, call: &Call) -> Result<Option<Plan>> {
        let mut plan = ferrocni::network_plan_of(call);
        let node = self.node()?;
        self.plan_network(&mut plan, node, self.address()?)?;
        Ok(Some(plan))
    }

    fn status(&self, call: &Call) -> Result<()> {
        let unavailable = |error: Error| Error { code: code::UNAVAILABLE, ..error };
        let node = self.node().map_err(unavailable)?;
        let address = self.address().map_err(unavailable)?;
        self.tunnel(call.network.as_str(), node, address).usable().map_err(ferrocni::unavailable)
    }
}

impl Ipip {
    /// What the configuration says and what the host is like, put together once in a call.
    fn node(&self) -> Result<&Node> {
        if let Some(node) = self.node.get() {
            return Ok(node);
        }
        let node = Node::survey(self.wanted()?)?;
        Ok(self.node.get_or_init(|| node))
    }

    fn wanted(&self) -> Result<Wanted> {
        // IPv4 itself asks for 68 (RFC 791); the most is what a packet can have without the tunnel's header.
        const MTUS: std::ops::RangeInclusive<u32> = 68..=65_535 - Tunnel::HEADER;
        if self.mtu != 0 && !MTUS.contains(&self.mtu) {
            let (least, most) = (MTUS.start(), MTUS.end());
            return Err(Error::config(format!("invalid mtu {}", self.mtu))
                .details(format!("it is between {least} and {most}, or 0")));
        }
        let word = |key: &str, given: &Option<String>, [first, second]: [&str; 2]| match given
            .as_deref()
        {
            None | Some("") => Ok(false),
            Some(given) if given == first => Ok(false),
            Some(given) if given == second => Ok(true),
            Some(given) => Err(Error::config(format!("unknown {key} \"{given}\""))
                .details(format!("{key} is \"{first}\" or \"{second}\""))),
        };
        Ok(Wanted {
            device: self.device.as_deref().unwrap_or(Tunnel::FALLBACK).to_owned(),
            local: self
                .local
                .as_deref()
                .filter(|text| !text.is_empty())
                .map(Local::parse)
                .transpose()?,
            mtu: self.mtu,
            cross_subnet: word("mode", &self.mode, ["always", "crossSubnet"])?,
            external: word("routes", &self.routes, ["peers", "external"])?,
            peers: peers::all(&self.peers, self.peers_file.as_deref())?,
        })
    }

    /// The configured address on the tunnel.
    fn address(&self) -> Result<Option<Ipv4Addr>> {
        let Some(text) = self.address.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let bare = text.strip_suffix("/32").unwrap_or(text);
        match ip::address(bare) {
            Ok(IpAddr::V4(address)) if peers::is_of_a_host(address) => Ok(Some(address)),
            Ok(IpAddr::V6(_)) => Err(peers::no_ipv6(format!("address {text}"))),
            _ => Err(Error::config(format!("invalid address: {text}"))
                .details("write the host's IPv4 address on the tunnel as 10.1.2.1")),
        }
    }

    fn tunnel(&self, network: &str, node: &Node, address: Option<Ipv4Addr>) -> Tunnel {
        // What is configured is the only one; a container's gateway may be one of several.
        let conflict = if self.address.is_some() { Conflict::Replace } else { Conflict::Keep };
        Tunnel {
            name: node.device.clone(),
            network: network.to_owned(),
            local: node.local.filter(|_| node.device != Tunnel::FALLBACK),
            mtu: node.mtu,
            address,
            conflict,
        }
    }

    /// What the node has for the network: the tunnel, and the routes to the peers.
    fn plan_network(&self, plan: &mut Plan, node: &Node, address: Option<Ipv4Addr>) -> Result<()> {
        let network = plan.owner.network.clone();
        plan.share(Host, self.tunnel(&network, node, address)); // modprobe ipip; ip link set tunl0 mtu 1480 up
        if node.needs_loose_filter {
            plan.share(Host, Sysctl::new(format!("ipv4/conf/{}/rp_filter", node.device), "2"));
            plan.because(
                "nodes change between direct and tunnelled routes at different times; the strict filter drops what \
                 comes by the other way meanwhile",
            );
        }
        plan.share(Host, Sysctl::new("ipv4/ip_forward", "1")); // sysctl -w net/ipv4/ip_forward=1
        plan.because("packets pass between the containers' links and the tunnel");
        plan.share(Host, RouteSet { routes: node.routes(&network), network }); // ip route replace 10.1.2.0/24 via 192.0.2.2 dev tunl0 onlink
        Ok(())
    }
}

/// The container's wire, as `ptp` makes it, with the tunnel's MTU.
fn plan_alone(
    plan: &mut Plan,
    call: &Call,
    ends: &Ends,
    mtu: u32,
    addresses: Addresses,
) -> AddResult {
    plan.own(Host, Veth { mtu, ..ends.veth(mtu, None) }); // ip link add veth1a2b mtu 1480 type veth peer name eth0 mtu 1480 netns POD
    plan.own(Host, no_router_advertisements(&ends.host)); // sysctl -w net/ipv6/conf/veth1a2b/accept_ra=0
    plan.because("a container must not reroute the host by router advertisements");
    plan.own(Host, Up::of(&ends.host)); // ip link set veth1a2b up
    plan_interface(plan, &ends.pod, &addresses, Subnet::BehindGateway, false);
    plan_gateway_end(plan, &ends.host, &addresses);
    plan_neighbours(plan, &ends.host, ends, &addresses); // ip neighbour replace 10.1.1.5 lladdr MAC dev veth1a2b
    plan_announcement(plan, ends, None, &addresses);
    let with_mtu = |interface: Interface| Interface { mtu, ..interface };
    let interfaces = vec![with_mtu(ends.host_interface()), with_mtu(ends.interface(call))];
    addresses.into_result(call, interfaces, 1)
}

/// What another plugin made, corrected to fit the tunnel.
fn plan_chained(
    plan: &mut Plan,
    call: &Call,
    ends: &Ends,
    mtu: u32,
    added: &[Route],
) -> Result<AddResult> {
    let mut result = call.prev.clone().unwrap_or_default();
    let mut host = Survey::host().map_err(ferrocni::into_cni)?;
    // In a preview, neither the links nor perhaps the namespace are there yet.
    let mut pod = call.netns.as_deref().and_then(|path| Survey::pod(path.as_ref()).ok());
    let most = |link: &str| Mtu { link: link.to_owned(), most: mtu };
    // Results of the first versions of CNI name no interfaces.
    if result.interfaces.is_empty() {
        plan.own(Pod, most(&ends.pod));
    }
    for interface in &mut result.interfaces {
        let on_host = interface.sandbox.is_empty();
        let survey = if on_host { Some(&mut host) } else { pod.as_mut() };
        let link = survey.map_or(Ok(None), |survey| survey.link(&interface.name));
        let link = link.map_err(ferrocni::into_cni)?;
        match on_host {
            true if interface.name == ends.host => plan.own(Host, most(&interface.name)), // ip link set veth1a2b mtu 1480
            true if link.as_ref().is_some_and(|link| link.kind == "bridge") => {
                plan.share(Host, most(&interface.name)); // ip link set cni0 mtu 1480
                plan.because("what is larger would be lost at the container's port without a word");
            }
            false if interface.name == ends.pod => plan.own(Pod, most(&interface.name)), // ip -n POD link set eth0 mtu 1480
            _ => continue,
        }
        // A link that is smaller stays so.
        let now = link.map_or(interface.mtu, |link| link.mtu);
        interface.mtu = if now == 0 { mtu } else { now.min(mtu) };
    }
    for route in added {
        plan.own(Pod, kernel::Route { via: route.gw, ..kernel::Route::new(&ends.pod, route.dst) }); // ip -n POD route add 10.1.2.0/24 via 10.1.1.1
    }
    for route in result.routes.iter_mut().filter(|route| route.mtu > mtu) {
        route.mtu = mtu;
    }
    result.routes.extend(added.iter().cloned());
    Ok(result)
}

/// Whether the plugin makes the container's link itself.
fn is_alone(call: &Call) -> bool {
    call.ipam_type().is_some()
}

/// The container's addresses, as the plugin before in the chain answered them.
fn previous(call: &Call) -> Result<Addresses> {
    if call.prev.is_none() {
        return Err(Error::config("ipip has neither \"ipam\" nor a prevResult").details(
            "put it behind bridge or ptp in the network's list, or give it \"ipam\" for links of its own",
        ));
    }
    let addresses = call.prev_addresses();
    match addresses.ips().iter().any(|ip| ip.address.is_ipv4()) {
        true => Ok(addresses),
        false => Err(Error::config(
            "the container has no IPv4 address, and the tunnel carries nothing else",
        )
        .details("give the plugin before an IPv4 range in its \"ipam\"")),
    }
}

fn only_ipv4(addresses: &Addresses) -> Result<()> {
    match addresses.ips().iter().find(|ip| ip.address.is_ipv6()) {
        None => Ok(()),
        Some(ip) => Err(peers::no_ipv6(format!("address {}", ip.address))),
    }
}

/// IPv6 addresses of the container do not go through the tunnel, but share the link that is made to fit it.
fn fits_ipv6(mtu: u32, addresses: &Addresses) -> Result<()> {
    /// RFC 8200 section 5: the kernel takes IPv6 off smaller links.
    const LEAST: u32 = 1280;
    match addresses.ips().iter().find(|ip| ip.address.is_ipv6()) {
        Some(ip) if mtu < LEAST => Err(Error::config(format!(
            "the tunnel's MTU is {mtu}, and the container has the IPv6 address {}, which needs {LEAST}",
            ip.address
        ))),
        _ => Ok(()),
    }
}

fn no_gateway() -> Error {
    Error::config("the container has no gateway, so the host has no address for the tunnel")
        .details("set isGateway in the bridge before it, or give \"address\"")
}

#[test]
fn the_manual_is_true() {
    testbed::assert_manual(
        include_str!("ipip.rs"),
        &schemars::schema_for!(Ipip).to_value(),
        <Ipip as libcni::Plugin>::MANUAL.schema,
        concat!(env!("CARGO_MANIFEST_DIR"), "/ipip.schema.json"),
    );
}
