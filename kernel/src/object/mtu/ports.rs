//! The containers of a network on a bridge, whose links have one MTU: the bridge drops frames that
//! are larger than a port's.

use std::collections::{BTreeMap, HashSet};

use super::Mtu;
use crate::error::{Error, Result};
use crate::handle::Handle;
use crate::link::{self, Link};
use crate::netns::Place;
use crate::netnsid;
use crate::owner::Owner;

/// The veth pairs of a network's containers on a bridge.
pub(crate) fn of_network(handle: &mut Handle, bridge: &Link, network: &str) -> Result<Vec<Link>> {
    let ports = handle.dump("list the ports of a bridge", link::ports_of(bridge.index))?;
    let mut ports: Vec<Link> = ports.iter().map(|body| Link::read(body)).collect();
    // A kernel that cannot filter reports all links.
    ports.retain(|port| {
        port.master == Some(bridge.index)
            && port.kind == "veth"
            && Owner::tag_is_of_network(&port.alias, network)
    });
    Ok(ports)
}

/// Sets the MTU of all containers of a network on a bridge, on both ends of each pair.
///
/// # Errors
///
/// Returns an error if the namespace of a container cannot be found, in which case nothing is
/// changed, or if the kernel refuses a request.
pub(super) fn fit(handle: &mut Handle, bridge: &Link, network: &str, most: u32) -> Result<()> {
    let ports = of_network(handle, bridge, network)?;
    // A container may have several ports. The kernel reports the id -1 for a namespace that is
    // being deleted.
    let mut of_pods: BTreeMap<i32, Vec<(Link, u32)>> = BTreeMap::new();
    for port in ports {
        let (Some(id), Some(far)) = (port.namespace.filter(|id| *id >= 0), port.peer) else {
            continue;
        };
        of_pods.entry(id).or_default().push((port, far));
    }
    let ids: HashSet<i32> = of_pods.keys().copied().collect();
    let mut namespaces = netnsid::open(handle, &ids)?;
    let mut pods = Vec::new();
    for (id, pairs) in of_pods {
        match (namespaces.remove(&id), pairs.first()) {
            (Some(namespace), _) => pods.push((namespace, pairs)),
            (None, Some((port, _))) => return Err(unreachable(port)),
            (None, None) => {}
        }
    }
    for (namespace, pairs) in pods {
        let mut pod = Handle::open(Place::Pod, Some(namespace))?;
        for (port, far) in pairs {
            // A container may have ended meanwhile.
            let Some(far) = pod.link_at(far)? else { continue };
            let of_pod = Mtu::at_most(&far.name, most);
            let wanted = of_pod.wanted(&far);
            of_pod.fit(&mut pod, &far, true)?;
            pod.flush()?;
            Mtu { exact: true, ..Mtu::at_most(&port.name, wanted) }.fit(handle, &port, false)?;
        }
    }
    handle.flush()
}

fn unreachable(port: &Link) -> Error {
    Error::found(
        format!("change the MTU of the container behind {}", port.name),
        "its network namespace is neither mounted here nor has a process",
    )
    .hint("Run the repair where the containers' processes are visible, or restart that container.")
}
