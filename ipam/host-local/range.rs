//! Ranges of addresses, and the order in which they are handed out: IPv4 and IPv6 in one code path.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use libcni::{Error, Result};

use crate::host_local::RangeKeys;

/// Addresses of one subnet, from `first` to `last`, both included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    subnet: IpNetwork,
    first: IpAddr,
    last: IpAddr,
    gateway: IpAddr,
}

/// Ranges of one family that do not overlap. An attachment gets one address of each set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeSet(Vec<Range>);

impl Range {
    /// Fills in what the configuration leaves out, and checks the rest, in the order the reference does.
    pub(crate) fn new(keys: &RangeKeys) -> Result<Range> {
        let subnet = keys.subnet;
        let (network, end) = bounds(subnet)?;
        let at = |bits| address(subnet, bits);
        // The last address of an IPv4 subnet is its broadcast address; IPv6 has none.
        let end = if subnet.is_ipv4() { end - 1 } else { end };
        let range = Range {
            subnet,
            first: keys.range_start.unwrap_or(at(network + 1)),
            last: keys.range_end.unwrap_or(at(end)),
            gateway: keys.gateway.unwrap_or(at(network + 1)),
        };
        if let Some(first) = keys.range_start {
            let before_end = keys.range_end.is_none_or(|last| bits(first) <= bits(last));
            if !(subnet.contains(first) && before_end) {
                return Err(outside("RangeStart", first, subnet));
            }
        }
        if !(subnet.contains(range.last) && bits(range.first) <= bits(range.last)) {
            return Err(outside("RangeEnd", range.last, subnet));
        }
        Ok(range)
    }

    /// The subnet's prefix length, which goes with every address of the range.
    pub fn prefix(&self) -> u8 {
        self.subnet.prefix()
    }

    /// The gateway of the subnet, never handed out.
    pub fn gateway(&self) -> IpAddr {
        self.gateway
    }

    fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.subnet.is_ipv4()
            && (bits(self.first)..=bits(self.last)).contains(&bits(ip))
    }

    fn overlaps(&self, other: &Range) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    /// How many addresses can be handed out, at most `u128::MAX`.
    fn size(&self) -> u128 {
        let all = (bits(self.last) - bits(self.first)).saturating_add(1);
        all - u128::from(self.contains(self.gateway))
    }
}

impl RangeSet {
    /// Checks that the ranges are a set.
    pub fn new(ranges: Vec<Range>) -> Result<RangeSet> {
        let Some(first) = ranges.first() else { return Err(Error::config("empty range set")) };
        if ranges.iter().any(|range| range.subnet.is_ipv4() != first.subnet.is_ipv4()) {
            return Err(Error::config("mixed address families"));
        }
        for (index, range) in ranges.iter().enumerate() {
            if let Some(other) = ranges.iter().skip(index + 1).find(|other| range.overlaps(other)) {
                return Err(Error::config(format!("subnets {range} and {other} overlap")));
            }
        }
        Ok(RangeSet(ranges))
    }

    /// Whether the set is one of IPv4 addresses.
    pub fn is_ipv4(&self) -> bool {
        self.0.iter().any(|range| range.subnet.is_ipv4())
    }

    /// The range an address lies in.
    pub fn find(&self, ip: IpAddr) -> Option<&Range> {
        self.0.iter().find(|range| range.contains(ip))
    }

    /// Whether an address lies in one of the ranges.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.find(ip).is_some()
    }

    /// Whether the two sets have an address in common.
    pub fn overlaps(&self, other: &RangeSet) -> bool {
        self.0.iter().any(|range| other.0.iter().any(|theirs| range.overlaps(theirs)))
    }

    /// How many addresses can be handed out, at most `u128::MAX`.
    pub fn size(&self) -> u128 {
        self.0.iter().fold(0, |sum, range| sum.saturating_add(range.size()))
    }

    /// The subnets of the ranges, for messages.
    pub fn subnets(&self) -> String {
        let mut subnets: Vec<String> =
            self.0.iter().map(|range| range.subnet.to_string()).collect();
        subnets.dedup();
        subnets.join(", ")
    }

    /// Every address that can be handed out, once, in the order of the ranges and round again at the end. It starts
    /// behind `last`, which so comes last, or at the first address if `last` is not in the set.
    pub fn iter_after(&self, last: Option<IpAddr>) -> impl Iterator<Item = IpAddr> {
        let behind_last = last.and_then(|last| {
            let index = self.0.iter().position(|range| range.contains(last))?;
            self.successor(Position { index, bits: bits(last) })
        });
        let start = behind_last.or_else(|| self.start_of(0));
        Cycle { set: self, start, next: start }
    }

    fn start_of(&self, index: usize) -> Option<Position> {
        self.0.get(index).map(|range| Position { index, bits: bits(range.first) })
    }

    fn successor(&self, Position { index, bits: here }: Position) -> Option<Position> {
        if here == bits(self.0.get(index)?.last) {
            return self.start_of((index + 1) % self.0.len());
        }
        Some(Position { index, bits: here + 1 })
    }
}

/// An address in a set: the range it is in, and its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    index: usize,
    bits: u128,
}

/// Goes once round a set. It counts nothing, so that an IPv6 subnet costs no more than the addresses looked at.
struct Cycle<'a> {
    set: &'a RangeSet,
    start: Option<Position>,
    next: Option<Position>,
}

impl Iterator for Cycle<'_> {
    type Item = IpAddr;

    fn next(&mut self) -> Option<IpAddr> {
        loop {
            let here = self.next?;
            let range = self.set.0.get(here.index)?;
            self.next = self.set.successor(here).filter(|next| Some(*next) != self.start);
            let ip = address(range.subnet, here.bits);
            if ip != range.gateway {
                return Some(ip);
            }
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl fmt::Display for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges: Vec<String> = self.0.iter().map(Range::to_string).collect();
        f.write_str(&ranges.join(","))
    }
}

/// The first and the last address of a subnet that is fit to allocate from.
fn bounds(subnet: IpNetwork) -> Result<(u128, u128)> {
    let (width, all) = match subnet {
        IpNetwork::V4(_) => (32, u128::from(u32::MAX)),
        IpNetwork::V6(_) => (128, u128::MAX),
    };
    if subnet.prefix() > width - 2 {
        return Err(Error::config(format!("Network {subnet} too small to allocate from")));
    }
    let host = all >> subnet.prefix();
    let network = bits(subnet.ip()) & !host;
    if network != bits(subnet.ip()) {
        return Err(Error::config(format!(
            "Network has host bits set. For a subnet mask of length {} the network address is {}",
            subnet.prefix(),
            address(subnet, network)
        )));
    }
    Ok((network, network | host))
}

fn outside(key: &str, ip: IpAddr, subnet: IpNetwork) -> Error {
    Error::config(format!("{key} {ip} not in network {subnet}"))
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

/// The address with these bits, of the family of `subnet`.
fn address(subnet: IpNetwork, bits: u128) -> IpAddr {
    match subnet {
        // The bits of an IPv4 range never exceed 32: both its ends were IPv4 addresses.
        IpNetwork::V4(_) => Ipv4Addr::from(bits as u32).into(),
        IpNetwork::V6(_) => Ipv6Addr::from(bits).into(),
    }
}

#[cfg(test)]
#[path = "range_tests.rs"]
mod tests;
