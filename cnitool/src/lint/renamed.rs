//! Finds networks with live containers in the cache that no file configures any more, most likely
//! because the network was renamed.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::path::Path;

use ipam::PoolConf;
use libcni::runtime::{Cache, NetworkConfig, PluginConfig};
use libcni::{Result, json};

use crate::lint::between::segment_of;
use crate::lint::files::Place;
use crate::lint::network::Network;
use crate::lint::problem::Problem;
use crate::lint::ranges::{Pool, bits};
use crate::netns;

/// The cached data of a network that no file configures.
#[derive(Default)]
struct Old {
    /// The number of live attachments.
    live: usize,
    /// Its bridges, each with the VLAN.
    bridges: BTreeSet<(String, i64)>,
    /// Its ranges, each as first and last address.
    ranges: Vec<(IpAddr, IpAddr)>,
}

/// Compares networks with the networks that only the cache has. `conf_dir` is the folder of all
/// configured networks.
pub fn check(
    networks: &[Network<'_>],
    cache: &Cache,
    conf_dir: &Path,
    problems: &mut Vec<Problem>,
) {
    let configured = NetworkConfig::all(conf_dir).unwrap_or_default().into_iter();
    let mut known: HashSet<String> =
        configured.filter_map(|(_, list)| Some(list.ok()?.name.to_string())).collect();
    known.extend(networks.iter().map(|network| network.name().to_owned()));
    let old = match old(cache, &known) {
        Ok(old) => old,
        // An unprivileged user cannot read the whole cache.
        Err(error) if error.msg.contains("ermission denied") => return,
        Err(error) => return crate::note(&format!("cannot read the cache: {error}")),
    };
    for network in networks.iter().filter(|network| *network.place == Place::Whole) {
        for (name, old) in &old {
            problems.extend(
                old.shared(network).map(|shared| finding(network, name, old.live, &shared)),
            );
        }
    }
}

fn finding(network: &Network<'_>, old: &str, live: usize, shared: &str) -> Problem {
    let attachments = match live {
        1 => "1 live attachment".to_owned(),
        many => format!("{many} live attachments"),
    };
    let what = format!(
        "the cache has {attachments} of a network {old:?} with {shared}, and no file configures it"
    );
    let why = format!(
        "if {:?} was renamed from {old:?}, DEL of these containers uses the new name and releases \
         nothing, and their addresses are assigned again",
        network.name()
    );
    let help = format!(
        "restore the name {old:?} until these containers are removed; `cnitool ls {old}` lists \
         their leaks and the remedy"
    );
    Problem::warning("renamed", &network.name_at(), what).why(why).help(help)
}

/// The networks with live attachments that are not in `known`.
fn old(cache: &Cache, known: &HashSet<String>) -> Result<BTreeMap<String, Old>> {
    let mut all: BTreeMap<String, Old> = BTreeMap::new();
    let mut seen = HashSet::new();
    for entry in cache.entries()? {
        // `cnitool ls` reports an entry that cannot be read.
        let Ok(cached) = entry.cached else { continue };
        if known.contains(cached.network.as_str())
            || netns::state(&cached.conf.netns) != netns::State::There
        {
            continue;
        }
        let old = all.entry(cached.network.to_string()).or_default();
        old.live += 1;
        if seen.insert((cached.network.clone(), cached.config.clone())) {
            let list = NetworkConfig::parse(&cached.config)
                .or_else(|_| NetworkConfig::parse_single(&cached.config));
            list.iter().flat_map(|list| &list.plugins).for_each(|plugin| old.learn(plugin));
        }
    }
    Ok(all)
}

impl Old {
    fn learn(&mut self, plugin: &PluginConfig) {
        if plugin.kind.as_str() == "bridge" {
            let name = json::get(&plugin.config, "bridge").and_then(|name| name.as_str());
            let name = name.filter(|name| !name.is_empty()).unwrap_or("cni0");
            let vlan = json::get(&plugin.config, "vlan").and_then(|vlan| vlan.as_i64());
            self.bridges.insert((name.to_owned(), vlan.unwrap_or(0)));
        }
        // ADD fails for an invalid pool, so it has no assigned addresses.
        let conf = PoolConf::of(&plugin.config).ok().flatten();
        let ranges = conf.iter().flat_map(|conf| &conf.sets).flat_map(|set| set.ranges());
        self.ranges.extend(ranges.filter_map(|range| range.ends()));
    }

    /// The resources that the old network shares with a network, in words.
    fn shared(&self, network: &Network<'_>) -> Option<String> {
        let pools: Vec<Pool<'_>> =
            network.plugins.iter().filter_map(|plugin| Pool::of(network, plugin)).collect();
        let mut ranges = pools.iter().flat_map(Pool::ranges);
        let overlaps = |range: &&crate::lint::ranges::Range<'_>| {
            self.ranges.iter().any(|(first, last)| {
                first.is_ipv4() == range.subnet.is_ipv4()
                    && bits(*first) <= range.last
                    && range.first <= bits(*last)
            })
        };
        if let Some(range) = ranges.find(overlaps) {
            return Some(format!("the same addresses, of {}", range.subnet));
        }
        let bridges = network.plugins.iter().filter_map(segment_of);
        let same = bridges.into_iter().find(|(name, vlan)| {
            self.bridges.iter().any(|(old, of_old)| old == name && i128::from(*of_old) == *vlan)
        });
        same.map(|(name, _)| format!("the same bridge, {name}"))
    }
}
