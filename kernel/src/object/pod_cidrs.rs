use ipnetwork::Ipv4Network;
use serde::Serialize;

use super::{AND, At, Collection, Kind, Place, Sweep};
use crate::error::Result;
use crate::nft;

/// The subnets of a network's containers on all nodes, which [`Masquerade`](super::Masquerade)
/// excludes.
///
/// It belongs to the network, not to one attachment: a failed ADD does not remove it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PodCidrs {
    /// The network.
    pub network: String,
    /// The subnets of its containers.
    pub cidrs: Vec<Ipv4Network>,
}

impl Kind for PodCidrs {
    fn name(&self) -> &'static str {
        "pod-cidrs"
    }

    fn show(&self, _place: Place) -> String {
        nft::show_pod_cidrs(&self.network, &self.cidrs).join(AND)
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        at.handles.flush()?;
        at.handles.nft()?.pod_cidrs(&self.network, &self.cidrs).map(drop)
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        at.handles.nft()?.pod_cidrs_differences(&self.network, &self.cidrs)
    }
}

impl Sweep for PodCidrs {
    /// The network's masquerades must be removed before.
    fn collect(gc: &mut Collection<'_>) -> Result<()> {
        if !gc.is_network_gone() {
            return Ok(());
        }
        match gc.handles.nft() {
            // A kernel without nf_tables has no set.
            Err(error) if nft::is_missing(&error) => Ok(()),
            nft => nft?.remove_pod_cidrs(gc.judge.network).map(drop),
        }
    }
}
