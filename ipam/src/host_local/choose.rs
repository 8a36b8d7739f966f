//! Chooses the addresses of an attachment: one from each range set.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use libcni::{Attachment, Code, Context, Error, IpConfig, Result};

use crate::host_local::range::RangeSet;
use crate::host_local::store::{Reservations, View};

/// The range sets, and the requested addresses.
#[derive(Debug)]
pub struct Pool {
    /// The range sets, in the order of the addresses in the result.
    pub sets: Vec<RangeSet>,
    /// The requested addresses, in the order they are tried.
    pub requested: Vec<IpAddr>,
}

impl Pool {
    /// Chooses an address from each set, without reserving it.
    pub fn choose(&self, view: &View, owner: &Attachment) -> Result<Vec<IpConfig>> {
        let wishes: Vec<Option<IpAddr>> = self.sets.iter().map(|set| self.wish(set)).collect();
        let held = view.of_owner(owner);
        let mut chosen = Vec::new();
        for (index, (set, wish)) in self.sets.iter().zip(&wishes).enumerate() {
            let config = not_twice(set, &held, owner)
                .and_then(|()| match wish {
                    Some(ip) => wished(view, set, *ip),
                    None => next(view, index, set),
                })
                .and_then(|ip| configuration(set, ip))
                .context(|| format!("failed to allocate for range {index}"))?;
            chosen.push(config);
        }
        let left = self.requested.iter().filter(|ip| !wishes.contains(&Some(**ip)));
        let left: Vec<String> = left.map(IpAddr::to_string).collect();
        match left.is_empty() {
            true => Ok(chosen),
            false => Err(Error::internal(format!(
                "failed to allocate all requested IPs: {}",
                left.join(" ")
            ))),
        }
    }

    /// Chooses an address from each set and reserves them: all or none.
    pub fn allocate(
        &self,
        reservations: &mut Reservations,
        owner: &Attachment,
    ) -> Result<Vec<IpConfig>> {
        // Repeats only if another program made a reservation without the lock. That address is
        // known then, and not chosen again.
        loop {
            let chosen = reservations.ask(|view| self.choose(view, owner))?;
            let mut ours = Vec::new();
            let outcome = reserve(reservations, &chosen, owner, &mut ours);
            if matches!(outcome, Ok(true)) {
                return Ok(chosen);
            }
            for ip in ours {
                reservations.release(ip).context(|| match &outcome {
                    Err(error) => format!("{error}, and then"),
                    Ok(_) => "roll back the reservation".into(),
                })?;
            }
            outcome?;
        }
    }

    /// The first of the requested addresses that is in the set.
    fn wish(&self, set: &RangeSet) -> Option<IpAddr> {
        self.requested.iter().copied().find(|ip| set.contains(*ip))
    }
}

/// Reserves the chosen addresses and records them in `ours`; returns false if one of them is
/// already reserved.
fn reserve(
    reservations: &mut Reservations,
    chosen: &[IpConfig],
    owner: &Attachment,
    ours: &mut Vec<IpAddr>,
) -> Result<bool> {
    for config in chosen {
        if !reservations.reserve(config.address.ip(), owner)? {
            return Ok(false);
        }
        ours.push(config.address.ip());
    }
    for (index, config) in chosen.iter().enumerate() {
        reservations.set_last(index, config.address.ip())?;
    }
    Ok(true)
}

/// A second ADD of the same attachment is an error (specification, "ADD"), even if it requests
/// another address.
fn not_twice(set: &RangeSet, held: &[IpAddr], owner: &Attachment) -> Result<()> {
    match held.iter().find(|ip| set.contains(**ip)) {
        None => Ok(()),
        Some(ip) => Err(Error::internal(format!(
            "{ip} has been allocated to {}, duplicate allocation is not allowed",
            owner.container
        ))),
    }
}

fn wished(view: &View, set: &RangeSet, ip: IpAddr) -> Result<IpAddr> {
    if set.find(ip).is_some_and(|range| range.gateway() == ip) {
        return Err(Error::internal(format!("requested ip {ip} is subnet's gateway")));
    }
    let Some(holder) = view.holder(ip) else { return Ok(ip) };
    let msg = format!("requested IP address {ip} is not available in range set {set}");
    Err(Error::internal(msg).details(format!("it is reserved for {holder}")))
}

/// A full set is worth a later retry: addresses are released when containers are deleted.
fn next(view: &View, index: usize, set: &RangeSet) -> Result<IpAddr> {
    view.next_free(set, view.last(index)?).ok_or_else(|| {
        let msg = format!("no IP addresses available in range set: {set}");
        Error::new(Code::TRY_AGAIN, msg).details(format!("all {} addresses are taken", set.size()))
    })
}

fn configuration(set: &RangeSet, ip: IpAddr) -> Result<IpConfig> {
    let range = set.find(ip).ok_or_else(|| Error::internal(format!("{ip} is not in {set}")))?;
    let address = IpNetwork::new(ip, range.prefix())
        .map_err(|error| Error::internal(format!("{ip}/{}: {error}", range.prefix())))?;
    Ok(IpConfig { address, gateway: Some(range.gateway()), interface: None })
}
