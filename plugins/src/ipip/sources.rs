//! The filter of the tunnel's senders.

use std::net::Ipv4Addr;

use crate::nodes::peers;
use ipnetwork::{IpNetwork, Ipv4Network};
use kernel::{Link, SourceFilter, Tunnel, nft};
use libcni::{Error, Result, ip};

use super::node::Node;

/// Reads `nodeCIDRs`.
///
/// # Errors
///
/// Returns an error if one of them is not an IPv4 subnet.
pub fn node_cidrs(texts: &[String]) -> Result<Vec<Ipv4Network>> {
    let read = |text: &String| match ip::cidr(text) {
        Ok(IpNetwork::V4(cidr)) => Ok(cidr),
        Ok(IpNetwork::V6(_)) => Err(peers::no_ipv6(format!("nodeCIDRs: {text}"))),
        Err(_) => Err(Error::config(format!("invalid nodeCIDRs: \"{text}\""))
            .details("Write the network of the nodes as 192.0.2.0/24")),
    };
    texts.iter().map(read).collect()
}

/// The filter of the tunnel's packets, and the reason for it or for its absence.
pub fn filter(node: &Node, network: &str) -> (SourceFilter, String) {
    let is_fallback = node.device == Tunnel::FALLBACK;
    let nodes = node.cluster.peers.iter().map(|(peer, _)| Ipv4Network::from(peer.node));
    // The rule of the fallback device also matches packets of tunnels to a single remote host.
    let remotes = node.others(network).filter(|other| is_fallback && other.up);
    let remotes = remotes.filter_map(|other| other.tunnel.remote.map(Ipv4Network::from));
    let from = nodes.chain(node.node_cidrs.iter().copied()).chain(remotes).collect();
    let filter = SourceFilter {
        network: network.to_owned(),
        local: node.local.filter(|_| !is_fallback),
        except: if is_fallback { locals_of_others(node, network) } else { Vec::new() },
        from: Some(from),
    };
    match obstacle(node, network) {
        None => (
            filter,
            "otherwise every host that reaches this one could send packets to the \
             containers, with any source"
                .to_owned(),
        ),
        Some(why) => {
            let why = format!("the tunnel takes packets from every host: {why}");
            (SourceFilter { from: None, ..filter }, why)
        }
    }
}

/// The reason why the tunnel must accept packets from any host.
fn obstacle(node: &Node, network: &str) -> Option<String> {
    if node.accepts_all {
        return Some("acceptFrom is \"all\"".to_owned());
    }
    if node.cluster.external && node.node_cidrs.is_empty() {
        return Some(
            "another program makes the routes, and nodeCIDRs does not name the networks of its \
             nodes"
                .to_owned(),
        );
    }
    let own = node.own_addresses();
    if let Some(other) = node.others(network).find(|other| other.may_take(&own)) {
        let at = other.tunnel.local.map_or_else(|| "any address".to_owned(), |at| at.to_string());
        return Some(format!("{} is another IP-in-IP tunnel, at {at}", other.name));
    }
    nft::is_there().err().map(|error| format!("this kernel has no nf_tables: {error}"))
}

/// The addresses of other tunnels, whose packets the fallback device does not get. It gets packets
/// for a tunnel that is down, and packets for a tunnel to a single remote host that come from other
/// hosts.
fn locals_of_others(node: &Node, network: &str) -> Vec<Ipv4Addr> {
    let takes_all = |other: &&Link| other.up && other.tunnel.remote.is_none();
    let mut locals: Vec<Ipv4Addr> =
        node.others(network).filter(takes_all).filter_map(|other| other.tunnel.local).collect();
    locals.sort_unstable();
    locals.dedup();
    locals
}
