//! The ranges of host-local, read as host-local reads them, with their positions.

use std::net::IpAddr;

use ipnetwork::IpNetwork;
use libcni::ip;

use crate::lint::document::{Node, Value};
use crate::lint::network::{Network, Plugin};
use crate::lint::problem::At;

/// The ranges from which host-local assigns addresses for a plugin.
pub struct Pool<'a> {
    pub network: &'a Network<'a>,
    pub plugin: &'a Plugin<'a>,
    /// Its `ipam` object.
    pub ipam: &'a Node,
    /// The range sets. An attachment gets one address of each.
    pub sets: Vec<Set<'a>>,
}

/// Ranges of one family.
pub struct Set<'a> {
    /// The position of the list of ranges; for ranges without a list, of the whole `ipam` object.
    pub at: &'a At,
    pub ranges: Vec<Range<'a>>,
    /// Whether the list is empty.
    pub is_empty: bool,
}

/// Addresses of a subnet.
pub struct Range<'a> {
    pub node: &'a Node,
    /// The position of the subnet.
    pub at: &'a At,
    pub subnet: IpNetwork,
    /// The addresses as numbers.
    pub first: u128,
    pub last: u128,
    pub gateway: IpAddr,
    /// Whether the configured ends are valid.
    pub is_whole: bool,
}

impl<'a> Pool<'a> {
    /// The pool of a plugin; `None` if its IPAM plugin is not host-local.
    pub fn of(network: &'a Network<'a>, plugin: &'a Plugin<'a>) -> Option<Pool<'a>> {
        let ipam = plugin.node.get("ipam").filter(|_| plugin.has_host_local())?;
        let by_runtime = plugin.node.get("runtimeConfig").and_then(|it| it.get("ipRanges"));
        let simple =
            ipam.get("subnet").is_some().then(|| Set::of(&ipam.at, std::slice::from_ref(ipam)));
        let is_list = |set: &&Node| matches!(set.value, Value::List(_));
        let listed = |list: &'a Node| {
            list.items().iter().filter(is_list).map(|set| Set::of(&set.at, set.items()))
        };
        let sets = by_runtime.into_iter().flat_map(listed);
        let sets = sets.chain(simple).chain(ipam.get("ranges").into_iter().flat_map(listed));
        Some(Pool { network, plugin, ipam, sets: sets.collect() })
    }

    pub fn ranges(&self) -> impl Iterator<Item = &Range<'a>> {
        self.sets.iter().flat_map(|set| &set.ranges)
    }

    /// Whether the runtime can add ranges that this file does not contain.
    pub fn is_open(&self) -> bool {
        self.plugin.declares("ipRanges")
    }

    /// The directory of the reservations.
    pub fn data_dir(&self) -> &'a str {
        let dir = self.ipam.text_of("dataDir").filter(|dir| !dir.is_empty());
        dir.unwrap_or("/var/lib/cni/networks").trim_end_matches('/')
    }
}

impl<'a> Set<'a> {
    fn of(at: &'a At, nodes: &'a [Node]) -> Set<'a> {
        Set { at, ranges: nodes.iter().filter_map(Range::of).collect(), is_empty: nodes.is_empty() }
    }

    pub fn is_ipv4(&self) -> bool {
        self.ranges.first().is_some_and(|range| range.subnet.is_ipv4())
    }
}

impl<'a> Range<'a> {
    /// Reads a range with a valid subnet. Invalid values of the other keys are replaced by their
    /// defaults.
    fn of(node: &'a Node) -> Option<Range<'a>> {
        let at = &node.get("subnet")?.at;
        let subnet = ip::cidr(node.text_of("subnet")?).ok()?;
        let (network, end) = bounds(subnet);
        if subnet.prefix() > width(subnet) - 2 {
            return None;
        }
        let given = |key: &str| ip::address(node.text_of(key)?).ok();
        let of_family = |key: &str| given(key).filter(|ip| ip.is_ipv4() == subnet.is_ipv4());
        // The last address of an IPv4 subnet is its broadcast address; IPv6 has none.
        let end = if subnet.is_ipv4() { end - 1 } else { end };
        let first = of_family("rangeStart").map_or(network + 1, bits);
        let last = of_family("rangeEnd").map_or(end, bits);
        let gateway = given("gateway").unwrap_or_else(|| address(subnet, network + 1));
        let makes_sense = |key: &&str| {
            node.get(key).is_none_or(|it| it.text() == Some("")) || of_family(key).is_some()
        };
        let is_whole = ["rangeStart", "rangeEnd"].iter().all(makes_sense);
        Some(Range { node, at, subnet, first, last, gateway, is_whole })
    }

    pub fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.subnet.is_ipv4() && (self.first..=self.last).contains(&bits(ip))
    }

    pub fn overlaps(&self, other: &Range<'_>) -> bool {
        self.subnet.is_ipv4() == other.subnet.is_ipv4()
            && self.first <= other.last
            && other.first <= self.last
    }

    /// The common addresses of two ranges, as text.
    pub fn common(&self, other: &Range<'_>) -> String {
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        let [first, last] = [first, last].map(|bits| address(self.subnet, bits));
        if first == last { first.to_string() } else { format!("{first} to {last}") }
    }

    pub fn shown(&self) -> String {
        let [first, last] = [self.first, self.last].map(|bits| address(self.subnet, bits));
        format!("{first}-{last}")
    }
}

/// Whether two subnets have an address in common.
pub fn overlap(one: IpNetwork, other: IpNetwork) -> bool {
    one.is_ipv4() == other.is_ipv4()
        && (one.contains(other.network()) || other.contains(one.network()))
}

pub fn width(subnet: IpNetwork) -> u8 {
    if subnet.is_ipv4() { 32 } else { 128 }
}

/// The first and the last address of a subnet, as numbers.
pub fn bounds(subnet: IpNetwork) -> (u128, u128) {
    let all = if subnet.is_ipv4() { u128::from(u32::MAX) } else { u128::MAX };
    let host = all.checked_shr(u32::from(subnet.prefix())).unwrap_or(0);
    let network = bits(subnet.ip()) & !host;
    (network, network | host)
}

pub fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

/// The address with these bits, of the family of `subnet`.
pub fn address(subnet: IpNetwork, bits: u128) -> IpAddr {
    match subnet {
        IpNetwork::V4(_) => {
            std::net::Ipv4Addr::from(u32::try_from(bits).unwrap_or(u32::MAX)).into()
        }
        IpNetwork::V6(_) => std::net::Ipv6Addr::from(bits).into(),
    }
}
