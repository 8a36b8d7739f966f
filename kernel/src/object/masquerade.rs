mod iptables_sweep;

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use serde::Serialize;

use super::{
    AND, At, Collection, Deletion, Kind, Mode, Of, Place, Removal, Stale, Sweep, attachment,
    is_same,
};
use crate::error::Result;
use crate::iptables;
use crate::nft::{Inside, Job};
use crate::owner::Owner;
use crate::sweep::Held;

/// Source address translation for a container's address, except to its own subnet and to multicast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Masquerade {
    /// The container's address with the prefix length of its subnet.
    pub address: IpNetwork,
    /// The backend that translates.
    pub backend: Backend,
    /// The network whose [pod CIDRs](super::PodCidrs) are excluded too. Only nf_tables supports it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods_of: Option<String>,
}

/// The backend of the rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// nf_tables over netlink: no program is run, and the number of rules does not grow with the
    /// containers.
    #[default]
    Nftables,
    /// The host's `iptables` and `ip6tables` programs, with the chains and rules of the reference
    /// suite.
    Iptables,
}

impl Kind for Masquerade {
    fn name(&self) -> &'static str {
        "masquerade"
    }

    fn show(&self, _place: Place) -> String {
        match self.backend {
            Backend::Nftables => self.job("").map(|job| job.show().join(AND)).unwrap_or_default(),
            Backend::Iptables => {
                let program = if self.address.is_ipv4() { "iptables" } else { "ip6tables" };
                format!("{program} -t nat -A POSTROUTING -s {} -j CNI-...", self.address.ip())
            }
        }
    }

    fn apply(&self, at: &mut At<'_>) -> Result<()> {
        at.handles.flush()?;
        if at.mode == Mode::Repair && self.backend == Backend::Nftables && self.is_by_others(at)? {
            return Ok(());
        }
        at.undo_by_removal();
        match self.backend {
            Backend::Nftables => {
                let job = self.job(&at.owner.tag())?;
                at.handles.nft()?.declare(&job).map(drop)
            }
            Backend::Iptables => {
                let (network, container) = (&at.owner.network, &at.owner.container);
                iptables::masquerade(network, container, &[self.address])?;
                match at.mode {
                    Mode::Add => Ok(()),
                    // The backend was different at ADD. Other suites do not know its element.
                    Mode::Repair => {
                        let tag = at.owner.tag();
                        at.handles.nft()?.unmasquerade(&tag, Some(&[self.address.ip()])).map(drop)
                    }
                }
            }
        }
    }

    fn diff(&self, at: &mut At<'_>) -> Result<Vec<String>> {
        match self.backend {
            Backend::Nftables => {
                let job = self.job(&at.owner.tag())?;
                let found = at.handles.nft()?.differences(&job)?;
                if found.is_empty() || !self.is_by_others(at)? { Ok(found) } else { Ok(vec![]) }
            }
            Backend::Iptables => {
                let (network, container) = (&at.owner.network, &at.owner.container);
                let mut found = iptables::missing(network, container, &[self.address])?;
                let (tag, nft) = (at.owner.tag(), at.handles.nft()?);
                let ip = self.address.ip();
                if nft.masqueraded_for(|comment| comment == tag)?.iter().any(|(of, _)| *of == ip) {
                    found.push(format!("{ip} is also masqueraded by nf_tables"));
                }
                Ok(found)
            }
        }
    }

    fn remove(&self, at: &mut At<'_>) -> Result<()> {
        match self.backend {
            Backend::Nftables => {
                let tag = at.owner.tag();
                at.handles.nft()?.unmasquerade(&tag, Some(&[self.address.ip()])).map(drop)
            }
            Backend::Iptables => {
                let (network, container) = (&at.owner.network, &at.owner.container);
                iptables::unmasquerade(network, container, Some(&[self.address])).map(drop)
            }
        }
    }

    fn removal(&self) -> Removal {
        Removal::Swept
    }

    fn is_there(&self, at: &mut At<'_>) -> bool {
        match self.backend {
            Backend::Nftables => is_same(self.diff(at)),
            // Running the program may change which tables the kernel has.
            Backend::Iptables => false,
        }
    }

    fn has_skeleton(&self, at: &mut At<'_>) -> bool {
        let Ok(job) = self.job("") else { return false };
        self.backend == Backend::Nftables
            && at.handles.nft().and_then(|nft| nft.is_declared(&job)).unwrap_or(false)
    }

    fn feasible(&self, at: &mut At<'_>) -> Result<()> {
        match self.backend {
            Backend::Nftables => at.handles.nft()?.can_masquerade(),
            Backend::Iptables => iptables::usable(),
        }
    }

    fn show_for(&self, place: Place, owner: &Owner) -> String {
        let lines = match self.backend {
            Backend::Nftables => Vec::new(),
            Backend::Iptables => iptables::shown(&owner.network, &owner.container, self.address),
        };
        if lines.is_empty() { self.show(place) } else { lines.join(AND) }
    }
}

impl Sweep for Masquerade {
    /// The plan may lack addresses, because the configuration has changed since ADD, because they
    /// are unknown, or because the reference suite created the attachment.
    fn doom(del: &mut Deletion<'_>) -> Result<()> {
        let tag = del.owner.tag();
        let mut addresses: Vec<IpAddr> =
            attachment::planned(del.steps).iter().map(IpNetwork::ip).collect();
        addresses.extend(&del.handles.held);
        // If the addresses that the IPAM plugin holds are unknown, `prevResult` is only a hint:
        // another plugin may have rewritten it.
        let is_unknown = del.handles.held.is_empty();
        if addresses.is_empty() {
            addresses = attachment::of_pod(del.steps, del.handles)?;
        }
        let nft = del.handles.nft()?;
        del.doomed.extend(nft.doomed_masquerades(&tag, Some(&addresses))?);
        if is_unknown {
            del.doomed.extend(nft.doomed_masquerades(&tag, None)?);
        }
        Ok(())
    }

    /// Removes the reference suite's spoof check with its masquerade: one request covers both.
    fn remove(del: &mut Deletion<'_>) -> Result<()> {
        let nft = del.handles.nft()?;
        nft.remove(std::mem::take(&mut del.doomed))?;
        nft.remove_reference_leftovers(del.owner)?;
        // Programs are run only if they have work to do.
        let chain = iptables::chain_name(&del.owner.network, &del.owner.container);
        match nft.any_iptables_chain_exists(&chain)? {
            true => iptables_sweep::remove(del),
            false => Ok(()),
        }
    }

    fn addresses(gc: &mut Collection<'_>) -> Result<Held> {
        let found = gc.handles.nft()?.masqueraded_for(|tag| gc.judge.is_stale(tag))?.into_iter();
        Ok(found.filter_map(|(address, tag)| Some((address, Owner::of_tag(&tag)?))).collect())
    }

    fn collect(gc: &mut Collection<'_>) -> Result<()> {
        gc.handles.nft()?.collect_masquerade(|tag| gc.judge.is_stale(tag))?;
        iptables_sweep::collect(gc)
    }

    fn stale(gc: &mut Collection<'_>, _found: &[Stale]) -> Result<Vec<Stale>> {
        let found = gc.handles.nft()?.masqueraded_for(|tag| gc.judge.is_stale(tag))?.into_iter();
        let stale = |(address, tag): (IpAddr, String)| {
            Stale::new(format!("the masquerading of {address}"), Of::tag(&tag))
        };
        let mut stale: Vec<Stale> = found.map(stale).collect();
        stale.extend(iptables_sweep::stale(gc)?);
        Ok(stale)
    }
}

impl Masquerade {
    fn job(&self, tag: &str) -> Result<Job<'static>> {
        let inside = Inside { subnet: self.subnet(), network: self.pods_of.as_deref() };
        Job::masquerade(tag, self.address.ip(), inside)
    }

    /// Whether rules of the reference suite masquerade the address: it created the attachment, or
    /// `ipMasqBackend` was "iptables" when this suite did. They stay until the attachment ends.
    fn is_by_others(&self, at: &mut At<'_>) -> Result<bool> {
        let (owner, nft) = (at.owner, at.handles.nft()?);
        if nft.has_reference_masquerade(owner)? {
            return Ok(true);
        }
        // Programs are run only if they have something to report.
        let chain = iptables::chain_name(&owner.network, &owner.container);
        Ok(nft.any_iptables_chain_exists(&chain)?
            && iptables::missing(&owner.network, &owner.container, &[self.address])?.is_empty())
    }

    fn subnet(&self) -> IpNetwork {
        Masquerade::subnet_of(self.address)
    }

    /// The subnet of an address, without host bits.
    pub(crate) fn subnet_of(address: IpNetwork) -> IpNetwork {
        // The prefix length comes from a valid network.
        IpNetwork::new(address.network(), address.prefix()).unwrap_or(address)
    }
}
