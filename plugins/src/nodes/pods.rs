//! The routes to the peers' containers in containers without a default route.
//!
//! They follow the list of peers, as the node's own routes do: each ADD makes them, and `ipip sync`
//! updates those of live containers. So they are not part of a result, which stays as it was at
//! ADD.

use std::net::{IpAddr, Ipv4Addr};

use crate::common::into_cni;
use ipnetwork::{IpNetwork, Ipv4Network};
use kernel::Place::Pod;
use kernel::{Home, Link, Over, Plan, Route, RouteSet, Survey};
use libcni::{Addresses, Error, Result};

use super::cluster::Cluster;

/// The routes that a container with these addresses and routes needs.
///
/// # Errors
///
/// Returns an error if the container needs routes and has no gateway.
pub fn routes(cluster: &Cluster, link: &str, addresses: &Addresses) -> Result<Vec<Over>> {
    if addresses.is_empty() {
        return Ok(Vec::new());
    }
    let ipv4 = |address: IpNetwork| match address {
        IpNetwork::V4(address) => Some(address),
        IpNetwork::V6(_) => None,
    };
    let routes = addresses.routes().iter().map(|route| route.dst);
    let subnets = addresses.ips().iter().map(|ip| ip.address);
    let covered: Vec<Ipv4Network> = routes.chain(subnets).filter_map(ipv4).collect();
    let is_ipv4 = true;
    let gateway = match addresses.gateway(is_ipv4) {
        Some(IpAddr::V4(gateway)) => Some(gateway),
        _ => None,
    };
    over(link, cluster.uncovered(&covered), gateway)
}

fn over(link: &str, to: Vec<Ipv4Network>, gateway: Option<Ipv4Addr>) -> Result<Vec<Over>> {
    let Some(first) = to.first() else { return Ok(Vec::new()) };
    let Some(gateway) = gateway else {
        let msg = format!("the container has no route to {first}, and no gateway");
        return Err(Error::config(msg)
            .details("Set isGateway in the bridge before it, or give its \"ipam\" routes"));
    };
    let routes = to.iter().map(|to| (*to, gateway)).collect();
    Ok(vec![Over { link: link.to_owned(), onlink: false, routes }])
}

/// The name and the plan of the routes of each live container of the network on this host.
///
/// # Errors
///
/// Returns an error if the host cannot be queried.
pub fn plans(cluster: &Cluster, network: &str) -> Result<Vec<(String, Result<Plan>)>> {
    let homes = kernel::homes(network).map_err(into_cni)?;
    if homes.is_empty() {
        return Ok(Vec::new());
    }
    let mut host = Survey::host().map_err(into_cni)?;
    let held = host.ipv4_addresses().map_err(into_cni)?;
    let mut plans = Vec::new();
    for home in homes {
        let name = format!("container {}", home.owner.container);
        let plan = |over| {
            let mut plan = Plan::new(home.owner.clone(), Some(&home.path));
            plan.own(Pod, RouteSet { network: network.to_owned(), over });
            plan
        };
        // A container that is being made or has been removed needs nothing.
        if let Some(over) = look(cluster, &home, &held).transpose() {
            plans.push((name, over.map(plan)));
        }
    }
    Ok(plans)
}

/// The routes that a live container needs; `None` if it has no address.
fn look(cluster: &Cluster, home: &Home, held: &[(u32, Ipv4Network)]) -> Result<Option<Vec<Over>>> {
    let seen = (|| {
        let mut pod = Survey::pod(&home.path)?;
        let Some(link) = pod.link(&home.owner.ifname)? else { return Ok(None) };
        let addresses = pod.ipv4_addresses()?;
        Ok(Some((pod.routes_over(&link)?, own(addresses, &link))))
    })();
    let (routes, own) = match seen {
        Ok(Some(seen)) => seen,
        Ok(None) => return Ok(None),
        Err(error) if kernel::Error::is_namespace(&error) => return Ok(None),
        Err(error) => return Err(into_cni(error)),
    };
    if own.is_empty() {
        return Ok(None);
    }
    let is_ours = |protocol: u8| protocol == Route::PROTOCOL;
    let others = routes.iter().filter(|route| !is_ours(route.protocol));
    let covered: Vec<Ipv4Network> =
        others.map(|route| route.to).chain(own.iter().copied()).collect();
    let ours = routes.iter().find(|route| is_ours(route.protocol));
    let is_gateway = |(link, address): &&(u32, Ipv4Network)| {
        (*link == home.link.index || Some(*link) == home.link.master)
            && own.iter().any(|own| own.contains(address.ip()))
    };
    let gateway = ours.and_then(|route| route.via);
    let gateway = gateway.or(held.iter().find(is_gateway).map(|(_, address)| address.ip()));
    over(&home.owner.ifname, cluster.uncovered(&covered), gateway).map(Some)
}

/// The subnets of a link's addresses.
fn own(addresses: Vec<(u32, Ipv4Network)>, link: &Link) -> Vec<Ipv4Network> {
    let on_link = addresses.into_iter().filter(|(on, _)| *on == link.index);
    on_link.map(|(_, address)| address).collect()
}
