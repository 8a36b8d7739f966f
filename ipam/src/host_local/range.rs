//! Ranges of addresses, and the order in which addresses are assigned. IPv4 and IPv6 share one code
//! path.

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

/// Ranges of one family that do not overlap. An attachment gets one address from each set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeSet(Vec<Range>);

impl Range {
    /// Fills in defaults and checks the keys, in the order of the reference plugin.
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

    /// The subnet of the addresses.
    pub fn subnet(&self) -> IpNetwork {
        self.subnet
    }

    /// The first and the last assignable address; `None` if the gateway is the only address.
    pub fn ends(&self) -> Option<(IpAddr, IpAddr)> {
        let stretches = self.stretches(bits(self.first), bits(self.last));
        Some((stretches.first()?.0, stretches.last()?.1))
    }

    /// The subnet's prefix length, which every address of the range gets.
    pub fn prefix(&self) -> u8 {
        self.subnet.prefix()
    }

    /// The gateway of the subnet, which is never assigned.
    pub fn gateway(&self) -> IpAddr {
        self.gateway
    }

    /// Whether an address lies between the first and the last.
    pub fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.subnet.is_ipv4()
            && (bits(self.first)..=bits(self.last)).contains(&bits(ip))
    }

    fn overlaps(&self, other: &Range) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    /// From `first` to `last`, without the gateway.
    fn stretches(&self, first: u128, last: u128) -> Vec<(IpAddr, IpAddr)> {
        let at = |(first, last)| (address(self.subnet, first), address(self.subnet, last));
        let gateway = bits(self.gateway);
        if self.gateway.is_ipv4() != self.subnet.is_ipv4() || !(first..=last).contains(&gateway) {
            return vec![at((first, last))];
        }
        let before = (first < gateway).then(|| at((first, gateway - 1)));
        let behind = (gateway < last).then(|| at((gateway + 1, last)));
        before.into_iter().chain(behind).collect()
    }

    /// The number of assignable addresses, at most `u128::MAX`.
    pub fn size(&self) -> u128 {
        let all = (bits(self.last) - bits(self.first)).saturating_add(1);
        all - u128::from(self.contains(self.gateway))
    }
}

impl RangeSet {
    /// Makes a set of ranges, after checking that they form one.
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

    /// Whether the addresses are IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.0.iter().any(|range| range.subnet.is_ipv4())
    }

    /// The ranges, in the order of assignment.
    pub fn ranges(&self) -> &[Range] {
        &self.0
    }

    /// The range that contains an address.
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

    /// The number of assignable addresses, at most `u128::MAX`.
    pub fn size(&self) -> u128 {
        self.0.iter().fold(0, |sum, range| sum.saturating_add(range.size()))
    }

    /// All assignable addresses, as contiguous stretches from a first to a last address, in the
    /// order of the ranges, wrapping around at the end. They start after `last`, which so comes
    /// last, or at the first address if `last` is not in the set.
    pub fn stretches_after(&self, last: Option<IpAddr>) -> Vec<(IpAddr, IpAddr)> {
        let at = |ip| self.0.iter().position(|range| range.contains(ip)).zip(Some(bits(ip)));
        let whole = |range: &Range| range.stretches(bits(range.first), bits(range.last));
        let Some((index, here)) = last.and_then(at) else {
            return self.0.iter().flat_map(whole).collect();
        };
        let (mut stretches, mut up_to_last) = (Vec::new(), Vec::new());
        if let Some(range) = self.0.get(index) {
            if here < bits(range.last) {
                stretches = range.stretches(here + 1, bits(range.last));
            }
            up_to_last = range.stretches(bits(range.first), here);
        }
        let others = self.0.iter().skip(index + 1).chain(self.0.iter().take(index));
        stretches.extend(others.flat_map(whole));
        stretches.extend(up_to_last);
        stretches
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

/// The first and the last address of a subnet, if addresses can be allocated from it.
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

/// An address as a number, counted from the first of its family.
pub fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

/// The address with these bits, of the family of `subnet`.
fn address(subnet: IpNetwork, bits: u128) -> IpAddr {
    match subnet {
        // An IPv4 range never exceeds 32 bits: both its ends were IPv4 addresses.
        IpNetwork::V4(_) => Ipv4Addr::from(bits as u32).into(),
        IpNetwork::V6(_) => Ipv6Addr::from(bits).into(),
    }
}

#[cfg(test)]
mod tests;
