//! Compares host-local's pools with the reservations on this host, to warn before ADD fails.

use std::path::Path;

use ipam::{Holder, Reserved};
use libcni::NetworkName;

use crate::fill;
use crate::lint::network::Network;
use crate::lint::problem::Problem;
use crate::lint::ranges::{Pool, Set};

/// Warns of range sets that are nearly full. If `lint` runs the plugins (`is_asked`), the plugin
/// itself reports a full set.
pub fn check(network: &Network<'_>, is_asked: bool, problems: &mut Vec<Problem>) {
    for plugin in &network.plugins {
        let (Some(pool), Ok(name)) = (Pool::of(network, plugin), NetworkName::new(network.name()))
        else {
            continue;
        };
        // An unreadable directory is not a finding.
        let Ok(Some(reserved)) = Reserved::read(Path::new(pool.data_dir()), &name) else {
            continue;
        };
        for (index, set) in pool.sets.iter().enumerate() {
            let (taken, size) = (taken(set, &reserved), size(set));
            if !fill::is_nearly_full(taken, size) || (is_asked && taken >= size) {
                continue;
            }
            problems.push(
                Problem::warning(
                    "pool-nearly-full",
                    set.at,
                    format!(
                        "range set {index} of network {} is nearly full on this host: {taken} of \
                         {size} addresses are taken",
                        network.name()
                    ),
                )
                .why(
                    "when the last one is taken, every ADD fails, and no more containers start \
                     here",
                )
                .help(format!(
                    "run `cnitool ls {}` to list their holders and possible leaks, or add a range \
                     to the set",
                    network.name()
                )),
            );
        }
    }
}

fn taken(set: &Set<'_>, reserved: &Reserved) -> u128 {
    let is_taken = |(ip, holder): &&(_, std::io::Result<Holder>)| {
        !matches!(holder, Ok(Holder::Nobody))
            && set.ranges.iter().any(|range| range.contains(*ip) && range.gateway != *ip)
    };
    reserved.addresses.iter().filter(is_taken).count() as u128
}

/// The number of addresses that can be assigned.
fn size(set: &Set<'_>) -> u128 {
    let sizes = set.ranges.iter().filter(|range| range.first <= range.last).map(|range| {
        let all = (range.last - range.first).saturating_add(1);
        all - u128::from(range.contains(range.gateway))
    });
    sizes.fold(0, u128::saturating_add)
}
