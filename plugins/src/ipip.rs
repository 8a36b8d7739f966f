//! `ipip` carries packets between containers on different nodes through an IP-in-IP tunnel: one
//! 20-byte header, no encryption and no overlay network.
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
//! With `ipam` it is an interface plugin: it connects the container to its host with a routed veth
//! pair, as `ptp` does. Without `ipam` it comes after `bridge` or `ptp` in a chain, and adapts
//! their links to the tunnel's MTU.
//!
//! In both cases it makes one tunnel on the node, and routes through it to the other nodes'
//! containers. They belong to the network: each ADD and `ipip sync` update them to the
//! configuration, and GC removes them when the network has no container left.

mod alone;
mod fitting;
mod network;
mod node;
mod others;
mod sources;

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

use crate::common::{Chained, Linux, Previous, Sweeps, chained, check_masquerade};
use crate::nodes::{PeersFile, next_hop, pods};
use kernel::Place::Pod;
use kernel::{Over, Plan, RouteSet, Swept};
use libcni::{AddResult, Addresses, Addressing, Call, Code, Error, IfName, Manual, Result, Verb};
use serde::Deserialize;
use serde_json::Value;

use node::Node;

/// Serves one call of the protocol.
pub fn run() -> std::process::ExitCode {
    libcni::run::<Ipip>()
}

/// The configuration of an `ipip` network.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Ipip {
    /// The tunnel's name; if not given tunl0, the kernel's fallback device. Any other name makes a
    /// separate tunnel. If another program uses tunl0, a separate tunnel needs a `local` of its
    /// own.
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "interface")))]
    device: Option<IfName>,
    /// The source of the tunnel's packets: an address of this host, or the interface that has it.
    /// If not given, this host's address in the list of peers, or else the kernel's choice for
    /// packets to the peers.
    local: Option<String>,
    /// The host's address on the tunnel, by which other nodes' containers see it. If not given, the
    /// gateway of the container's addresses.
    address: Option<String>,
    /// The largest packet, in bytes, inside the tunnel. 0 derives it from the routes to the peers,
    /// at each ADD.
    mtu: u32,
    /// The peers that are reached through the tunnel: "always" (if not given) all, "crossSubnet"
    /// those that are not on a link of this host; the others are reached directly.
    #[cfg_attr(test, schemars(extend("enum" = ["always", "crossSubnet", null])))]
    mode: Option<String>,
    /// The other nodes. This one may be among them, so that all nodes can have the same list.
    #[cfg_attr(test, schemars(with = "Vec<Entry>"))]
    peers: Vec<Value>,
    /// The path of a JSON file with more peers: a list, or an object with the key "peers". The
    /// program that writes it should replace it by a rename, and then run "ipip sync".
    peers_file: Option<String>,
    /// The source of the routes to the peers: "peers" (if not given) the list, from which this
    /// plugin makes them; "external" another program, such as a BGP daemon: the plugin makes only
    /// the tunnel.
    #[cfg_attr(test, schemars(extend("enum" = ["peers", "external", null])))]
    routes: Option<String>,
    /// The senders whose packets the tunnel accepts: "peers" (if not given) the peers and
    /// nodeCIDRs, "all" every host that can reach this one.
    #[cfg_attr(test, schemars(extend("enum" = ["peers", "all", null])))]
    accept_from: Option<String>,
    /// Networks of nodes whose packets the tunnel accepts, besides the peers'. Without any, a
    /// network with external routes accepts those of every host.
    #[serde(rename = "nodeCIDRs")]
    #[cfg_attr(test, schemars(extend("items" = { "type": "string", "format": "ipv4-cidr" })))]
    node_cidrs: Vec<String>,
    /// Hides the containers' addresses behind the host's, except within their own subnet (see
    /// ipMasqBeyond) and from the peers' containers. Only with ipam: in a chain, the plugin before
    /// it has this key.
    ip_masq: bool,
    /// The backend of ipMasq: nftables needs no program on the host; iptables runs the host's, and
    /// needs ipMasqBeyond.
    #[cfg_attr(test, schemars(extend("enum" = ["nftables", "iptables", null])))]
    ip_masq_backend: Option<String>,
    /// More destinations for which ipMasq hides nothing, such as the networks of all nodes'
    /// containers.
    #[cfg_attr(test, schemars(extend("items" = { "type": "string", "format": "network" })))]
    ip_masq_beyond: Vec<String>,
    /// This node as surveyed in this call, and the file of peers that was read.
    #[serde(skip)]
    #[cfg_attr(test, schemars(skip))]
    known: RefCell<Option<Known>>,
}

#[derive(Debug, Clone)]
struct Known {
    node: Rc<Node>,
    file: Option<Rc<PeersFile>>,
}

/// A node of the cluster.
#[cfg(test)]
#[derive(Default, Deserialize, schemars::JsonSchema)]
#[serde(default)]
struct Entry {
    /// The node's own address, to which the tunnel's packets go.
    #[schemars(extend("format" = "ipv4"))]
    node: String,
    /// The addresses of the containers on it; an empty list if it has none.
    #[serde(rename = "podCIDRs")]
    #[schemars(extend("items" = { "type": "string", "format": "ipv4-cidr" }))]
    pod_cidrs: Vec<String>,
}

impl Sweeps for Ipip {
    const SWEPT: &'static [Swept] = &[
        Swept::of::<kernel::Neighbours>(),
        Swept::of::<kernel::Masquerade>(),
        Swept::of::<kernel::RouteSet>(),
        Swept::of::<kernel::Tunnel>(),
        Swept::of::<kernel::SourceFilter>(),
        Swept::of::<kernel::PodCidrs>(),
        Swept::of::<kernel::Veth>(),
    ];
}

impl libcni::Plugin for Ipip {
    const MANUAL: Manual = Manual::new(
        "ipip",
        env!("CARGO_PKG_VERSION"),
        "reaches containers on other nodes through an IP-in-IP tunnel",
        include_str!("ipip.schema.json"),
    )
    .of_suite("ferrocni")
    .with_sync(
        "Updates this node's tunnel and routes to the configuration, as each ADD does, and prints \
         the changes",
    );
    type Executor = Linux<Self>;

    /// With `ipam` it is an interface plugin, without `ipam` a chained plugin.
    fn addressing(&self, call: &Call) -> Addressing {
        if is_alone(call) { Addressing::Required } else { Addressing::None }
    }

    fn plan(&self, call: &Call, addresses: &Addresses) -> Result<(Plan, AddResult)> {
        match is_alone(call) {
            true => self.plan_alone(call, addresses.clone()),
            false => chained::plan(self, call, addresses),
        }
    }

    fn network_plan(&self, call: &Call) -> Result<Option<Plan>> {
        let mut plan = crate::common::network_plan_of(call);
        let node = self.node(call)?;
        self.plan_network(&mut plan, call, &node, self.address()?.or(node.inherited))?;
        Ok(Some(plan))
    }

    fn living_plans(&self, call: &Call) -> Result<Vec<(String, Result<Plan>)>> {
        pods::plans(&self.node(call)?.cluster, call.network.as_str())
    }

    /// A slow ADD may have applied an older list than `sync` did meanwhile.
    fn is_outdated(&self) -> bool {
        let mut known = self.known.borrow_mut();
        let file = known.as_ref().and_then(|known| known.file.as_ref());
        let is_outdated = file.is_some_and(|file| file.has_changed());
        if is_outdated {
            *known = None;
        }
        is_outdated
    }

    /// The next ADD sets up a tunnel that is down, and while no route leads to the peers, a later
    /// ADD may succeed. STATUS does not fail for either, because the node would lose its pods.
    fn status(&self, call: &Call) -> Result<()> {
        let unavailable = |error: Error| error.with_code(Code::UNAVAILABLE);
        if is_alone(call) {
            kernel::makes("veth").map_err(crate::common::unavailable)?;
        }
        let node = match self.node(call) {
            Err(error) if error.code == Code::TRY_AGAIN => return Ok(()),
            node => node.map_err(unavailable)?,
        };
        let address = self.address().map_err(unavailable)?.or(node.inherited);
        self.tunnel(call.network.as_str(), &node, address)
            .usable()
            .map_err(crate::common::unavailable)?;
        self.check_masquerade(call)?;
        if self.ip_masq {
            check_masquerade(self.ip_masq_backend.as_deref(), &self.ip_masq_beyond)?;
        }
        let mut plan = crate::common::network_plan_of(call);
        self.plan_network(&mut plan, call, &node, address).map_err(unavailable)?;
        plan.settable().map_err(crate::common::unavailable)
    }
}

/// As a chained plugin: fits the links of the earlier plugin to the tunnel.
impl Chained for Ipip {
    const MANUAL: Manual = <Ipip as libcni::Plugin>::MANUAL;

    fn plan(&self, call: &Call, plan: &mut Plan, prev: &mut Previous) -> Result<()> {
        // The node's tunnel and routes stay, and the container's link is another plugin's.
        if call.verb == Verb::Del {
            return Ok(());
        }
        has_ipv4(&prev.addresses)?;
        let (mtu, routes) = self.plan_node(plan, call, &prev.ends.pod, &prev.addresses)?;
        fitting::plan(plan, call, prev, mtu).map_err(crate::common::into_cni)?;
        for route in prev.result.routes.iter_mut().filter(|route| route.mtu > mtu) {
            route.mtu = mtu;
        }
        plan_routes(plan, call, routes);
        Ok(())
    }

    fn no_previous() -> Error {
        Error::config("ipip has neither \"ipam\" nor a prevResult").details(
            "put it behind bridge or ptp in the network's list, or give it \"ipam\" for links of \
             its own",
        )
    }
}

impl Ipip {
    /// Plans what the network has on this node, after checking that it fits the container's
    /// addresses. Returns the largest packet, and the routes that the container needs over `link`.
    fn plan_node(
        &self,
        plan: &mut Plan,
        call: &Call,
        link: &str,
        addresses: &Addresses,
    ) -> Result<(u32, Vec<Over>)> {
        let node = self.node(call)?;
        fits_ipv6(node.mtu, addresses)?;
        let is_ipv4 = true;
        let address = match (self.address()?, addresses.gateway(is_ipv4)) {
            (Some(address), _) => Some(address),
            (None, Some(IpAddr::V4(gateway))) => Some(gateway),
            (None, _) if addresses.is_empty() => None,
            (None, _) => return Err(no_gateway()),
        };
        node.cluster.check_pod(addresses)?;
        // In a preview, the earlier plugins have made nothing yet.
        if !is_alone(call) && call.verb != Verb::Plan {
            next_hop::check(
                &node.cluster,
                "ipip",
                addresses,
                address.filter(|_| self.address.is_none()),
            )?;
        }
        self.check_masquerade(call)?;
        self.plan_network(plan, call, &node, address)?;
        if call.verb == Verb::Check {
            node.check_source()?;
        }
        Ok((node.mtu, pods::routes(&node.cluster, link, addresses)?))
    }
}

/// Plans the container's own routes to the peers' containers.
fn plan_routes(plan: &mut Plan, call: &Call, over: Vec<Over>) {
    // A new container has no outdated routes.
    if !over.is_empty() || matches!(call.verb, Verb::Check | Verb::Repair) {
        let network = plan.owner.network.clone();
        // ip -n POD route replace 10.1.2.0/24 via 10.1.1.1 dev eth0
        plan.own(Pod, RouteSet { network, over });
    }
}

/// Whether the plugin makes the container's link itself.
fn is_alone(call: &Call) -> bool {
    call.ipam_type().is_some()
}

fn has_ipv4(addresses: &Addresses) -> Result<()> {
    match addresses.ips().iter().any(|ip| ip.address.is_ipv4()) {
        true => Ok(()),
        false => Err(Error::config(
            "the container has no IPv4 address, and the tunnel carries nothing else",
        )
        .details("Give the plugin before it an IPv4 range in its \"ipam\"")),
    }
}

/// IPv6 packets of the container do not pass through the tunnel, but use the link whose MTU fits
/// it.
fn fits_ipv6(mtu: u32, addresses: &Addresses) -> Result<()> {
    /// The kernel removes IPv6 from links with a smaller MTU (RFC 8200 section 5).
    const LEAST: u32 = 1280;
    match addresses.ips().iter().find(|ip| ip.address.is_ipv6()) {
        Some(ip) if mtu < LEAST => Err(Error::config(format!(
            "the tunnel's MTU is {mtu}, and the container has the IPv6 address {}, which needs \
             {LEAST}",
            ip.address
        ))),
        _ => Ok(()),
    }
}

fn no_gateway() -> Error {
    Error::config("the container has no gateway, so the host has no address for the tunnel")
        .details("Set isGateway in the bridge before it, or set \"address\"")
}

#[test]
fn the_manual_is_true() {
    testbed::assert_manual(
        include_str!("ipip.rs"),
        &schemars::schema_for!(Ipip).to_value(),
        <Ipip as libcni::Plugin>::MANUAL.schema,
        concat!(env!("CARGO_MANIFEST_DIR"), "/src/ipip.schema.json"),
    );
}
