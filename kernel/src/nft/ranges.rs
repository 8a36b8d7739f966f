//! A network's set of IPv4 addresses, as ranges: adjacent addresses and subnets are one range.
//!
//! ```text
//! table inet ferrocni {
//!     set peers_pods { type ipv4_addr; flags interval; elements = { 192.0.2.2-192.0.2.9, 198.51.100.0/24 } }
//! }
//! ```
//!
//! The set belongs to one network, which its name contains. One dump reads thousands of nodes, and
//! one batch writes them.

use std::fmt;
use std::net::Ipv4Addr;

use ipnetwork::Ipv4Network;

use super::batch::{Batch, get_generation};
use super::reply::{Bound, Reply};
use super::set::{IPV4, Set};
use super::{ADD, Nft, TABLE, generation};
use crate::Result;
use crate::owner::{Owner, hex};

/// The first and the last address of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Range {
    first: u32,
    last: u32,
}

/// A set of ranges, and its wanted content.
#[derive(Debug)]
pub(super) struct Ranges {
    pub(super) name: String,
    /// Sorted and disjoint.
    wanted: Vec<Range>,
}

/// The existing parts of a set.
#[derive(Default)]
pub(super) struct Found {
    /// The generation of the ruleset that was read, or an older one.
    generation: u32,
    /// Whether the set itself exists.
    pub(super) is_there: bool,
    /// Sorted.
    ranges: Vec<Range>,
    /// Bounds that belong to no range.
    stray: Vec<Bound>,
}

/// The maximum number of ranges that a list of differences names individually.
const NAMED: usize = 10;

impl Ranges {
    /// The set `WHAT_NETWORK` with these addresses.
    pub(super) fn new(what: &str, network: &str, addresses: &[Ipv4Network]) -> Ranges {
        Ranges { name: name(what, network), wanted: merged(addresses) }
    }

    pub(super) fn set(&self) -> Set<'_> {
        Set { name: &self.name, key: &[IPV4], data: &[], ranges: true }
    }

    /// The command that adds the ranges, if there are any.
    pub(super) fn show(&self) -> Option<String> {
        let all: Vec<String> = self.wanted.iter().map(Range::to_string).collect();
        let (table, name, all) = (TABLE.nft(), &self.name, all.join(", "));
        (!all.is_empty()).then(|| format!("{ADD}element {table} {name} {{ {all} }}"))
    }

    /// Adds the changes that make the set as wanted to a batch. The replacement is atomic.
    pub(super) fn declare(&self, found: &Found, batch: &mut Batch) {
        let set = self.set();
        if !found.is_there {
            batch.push(TABLE.add_set(set, 1));
        }
        let surplus = less(&found.ranges, &self.wanted).flat_map(Range::bounds);
        let surplus: Vec<Bound> = surplus.chain(found.stray.iter().copied()).collect();
        let missing = less(&self.wanted, &found.ranges).flat_map(Range::bounds);
        let missing: Vec<Bound> = missing.collect();
        TABLE.delete_ranges(set, &surplus).into_iter().for_each(|request| batch.push(request));
        TABLE.add_ranges(set, &missing).into_iter().for_each(|request| batch.push(request));
    }

    /// The differences, one line each: first what is missing, then what is surplus.
    pub(super) fn differences(&self, found: &Found) -> Vec<String> {
        let (table, name) = (TABLE.nft(), &self.name);
        if !found.is_there {
            return vec![format!("nf_tables set {table} {name} is missing")];
        }
        let missing = less(&self.wanted, &found.ranges);
        let mut lines: Vec<String> =
            missing.map(|range| format!("nf_tables set {table} {name} lacks {range}")).collect();
        let surplus = less(&found.ranges, &self.wanted);
        lines.extend(
            surplus.map(|range| {
                format!("nf_tables set {table} {name} has {range}, which is left over")
            }),
        );
        let stray = found.stray.iter().map(|bound| Ipv4Addr::from(bound.key));
        lines.extend(
            stray.map(|end| format!("nf_tables set {table} {name} has {end}, which is left over")),
        );
        if lines.len() > NAMED {
            let more = lines.len() - NAMED;
            lines.truncate(NAMED);
            lines.push(format!("nf_tables set {table} {name} has {more} more differences"));
        }
        lines
    }
}

impl Nft {
    /// Reads a set with one dump. The generation number is read first, so that a later write is
    /// valid only for this state.
    pub(super) fn found(&mut self, set: &Ranges) -> Result<Found> {
        let mut replies = self.get(&[get_generation(), TABLE.get_set(set.set())])?.into_iter();
        let generation = generation(replies.next().flatten())?;
        let is_there = replies.next().flatten().is_some();
        let replies = match is_there {
            true => self.dump(&TABLE.get_elements(set.set()))?,
            false => Vec::new(),
        };
        let mut found = Found { generation, is_there, ..Found::default() };
        found.read(replies.iter().flat_map(Reply::bounds).collect());
        Ok(found)
    }
}

impl Found {
    /// A batch that is valid only if nothing has changed since.
    pub(super) fn batch(&self) -> Batch {
        Batch { generation: Some(self.generation), ..Batch::default() }
    }

    fn read(&mut self, mut bounds: Vec<Bound>) {
        // If one range ends where the next begins, the end comes first.
        bounds.sort_by_key(|bound| (bound.key, !bound.is_end));
        let mut open: Option<Bound> = None;
        for bound in bounds {
            match (open.take(), bound.is_end) {
                (Some(first), true) => {
                    let (first, last) = (first.key, bound.key.wrapping_sub(1));
                    self.ranges.push(Range { first, last });
                }
                // nft begins each set with an end that belongs to no range.
                (None, true) if bound.key == 0 => {}
                (None, true) => self.stray.push(bound),
                (before, false) => {
                    self.stray.extend(before);
                    open = Some(bound);
                }
            }
        }
        // The last range may extend to the last address.
        self.ranges.extend(open.map(|first| Range { first: first.key, last: u32::MAX }));
    }
}

impl Range {
    fn bounds(&self) -> impl Iterator<Item = Bound> + use<> {
        let first = Bound { key: self.first, is_end: false };
        let end = self.last.checked_add(1).map(|key| Bound { key, is_end: true });
        [first].into_iter().chain(end)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.last.wrapping_sub(self.first).wrapping_add(1);
        let (first, last) = (Ipv4Addr::from(self.first), Ipv4Addr::from(self.last));
        match (size, size.is_power_of_two() && self.first.is_multiple_of(size)) {
            (1, _) => write!(f, "{first}"),
            (_, true) => write!(f, "{first}/{}", size.leading_zeros() + 1),
            (_, false) => write!(f, "{first}-{last}"),
        }
    }
}

/// The ranges of one sorted list that the other lacks.
fn less<'a>(list: &'a [Range], other: &[Range]) -> impl Iterator<Item = &'a Range> {
    let mut other = other.iter().peekable();
    list.iter().filter(move |range| {
        while other.next_if(|it| it < range).is_some() {}
        other.peek() != Some(range)
    })
}

/// The fewest ranges that cover all these addresses.
fn merged(addresses: &[Ipv4Network]) -> Vec<Range> {
    let range = |network: &Ipv4Network| Range {
        first: network.network().into(),
        last: network.broadcast().into(),
    };
    let mut all: Vec<Range> = addresses.iter().map(range).collect();
    all.sort();
    let mut merged: Vec<Range> = Vec::new();
    for range in all {
        match merged.last_mut() {
            Some(before) if range.first <= before.last.saturating_add(1) => {
                before.last = before.last.max(range.last);
            }
            _ => merged.push(range),
        }
    }
    merged
}

/// The name of a network's set. If it would be too long, a digest stands for the network.
pub(super) fn name(what: &str, network: &str) -> String {
    const MOST: usize = 100;
    match network.len() > MOST {
        false => format!("{what}_{network}"),
        true => format!("{what}_{}", hex(&Owner::group(network).to_be_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(list: &[&str]) -> Vec<Ipv4Network> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn shown(list: &[&str]) -> String {
        let command = Ranges::new("peers", "pods", &networks(list)).show().unwrap_or_default();
        command.replace("nft add element inet ferrocni peers_pods ", "")
    }

    #[test]
    fn neighbours_are_one_range() {
        assert_eq!(shown(&[]), "");
        assert_eq!(shown(&["192.0.2.2", "192.0.2.4", "192.0.2.3"]), "{ 192.0.2.2-192.0.2.4 }");
        assert_eq!(shown(&["10.1.2.0/24", "10.1.3.0/24", "10.1.2.128/25"]), "{ 10.1.2.0/23 }");
        assert_eq!(shown(&["10.1.1.0/24", "10.1.3.7/24"]), "{ 10.1.1.0/24, 10.1.3.0/24 }");
        assert_eq!(shown(&["0.0.0.0/1", "128.0.0.0/1"]), "{ 0.0.0.0-255.255.255.255 }");
        assert_eq!(shown(&["255.255.255.0/24"]), "{ 255.255.255.0/24 }");
    }

    #[test]
    fn ranges_are_read_as_they_are_written() {
        for list in [
            &["10.1.1.0/24", "10.1.3.0/24", "192.0.2.7"][..],
            &["255.255.255.0/24"],
            &["0.0.0.0/1", "128.0.0.0/1"],
        ] {
            let wanted = merged(&networks(list));
            let mut found = Found::default();
            found.read(wanted.iter().rev().flat_map(Range::bounds).collect());
            assert_eq!((found.ranges, found.stray), (wanted, Vec::new()), "{list:?}");
        }
    }

    #[test]
    fn ends_of_no_range_are_surplus() {
        let [a, b] = [(5, true), (7, false)].map(|(key, is_end)| Bound { key, is_end });
        let c = Bound { key: 9, is_end: false };
        let mut found = Found::default();
        found.read(vec![a, b, c]);
        assert_eq!(found.stray, [a, b]);
        assert_eq!(found.ranges, [Range { first: 9, last: u32::MAX }]);
    }
}
