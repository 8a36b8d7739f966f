//! The pools of host-local: their ranges and their used addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipam::{PoolConf, Range, RangeSet, Reserved};

use crate::fill;
use crate::ls::Problems;
use crate::ls::attached::Cached;
use crate::ls::networks::{Networks, Origin};
use crate::ls::reserved::{Folders, Holding, Reservation, reservations};

/// The pool of a network in one `dataDir`.
pub struct Pool {
    pub network: String,
    pub folder: PathBuf,
    pub known_by: KnownBy,
    pub ranges: Vec<RangeUse>,
    /// The range sets of the configuration, in its order.
    pub sets: Vec<SetUse>,
    /// The reservations outside all ranges.
    pub elsewhere: Tally,
    /// The last allocated addresses of the range sets, if the ranges are unknown.
    pub last: Vec<IpAddr>,
    pub reservations: Vec<Reservation>,
}

/// The source of a network's configuration.
pub enum KnownBy {
    File(PathBuf),
    Cache,
    Nobody,
}

/// The use of a range.
pub struct RangeUse {
    pub range: Range,
    pub tally: Tally,
    /// The last allocated address of the range set, if it is in this range.
    pub last: Option<IpAddr>,
    /// Whether only the cache has this range.
    pub is_past: bool,
}

/// The use of a range set.
pub struct SetUse {
    set: RangeSet,
    pub taken: usize,
}

impl SetUse {
    pub fn size(&self) -> u128 {
        self.set.size()
    }

    /// Whether the set is a single range, whose own line shows that it is full.
    pub fn is_one_range(&self) -> bool {
        self.set.ranges().len() == 1
    }

    /// Whether ADD fails or will soon fail.
    pub fn is_nearly_full(&self) -> bool {
        fill::is_nearly_full(self.taken as u128, self.size())
    }
}

/// The numbers of reserved addresses by the state of their holders.
#[derive(Default)]
pub struct Tally(pub BTreeMap<Holding, usize>);

impl Tally {
    fn add(&mut self, state: Holding) {
        *self.0.entry(state).or_default() += 1;
    }

    pub fn of(&self, state: Holding) -> usize {
        self.0.get(&state).copied().unwrap_or_default()
    }

    /// The number of addresses that cannot be assigned. An empty file does not reserve an address.
    pub fn taken(&self) -> usize {
        self.0.values().sum::<usize>() - self.of(Holding::Empty)
    }
}

impl RangeUse {
    pub fn is_full(&self) -> bool {
        self.range.size() <= self.tally.taken() as u128
    }
}

/// All pools that are configured, were configured, or have a folder.
pub fn pools(
    networks: &Networks,
    folders: &Folders,
    cached: &Cached,
    problems: &mut Problems,
) -> Vec<Pool> {
    let mut found: BTreeMap<(String, PathBuf), Pool> = BTreeMap::new();
    for network in networks.names() {
        for source in networks.get(network).iter().flat_map(|network| &network.pools) {
            let PoolConf { data_dir, sets } = &source.conf;
            let reserved = folders.of.get(&(data_dir.clone(), network.to_owned()));
            let key = (network.to_owned(), data_dir.clone());
            let pool = found.entry(key).or_insert_with(|| Pool::new(network, data_dir, networks));
            for (number, set) in sets.iter().enumerate() {
                let last = reserved.and_then(|it| problems.note(it.last(number))).flatten();
                pool.add(set, last, source.is_past);
            }
        }
    }
    for ((data_dir, network), reserved) in &folders.of {
        let key = (network.clone(), data_dir.clone());
        let pool = found.entry(key).or_insert_with(|| Pool::new(network, data_dir, networks));
        pool.count(reservations(reserved, network, cached, problems));
        if pool.ranges.is_empty() {
            pool.last = lasts(reserved, problems);
        }
    }
    found.into_values().collect()
}

/// The last allocated address of each former range set.
fn lasts(reserved: &Reserved, problems: &mut Problems) -> Vec<IpAddr> {
    (0..).map_while(|set| problems.note(reserved.last(set)).flatten()).collect()
}

impl Pool {
    fn new(network: &str, data_dir: &Path, networks: &Networks) -> Pool {
        let known_by = match networks.get(network).map(|network| &network.origin) {
            Some(Origin::File(file)) => KnownBy::File(file.clone()),
            Some(Origin::Cache { .. }) => KnownBy::Cache,
            None => KnownBy::Nobody,
        };
        Pool {
            network: network.to_owned(),
            folder: data_dir.join(network),
            known_by,
            ranges: Vec::new(),
            sets: Vec::new(),
            elsewhere: Tally::default(),
            last: Vec::new(),
            reservations: Vec::new(),
        }
    }

    /// Adds the ranges of a set that the pool does not have yet.
    fn add(&mut self, set: &RangeSet, last: Option<IpAddr>, is_past: bool) {
        if !is_past && !self.sets.iter().any(|known| known.set == *set) {
            self.sets.push(SetUse { set: set.clone(), taken: 0 });
        }
        for range in set.ranges() {
            if !self.ranges.iter().any(|known| known.range == *range) {
                let last = last.filter(|last| range.contains(*last));
                let (range, tally) = (range.clone(), Tally::default());
                self.ranges.push(RangeUse { range, tally, last, is_past });
            }
        }
    }

    /// Counts the reservations in each range. Former ranges may overlap with others; an address
    /// counts in each of them.
    fn count(&mut self, reservations: Vec<Reservation>) {
        for Reservation { ip, state, .. } in &reservations {
            let is_handed_out =
                |set: &RangeSet| set.find(*ip).is_some_and(|range| range.gateway() != *ip);
            for known in &mut self.sets {
                known.taken += usize::from(*state != Holding::Empty && is_handed_out(&known.set));
            }
            let mut is_in_none = true;
            for known in &mut self.ranges {
                if known.range.contains(*ip) && known.range.gateway() != *ip {
                    known.tally.add(*state);
                    is_in_none = false;
                }
            }
            if is_in_none {
                self.elsewhere.add(*state);
            }
        }
        self.reservations = reservations;
    }
}
