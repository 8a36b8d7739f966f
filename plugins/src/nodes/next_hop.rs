//! Checks that a container that another plugin attached sends its packets for the peers to this
//! host.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use crate::common::into_cni;
use ipnetwork::{IpNetwork, Ipv4Network};
use kernel::Survey;
use libcni::{Addresses, Error, Result};

use super::cluster::Cluster;

/// Rejects a container whose next hop to the peers is another host or has no owner. `gateway`
/// counts as this host's if the tunnel takes its address from it. `tunnel` is the kind of the
/// network's tunnels.
///
/// # Errors
///
/// Returns an error that names the next hop and the remedy.
pub fn check(
    cluster: &Cluster,
    tunnel: &str,
    addresses: &Addresses,
    gateway: Option<Ipv4Addr>,
) -> Result<()> {
    let mut hops: BTreeSet<Ipv4Addr> = next_hops(cluster, addresses).into_iter().collect();
    hops.extend(gateway);
    let mut host = Survey::host().map_err(into_cni)?;
    for hop in hops {
        let is_here = is_held(&mut host, cluster, tunnel, hop).map_err(into_cni)?;
        if !is_here && !is_proxied(&mut host, addresses, hop).map_err(into_cni)? {
            return Err(Error::config(format!(
                "the container sends packets for the peers to {hop}, which is no address of this \
                 host"
            ))
            .details(
                "Set isGateway in the bridge before it, or give this host the gateway's \
                 address.",
            ));
        }
    }
    Ok(())
}

/// The container's next hop to each peer's containers; without peers, the gateway, which will be
/// the next hop.
fn next_hops(cluster: &Cluster, addresses: &Addresses) -> Vec<Ipv4Addr> {
    let is_ipv4 = true;
    let v4 = |address: IpAddr| match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    };
    let gateway = addresses.gateway(is_ipv4);
    let hop = |cidr: Ipv4Network| {
        let covering = addresses.routes().iter().filter(|route| covers(route.dst, cidr));
        let is_on_link = addresses.ips().iter().any(|ip| covers(ip.address, cidr));
        match covering.max_by_key(|route| route.dst.prefix()) {
            Some(route) => route.gw.or(gateway).and_then(v4),
            None if is_on_link => None,
            None => gateway.and_then(v4),
        }
    };
    let hops: Vec<Ipv4Addr> = cluster.cidrs().filter_map(|(_, cidr)| hop(cidr)).collect();
    if cluster.cidrs().next().is_none() { gateway.and_then(v4).into_iter().collect() } else { hops }
}

fn covers(network: IpNetwork, cidr: Ipv4Network) -> bool {
    matches!(network, IpNetwork::V4(network)
        if network.prefix() <= cidr.prefix() && network.contains(cidr.network()))
}

/// Whether a link of this host has the address. The container cannot reach an address that only a
/// tunnel has.
fn is_held(
    host: &mut Survey,
    cluster: &Cluster,
    tunnel: &str,
    address: Ipv4Addr,
) -> kernel::Result<bool> {
    for link in cluster.holders(address) {
        if host.link(link)?.is_some_and(|link| link.kind != tunnel) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether this host answers the container's ARP requests for an address that it has a route to
/// (`proxy_arp`), as some plugins configure it.
fn is_proxied(host: &mut Survey, addresses: &Addresses, hop: Ipv4Addr) -> kernel::Result<bool> {
    let own = |ip: &libcni::IpConfig| match ip.address {
        IpNetwork::V4(own) => Some(own.ip()),
        IpNetwork::V6(_) => None,
    };
    let Some(onward) = host.egress(&[hop])?.into_iter().flatten().next() else { return Ok(false) };
    let own: Vec<Ipv4Addr> = addresses.ips().iter().filter_map(own).collect();
    let ways = host.egress(&own)?.into_iter().flatten();
    let links = host.links()?;
    for way in ways.filter(|way| way.via.is_none() && way.link != onward.link) {
        let Some(link) = links.iter().find(|link| link.index == way.link) else { continue };
        for of in [link.name.as_str(), "all"] {
            if host.sysctl(&format!("ipv4/conf/{of}/proxy_arp"))?.as_deref() == Some("1") {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
