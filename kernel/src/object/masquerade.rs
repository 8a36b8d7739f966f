use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::{At, Kind, Place, Undo};
use crate::error::Result;
use crate::iptables;
use crate::nft;

/// Source address translation for a container's address, except to its own subnet and to multicast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Masquerade {
    /// The container's address with the prefix length of its subnet.
    pub address: IpNetwork,
    /// Who does it.
    pub backend: Backend,
}

/// What the rule is made with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// nf_tables over netlink: no program is run, and the number of rules does not grow with the containers.
    #[default]
    Nftables,
    /// The host's `iptables` and `ip6tables` programs, with the chains and rules of the reference suite.
    Iptables,
}

impl Kind for Masquerade {
    fn show(&self, _place: Place) -> String {
        match self.backend {
            Backend::Nftables => nft::show_masquerade(self.address),
            Backend::Iptables => iptables::show_masquerade(self.address),
        }
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        at.undo.push(Undo::Step(at.place, Box::new(self.clone().into())));
        match self.backend {
            Backend::Nftables => {
                let tag = at.owner.tag();
                at.sides.nft()?.masquerade(&tag, self.address).map(drop)
            }
            Backend::Iptables => iptables::masquerade(at.owner, &[self.address]),
        }
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        match self.backend {
            Backend::Nftables => {
                let tag = at.owner.tag();
                at.sides.nft()?.masquerade_diff(&tag, self.address)
            }
            Backend::Iptables => iptables::missing(at.owner, &[self.address]),
        }
    }

    fn remove(&self, at: &mut At<'_>) -> Result<()> {
        match self.backend {
            Backend::Nftables => {
                let tag = at.owner.tag();
                let address: IpAddr = self.address.ip();
                at.sides.nft()?.unmasquerade(&tag, Some(&[address]))
            }
            Backend::Iptables => iptables::unmasquerade(at.owner, &[self.address]),
        }
    }
}
