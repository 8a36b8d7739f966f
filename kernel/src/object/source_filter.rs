use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;
use serde::{Deserialize, Serialize};

use super::{AND, At, Collection, Kind, Of, Place, Stale, Sweep};
use crate::error::Result;
use crate::nft::{self, Sources};

/// The hosts whose packets a network's tunnel accepts; packets of other hosts are dropped.
///
/// It belongs to the network, not to one attachment: a failed ADD does not remove it. A kernel that
/// lacks a part of nf_tables has no filter, which is not an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFilter {
    /// The network that the tunnel belongs to.
    pub network: String,
    /// The tunnel's own address; `None` for the fallback device, which receives what no other
    /// tunnel does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local: Option<Ipv4Addr>,
    /// The addresses of the other tunnels, for the fallback device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<Ipv4Addr>,
    /// The hosts that may send. `None` lets every host send, and removes an earlier filter.
    pub from: Option<Vec<Ipv4Network>>,
}

impl SourceFilter {
    fn sources(&self) -> Sources<'_> {
        let (network, from) = (&self.network, self.from.as_deref());
        Sources { network, to: self.local, except: &self.except, from }
    }
}

impl Kind for SourceFilter {
    fn name(&self) -> &'static str {
        "source-filter"
    }

    fn show(&self, _place: Place) -> String {
        self.sources().show().join(AND)
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        at.handles.flush()?;
        tolerated(at.handles.nft().and_then(|nft| nft.limit_sources(self.sources())).map(drop))
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        match at.handles.nft() {
            Err(error) if nft::is_missing(&error) => Ok(Vec::new()),
            nft => nft?.sources_differences(self.sources()),
        }
    }
}

/// Accepts that a kernel without the necessary parts has no filter.
fn tolerated(done: Result<()>) -> Result<()> {
    match done {
        Err(error) if nft::is_missing(&error) => Ok(()),
        done => done,
    }
}

impl Sweep for SourceFilter {
    fn collect(gc: &mut Collection<'_>) -> Result<()> {
        if !gc.is_network_gone() {
            return Ok(());
        }
        tolerated(gc.handles.nft().and_then(|nft| nft.forget_sources(gc.judge.network)).map(drop))
    }

    /// All nf_tables objects that a network has for all its attachments.
    fn stale(gc: &mut Collection<'_>, _found: &[Stale]) -> Result<Vec<Stale>> {
        if !gc.is_network_gone() {
            return Ok(Vec::new());
        }
        let found = match gc.handles.nft() {
            Err(error) if nft::is_missing(&error) => Vec::new(),
            nft => nft?.of_network(gc.judge.network)?,
        };
        Ok(found.into_iter().map(|what| Stale::new(what, Of::Network)).collect())
    }
}
