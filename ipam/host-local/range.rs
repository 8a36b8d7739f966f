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

    /// The subnet that the addresses are of.
    pub fn subnet(&self) -> IpNetwork {
        self.subnet
    }

    /// The first and the last address that can be handed out; none if the gateway is all there is.
    pub fn ends(&self) -> Option<(IpAddr, IpAddr)> {
        let stretches = self.stretches(bits(self.first), bits(self.last));
        Some((stretches.first()?.0, stretches.last()?.1))
    }

    /// The subnet's prefix length, which goes with every address of the range.
    pub fn prefix(&self) -> u8 {
        self.subnet.prefix()
    }

    /// The gateway of the subnet, never handed out.
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

    /// How many addresses can be handed out, at most `u128::MAX`.
    pub fn size(&self) -> u128 {
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

    /// The ranges, in the order in which they are handed out.
    pub fn ranges(&self) -> &[Range] {
        &self.0
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

    /// All that can be handed out, as first and last addresses of what lies together, in the order of the ranges and round
    /// again at the end. It starts behind `last`, which so comes last, or at the first address if `last` is not in the set.
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
        // The bits of an IPv4 range never exceed 32: both its ends were IPv4 addresses.
        IpNetwork::V4(_) => Ipv4Addr::from(bits as u32).into(),
        IpNetwork::V6(_) => Ipv6Addr::from(bits).into(),
    }
}

#[cfg(test)]
#[path = "range_tests.rs"]
mod tests;
