//! The objects of an `ipip` network on the node that do not depend on its attachments: the tunnel,
//! and the routes to the peers.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use crate::common::{into_cni, network_plan_of};
use crate::nodes::{Cluster, Local, PeersFile, peers};
use kernel::Place::Host;
use kernel::{Conflict, Plan, PodCidrs, RouteSet, Sysctl, Tunnel};
use libcni::{Call, Error, Result, ip, text::excerpt};

use super::node::{Node, Wanted};
use super::{Ipip, Known, is_alone, sources};

impl Ipip {
    /// This node, from the configuration and the host's state; surveyed once in a call.
    pub fn node(&self, call: &Call) -> Result<Rc<Node>> {
        if let Some(known) = self.known.borrow().as_ref() {
            return Ok(known.node.clone());
        }
        let path = self.peers_file.as_deref().filter(|path| !path.is_empty());
        let file = path.map(PeersFile::open).transpose()?.map(Rc::new);
        let node = Rc::new(Node::survey(self.wanted(call, file.as_deref())?)?);
        *self.known.borrow_mut() = Some(Known { node: node.clone(), file });
        Ok(node)
    }

    fn wanted(&self, call: &Call, file: Option<&PeersFile>) -> Result<Wanted> {
        // IPv4 requires 68 bytes (RFC 791). The maximum is the largest packet without the tunnel's
        // header.
        const MTUS: std::ops::RangeInclusive<u32> = 68..=65_535 - Tunnel::HEADER;
        if self.mtu != 0 && !MTUS.contains(&self.mtu) {
            let (least, most) = (MTUS.start(), MTUS.end());
            return Err(Error::config(format!("invalid mtu {}", self.mtu))
                .details(format!("It must be between {least} and {most}, or 0")));
        }
        let word = |key: &str, given: &Option<String>, [first, second]: [&str; 2]| match given
            .as_deref()
        {
            None | Some("") => Ok(false),
            Some(given) if given == first => Ok(false),
            Some(given) if given == second => Ok(true),
            Some(given) => Err(Error::config(format!("unknown {key} \"{}\"", excerpt(given)))
                .details(format!("{key} is \"{first}\" or \"{second}\""))),
        };
        let external = word("routes", &self.routes, ["peers", "external"])?;
        Ok(Wanted {
            network: call.network.to_string(),
            device: self.device.as_deref().unwrap_or(Tunnel::FALLBACK).to_owned(),
            local: self
                .local
                .as_deref()
                .filter(|text| !text.is_empty())
                .map(Local::parse)
                .transpose()?,
            mtu: self.mtu,
            cross_subnet: word("mode", &self.mode, ["always", "crossSubnet"])?,
            external,
            accepts_all: word("acceptFrom", &self.accept_from, ["peers", "all"])?,
            node_cidrs: sources::node_cidrs(&self.node_cidrs)?,
            peers: peers::all(&self.peers, file, !external)?,
        })
    }

    /// The configured address on the tunnel.
    pub fn address(&self) -> Result<Option<Ipv4Addr>> {
        let Some(text) = self.address.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let bare = text.strip_suffix("/32").unwrap_or(text);
        match ip::address(bare) {
            Ok(IpAddr::V4(address)) if peers::is_of_a_host(address) => Ok(Some(address)),
            Ok(IpAddr::V6(_)) => Err(peers::no_ipv6(format!("address {text}"))),
            _ => Err(Error::config(format!("invalid address: {text}"))
                .details("Write the host's IPv4 address on the tunnel as 10.1.2.1")),
        }
    }

    pub fn tunnel(&self, network: &str, node: &Node, address: Option<Ipv4Addr>) -> Tunnel {
        // A configured address is the only one; a container's gateway may be one of several.
        let conflict = if self.address.is_some() { Conflict::Replace } else { Conflict::Keep };
        Tunnel {
            name: node.device.clone(),
            network: network.to_owned(),
            renamed: node.renamed.clone(),
            local: node.local.filter(|_| node.device != Tunnel::FALLBACK),
            mtu: node.mtu,
            address,
            conflict,
        }
    }

    /// Plans the network's objects on the node: the tunnel, and the routes to the peers.
    pub fn plan_network(
        &self,
        plan: &mut Plan,
        call: &Call,
        node: &Node,
        address: Option<Ipv4Addr>,
    ) -> Result<()> {
        check_list(call, node, address)?;
        let network = plan.owner.network.clone();
        node.check_others(&network)?;
        // modprobe ipip; ip link set tunl0 mtu 1480 up
        plan.share(Host, self.tunnel(&network, node, address));
        if node.needs_loose_filter {
            plan.share(Host, Sysctl::new(format!("ipv4/conf/{}/rp_filter", node.device), "2"));
            plan.because(
                "nodes change between direct and tunnelled routes at different times; the strict \
                 filter drops what arrives by the other way meanwhile",
            );
        }
        plan.share(Host, Sysctl::new("ipv4/ip_forward", "1")); // sysctl -w net/ipv4/ip_forward=1
        plan.because("packets pass between the containers' links and the tunnel");
        let (filter, why) = sources::filter(node, &network);
        // nft add rule inet ferrocni input ip protocol 4 ip saddr != @peers_pods counter drop
        plan.share(Host, filter);
        plan.because(why);
        if self.spares_pods() {
            // nft add element inet ferrocni podcidrs_pods { 10.1.2.0/24 }
            plan.share(
                Host,
                PodCidrs { network: network.clone(), cidrs: node.cluster.all_cidrs() },
            );
        }
        // ip route replace 10.1.2.0/24 via 192.0.2.2 dev tunl0 onlink
        plan.share(Host, node.cluster.routes(&network, &node.device));
        for former in &node.former {
            plan.share(Host, former.clone()); // ip link del pods0
            plan.because(
                "the network's tunnel has another name now, and the routes lead through it",
            );
        }
        Ok(())
    }
}

/// Checks of a list of peers, besides those of [`Node::survey`].
fn check_list(call: &Call, node: &Node, address: Option<Ipv4Addr>) -> Result<()> {
    address.map_or(Ok(()), |address| node.cluster.check_address(address))?;
    // host-local reports mistakes in "ipam".
    let pool = ipam::PoolConf::of(&call.config).ok().flatten();
    let ranges = pool.iter().flat_map(|pool| pool.sets.iter().flat_map(|set| set.ranges()));
    for ends in ranges.filter_map(|range| range.ends()) {
        if let (IpAddr::V4(first), IpAddr::V4(last)) = ends {
            node.cluster.check_range(first, last)?;
        }
    }
    if !node.cluster.is_empty() {
        return Ok(());
    }
    let mut none = network_plan_of(call);
    let network = none.owner.network.clone();
    none.share(Host, RouteSet { over: Vec::new(), network });
    match none.diff().map_err(into_cni)?.is_empty() {
        true => Ok(()),
        false => Err(Cluster::emptied()),
    }
}

impl Ipip {
    fn has_iptables(&self) -> bool {
        self.ip_masq_backend.as_deref() == Some("iptables")
    }

    /// Whether the masquerade rules exempt the set of the pods' addresses.
    pub fn spares_pods(&self) -> bool {
        self.ip_masq && !self.has_iptables()
    }

    /// Rejects `ipMasq` where it would have no effect or a wrong one.
    pub fn check_masquerade(&self, call: &Call) -> Result<()> {
        if !self.ip_masq {
            return Ok(());
        }
        if !is_alone(call) {
            return Err(Error::config("ipMasq has no effect in ipip without \"ipam\"").details(
                "Set ipMasq in the plugin before it, with ipMasqBeyond for the network of all \
                 nodes' containers",
            ));
        }
        match self.has_iptables() && self.ip_masq_beyond.is_empty() {
            true => Err(Error::config(
                "with ipMasqBackend iptables, ipMasq would hide the containers from those of other \
                 nodes",
            )
            .details("Name the network of all nodes' containers in ipMasqBeyond, or use nftables")),
            false => Ok(()),
        }
    }
}
