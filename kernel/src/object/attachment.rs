//! The addresses of an attachment, as far as its plan and its container show them.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::{Address, Place, Step, Veth};
use crate::error::Result;
use crate::handles::Handles;

/// The addresses that a plan gives the container.
pub(super) fn planned(steps: &[Step]) -> Vec<IpNetwork> {
    let in_pod = steps.iter().filter(|step| step.place == Place::Pod);
    in_pod.filter_map(|step| step.of_kind::<Address>()).map(|it| it.address).collect()
}

/// The addresses of the container's ends of the plan's veth pairs.
pub(super) fn of_pod(steps: &[Step], handles: &mut Handles) -> Result<Vec<IpAddr>> {
    let Some(pod) = handles.pod()? else { return Ok(Vec::new()) };
    let mut held = Vec::new();
    for veth in steps.iter().filter_map(|step| step.of_kind::<Veth>()) {
        let link = pod.link(&veth.peer.name)?.filter(|link| link.mac == Some(veth.peer.mac));
        if let Some(link) = link {
            held.extend(pod.addresses(link.index)?.iter().map(|held| held.address.ip()));
        }
    }
    Ok(held)
}
