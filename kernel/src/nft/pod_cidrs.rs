//! The addresses of a network's containers on all nodes. What the network's containers send there
//! is not masqueraded.
//!
//! ```text
//! table inet ferrocni {
//!     set podcidrs_pods { type ipv4_addr; flags interval; elements = { 10.1.0.0/16 } }
//!     chain masq_10.1.1.0/24_pods { ip daddr 10.1.1.0/24 return; ip daddr @podcidrs_pods return; masquerade; }
//! }
//! ```

use ipnetwork::Ipv4Network;

use super::job::Job;
use super::ranges::{self, Ranges};
use super::{Nft, TABLE};
use crate::Result;

const WHAT: &str = "podcidrs";

/// The name of a network's set.
pub(super) fn name(network: &str) -> String {
    ranges::name(WHAT, network)
}

/// A network's set.
pub(super) fn set(network: &str, cidrs: &[Ipv4Network]) -> Ranges {
    Ranges::new(WHAT, network, cidrs)
}

/// The commands that create a network's set.
pub(crate) fn show_pod_cidrs(network: &str, cidrs: &[Ipv4Network]) -> Vec<String> {
    let set = set(network, cidrs);
    let sets = [set.set()];
    let job = Job { table: TABLE, sets: &sets, chains: Vec::new(), elements: Vec::new() };
    job.show().into_iter().chain(set.show()).collect()
}

impl Nft {
    /// Sets the pod CIDRs in a network's set to exactly these. Returns whether something differed.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn pod_cidrs(&mut self, network: &str, cidrs: &[Ipv4Network]) -> Result<bool> {
        let set = set(network, cidrs);
        self.converge(|nft| {
            let found = nft.found(&set)?;
            let mut batch = found.batch();
            if !found.is_there {
                batch.push(TABLE.add());
            }
            set.declare(&found, &mut batch);
            Ok(batch)
        })
    }

    /// The differences between the set and what [`pod_cidrs`](Nft::pod_cidrs) creates.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request.
    pub fn pod_cidrs_differences(
        &mut self,
        network: &str,
        cidrs: &[Ipv4Network],
    ) -> Result<Vec<String>> {
        let set = set(network, cidrs);
        let found = self.found(&set)?;
        Ok(set.differences(&found))
    }

    /// Removes the set of a network, which no masquerade may use any more.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses.
    pub fn remove_pod_cidrs(&mut self, network: &str) -> Result<bool> {
        let set = set(network, &[]);
        self.converge(|nft| {
            let found = nft.found(&set)?;
            let mut batch = found.batch();
            if found.is_there {
                batch.push(TABLE.delete_set(set.set()));
            }
            Ok(batch)
        })
    }
}
