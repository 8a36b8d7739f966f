use ipnetwork::IpNetwork;
use serde::{Deserialize, Serialize};

use super::{At, Kind, Place, Undo};
use crate::error::Result;
use crate::{iptables, nft};

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
            Backend::Nftables => nft::show_masquerade(self.address.ip(), self.subnet()),
            Backend::Iptables => {
                let program = if self.address.is_ipv4() { "iptables" } else { "ip6tables" };
                format!("{program} -t nat -A POSTROUTING -s {} -j CNI-...", self.address.ip())
            }
        }
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        at.sides.flush()?;
        at.undo.push(Undo::Step(at.place, Box::new(self.clone().into())));
        match self.backend {
            Backend::Nftables => {
                let tag = at.owner.tag();
                at.sides.nft()?.masquerade(&tag, self.address.ip(), self.subnet()).map(drop)
            }
            Backend::Iptables => {
                let (network, container) = (&at.owner.network, &at.owner.container);
                iptables::masquerade(network, container, &[self.address]).map(drop)
            }
        }
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        match self.backend {
            Backend::Nftables => {
                let (tag, nft) = (at.owner.tag(), at.sides.nft()?);
                nft.masquerade_differences(&tag, self.address.ip(), self.subnet())
            }
            Backend::Iptables => {
                iptables::missing(&at.owner.network, &at.owner.container, &[self.address])
            }
        }
    }

    fn remove(&self, at: &mut At<'_>) -> Result<()> {
        match self.backend {
            Backend::Nftables => {
                let tag = at.owner.tag();
                at.sides.nft()?.unmasquerade(&tag, Some(&[self.address.ip()])).map(drop)
            }
            Backend::Iptables => {
                let (network, container) = (&at.owner.network, &at.owner.container);
                iptables::unmasquerade(network, container, Some(&[self.address])).map(drop)
            }
        }
    }
}

impl Masquerade {
    /// The address' subnet, without host bits.
    fn subnet(&self) -> IpNetwork {
        // The prefix length comes from a network that is one already.
        IpNetwork::new(self.address.network(), self.address.prefix()).unwrap_or(self.address)
    }
}
