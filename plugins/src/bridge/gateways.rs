//! The gateway addresses that the bridge needs, and those that it has already: two networks may
//! share a bridge.

use ipnetwork::IpNetwork;
use kernel::{Address, Conflict};
use libcni::{Call, Error, Result};

use super::Bridge;

impl Bridge {
    /// A gateway's address on its link.
    pub(super) fn gateway(&self, link: &str, address: IpNetwork) -> Address {
        let conflict = if self.force_address { Conflict::Replace } else { Conflict::Refuse };
        Address { conflict, ..Address::new(link, address) }
    }

    /// Checks that one link can have all gateways. A link can have one IPv4 gateway. With
    /// `forceAddress` the last one replaces the others, as in the reference suite.
    pub(super) fn agree(&self, link: &str, gateways: &[IpNetwork]) -> Result<()> {
        for (index, gateway) in gateways.iter().enumerate().filter(|_| !self.force_address) {
            let ours = self.gateway(link, *gateway);
            if let Some(other) = gateways.iter().take(index).find(|it| ours.conflicts_with(**it)) {
                let msg = format!("{link} cannot be the gateway {other} and {gateway} at once");
                return Err(Error::config(msg).details(
                    "Give each subnet a network of its own, with a \"bridge\" of its own; one \
                     network can have one subnet of IPv4 and one of IPv6.",
                ));
            }
        }
        Ok(())
    }

    /// PLAN: checks the host for conflicts.
    pub(super) fn foresee(
        &self,
        call: &Call,
        link: &str,
        gateways: &[IpNetwork],
    ) -> kernel::Result<()> {
        self.bridge_link().usable()?;
        let mut gateways = gateways.iter().filter(|_| self.is_gateway());
        gateways.try_for_each(|gateway| self.gateway(link, *gateway).fits(&call.network))
    }

    /// STATUS: checks that the bridge can be the gateway of the next container.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot, whatever address that container gets.
    pub(super) fn check_gateways(&self, call: &Call) -> Result<()> {
        if !self.is_gateway() {
            return Ok(());
        }
        let link = self.gateway_link()?;
        let sets = gateways_to_come(call);
        let certain = sets.iter().filter_map(|set| <[_; 1]>::try_from(set.as_slice()).ok());
        self.agree(&link, &certain.flatten().collect::<Vec<_>>())?;
        for set in sets {
            let fits = |gateway: &IpNetwork| self.gateway(&link, *gateway).fits(&call.network);
            // Any of them may be the next container's gateway.
            let refused: Vec<_> = set.iter().filter_map(|gateway| fits(gateway).err()).collect();
            if refused.len() == set.len() {
                refused
                    .into_iter()
                    .next()
                    .map_or(Ok(()), |why| Err(crate::common::unavailable(why)))?;
            }
        }
        Ok(())
    }
}

/// The gateways that host-local may assign to the next container, for each range set. Empty if they
/// are unknown: host-local itself reports mistakes in the ranges.
fn gateways_to_come(call: &Call) -> Vec<Vec<IpNetwork>> {
    let Ok(Some(pool)) = ipam::PoolConf::of(&call.config) else { return Vec::new() };
    let of_set = |set: &ipam::RangeSet| {
        let gateways = set.ranges().iter().map(|it| IpNetwork::new(it.gateway(), it.prefix()).ok());
        gateways.flatten().collect()
    };
    pool.sets.iter().map(of_set).collect()
}
