use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A range as `subnet [start [end [gateway]]]`, with `-` for an omitted value.
fn range(text: &str) -> Result<Range> {
    let mut words = text.split(' ').map(|word| (word != "-").then_some(word));
    let subnet = words.next().flatten().unwrap().parse().unwrap();
    let mut next = || words.next().flatten().map(ip);
    Range::new(&RangeKeys { subnet, range_start: next(), range_end: next(), gateway: next() })
}

fn set(ranges: &[&str]) -> RangeSet {
    RangeSet::new(ranges.iter().map(|text| range(text).unwrap()).collect()).unwrap()
}

impl RangeSet {
    /// Every assignable address, in the order of the stretches.
    fn iter_after(&self, last: Option<IpAddr>) -> impl Iterator<Item = IpAddr> {
        self.stretches_after(last).into_iter().flat_map(|(first, last)| {
            let subnet = IpNetwork::new(first, 0).unwrap();
            (bits(first)..=bits(last)).map(move |bits| address(subnet, bits))
        })
    }
}

fn sequence(set: &RangeSet, last: &str) -> String {
    let last = (!last.is_empty()).then(|| ip(last));
    set.iter_after(last).map(|ip| ip.to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn missing_keys_get_defaults() {
    let is = |text, shown: &str, gateway| {
        let range = range(text).unwrap();
        assert_eq!((range.to_string().as_str(), range.gateway), (shown, ip(gateway)));
    };
    is("10.1.2.0/24", "10.1.2.1-10.1.2.254", "10.1.2.1");
    is("10.1.2.0/24 10.1.2.10", "10.1.2.10-10.1.2.254", "10.1.2.1");
    is("10.1.2.0/24 10.1.2.0 10.1.2.255", "10.1.2.0-10.1.2.255", "10.1.2.1");
    is("10.1.2.0/24 - 10.1.2.9 192.0.2.1", "10.1.2.1-10.1.2.9", "192.0.2.1");
    is("10.1.2.0/30", "10.1.2.1-10.1.2.2", "10.1.2.1");
    is("2001:db8::/64", "2001:db8::1-2001:db8::ffff:ffff:ffff:ffff", "2001:db8::1");
    is("::/0 ::", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::1");
    is("0.0.0.0/0 0.0.0.0", "0.0.0.0-255.255.255.254", "0.0.0.1");
}

#[test]
fn invalid_ranges_are_refused() {
    let says = |text, msg: &str| assert_eq!(range(text).unwrap_err().msg, msg, "{text}");
    says("10.0.0.0/31", "Network 10.0.0.0/31 too small to allocate from");
    says("10.0.0.0/32", "Network 10.0.0.0/32 too small to allocate from");
    says("2001:db8::/127", "Network 2001:db8::/127 too small to allocate from");
    says(
        "10.1.2.1/24",
        "Network has host bits set. For a subnet mask of length 24 the network address is 10.1.2.0",
    );
    says("10.1.2.0/24 10.1.3.1", "RangeStart 10.1.3.1 not in network 10.1.2.0/24");
    says("10.1.2.0/24 2001:db8::1", "RangeStart 2001:db8::1 not in network 10.1.2.0/24");
    says("10.1.2.0/24 10.1.2.9 10.1.2.8", "RangeStart 10.1.2.9 not in network 10.1.2.0/24");
    says("10.1.2.0/24 10.1.2.255", "RangeEnd 10.1.2.254 not in network 10.1.2.0/24");
    says("10.1.2.0/24 - 10.1.3.0", "RangeEnd 10.1.3.0 not in network 10.1.2.0/24");
    says("10.1.2.0/24 - 10.1.2.0", "RangeEnd 10.1.2.0 not in network 10.1.2.0/24");
}

#[test]
fn invalid_range_sets_are_refused() {
    let says = |ranges: &[&str], msg: &str| {
        let ranges = ranges.iter().map(|text| range(text).unwrap()).collect();
        assert_eq!(RangeSet::new(ranges).unwrap_err().msg, msg);
    };
    says(&[], "empty range set");
    says(&["10.1.2.0/24", "2001:db8::/64"], "mixed address families");
    says(
        &["10.1.2.0/24", "10.9.0.0/24", "10.1.0.0/16"],
        "subnets 10.1.2.1-10.1.2.254 and 10.1.0.1-10.1.255.254 overlap",
    );
}

#[test]
fn halves_of_a_subnet_do_not_overlap() {
    let low = set(&["10.1.2.0/24 - 10.1.2.99"]);
    let high = set(&["10.1.2.0/24 10.1.2.100"]);
    assert!(!low.overlaps(&high));
    assert!(low.overlaps(&set(&["10.1.0.0/16"])));
    assert!(set(&["10.1.0.0/16"]).overlaps(&low));
    assert!(!set(&["::/0"]).overlaps(&low));
}

#[test]
fn sequences_from_beginning_middle_and_end() {
    let set = set(&["192.168.1.0/29", "192.168.2.0/30 - - 192.168.2.2"]);
    let whole = "192.168.1.2 192.168.1.3 192.168.1.4 192.168.1.5 192.168.1.6 192.168.2.1";
    assert_eq!(sequence(&set, ""), whole);
    assert_eq!(sequence(&set, "10.0.0.1"), whole);
    assert_eq!(sequence(&set, "192.168.1.1"), whole);
    assert_eq!(sequence(&set, "192.168.2.2"), whole);
    assert_eq!(
        sequence(&set, "192.168.1.4"),
        "192.168.1.5 192.168.1.6 192.168.2.1 192.168.1.2 192.168.1.3 192.168.1.4"
    );
    assert_eq!(
        sequence(&set, "192.168.1.6"),
        "192.168.2.1 192.168.1.2 192.168.1.3 192.168.1.4 192.168.1.5 192.168.1.6"
    );
    assert_eq!(
        sequence(&set, "192.168.2.1"),
        "192.168.1.2 192.168.1.3 192.168.1.4 192.168.1.5 192.168.1.6 192.168.2.1"
    );
}

#[test]
fn one_address_and_none() {
    let one = set(&["10.0.0.0/30"]);
    assert_eq!(sequence(&one, ""), "10.0.0.2");
    assert_eq!(sequence(&one, "10.0.0.2"), "10.0.0.2");
    assert_eq!(one.size(), 1);
    let none = set(&["10.0.0.0/30 - 10.0.0.1"]);
    assert_eq!(sequence(&none, ""), "");
    assert_eq!(sequence(&none, "10.0.0.1"), "");
    assert_eq!(none.size(), 0);
}

#[test]
fn large_subnets_are_not_enumerated() {
    let set = set(&["::/0 ::"]);
    assert_eq!(set.size(), u128::MAX - 1);
    let mut from_end = set.iter_after(Some(ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe")));
    assert_eq!(from_end.next(), Some(ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")));
    assert_eq!(from_end.next(), Some(ip("::")));
    assert_eq!(from_end.next(), Some(ip("::2")));
}

/// Up to three small consecutive ranges, IPv4 or IPv6, at the lowest, in the middle or at the
/// highest addresses.
fn sets() -> impl Strategy<Value = RangeSet> {
    let part = (0..12_u128, 0..6_u128, 0..20_u128);
    (any::<bool>(), 0..3_u8, prop::collection::vec(part, 1..4)).prop_map(|(v4, place, parts)| {
        let all = if v4 { u128::from(u32::MAX) } else { u128::MAX };
        let subnet: IpNetwork = if v4 { "0.0.0.0/0" } else { "::/0" }.parse().unwrap();
        let start = [0, all / 2, all - 60][usize::from(place)];
        let at = |bits| address(subnet, bits);
        let mut free = start;
        let ranges = parts.into_iter().map(|(length, gap, gateway)| {
            let (first, last) = (free, free + length);
            free = last + 1 + gap;
            let gateway = at(first + gateway.min(all - first));
            Range { subnet, first: at(first), last: at(last), gateway }
        });
        RangeSet::new(ranges.collect()).unwrap()
    })
}

/// The same order, computed differently: list all addresses, then rotate the list until `last` is
/// at the end.
fn by_enumeration(set: &RangeSet, last: IpAddr) -> Vec<IpAddr> {
    let mut all: Vec<(IpAddr, IpAddr)> = Vec::new();
    for range in &set.0 {
        let ips = (bits(range.first)..=bits(range.last)).map(|bits| address(range.subnet, bits));
        all.extend(ips.map(|ip| (ip, range.gateway)));
    }
    let turn = all.iter().position(|(ip, _)| *ip == last).map_or(0, |index| index + 1);
    all.rotate_left(turn);
    all.into_iter().filter(|(ip, gateway)| ip != gateway).map(|(ip, _)| ip).collect()
}

proptest! {
    #[test]
    fn the_order_is_that_of_a_turned_list(set in sets(), index in any::<prop::sample::Index>()) {
        let mut lasts: Vec<IpAddr> = set.iter_after(None).collect();
        lasts.extend(set.0.iter().map(|range| range.gateway));
        lasts.push(ip("203.0.113.7"));
        let last = *index.get(&lasts);
        let ours: Vec<IpAddr> = set.iter_after(Some(last)).collect();
        prop_assert_eq!(&ours, &by_enumeration(&set, last));
        prop_assert_eq!(ours.len() as u128, set.size());
        prop_assert_eq!(ours.iter().collect::<BTreeSet<_>>().len(), ours.len());
    }

    /// A full set with one address free gives that address, wherever the search starts.
    #[test]
    fn the_only_free_address_is_found(set in sets(), index in any::<prop::sample::Index>(), last in any::<prop::sample::Index>()) {
        let all: Vec<IpAddr> = set.iter_after(None).collect();
        prop_assume!(!all.is_empty());
        let free = *index.get(&all);
        let last = *last.get(&all);
        prop_assert_eq!(set.iter_after(Some(last)).find(|ip| *ip == free), Some(free));
    }
}
