//! Prefixes of IPv4 addresses.

use ipnetwork::Ipv4Network;

/// The same addresses in as few prefixes as possible: halves are merged, and prefixes inside
/// another are dropped.
pub fn merged(mut cidrs: Vec<Ipv4Network>) -> Vec<Ipv4Network> {
    cidrs.sort_by_key(|cidr| (u32::from(cidr.network()), cidr.prefix()));
    let mut merged: Vec<Ipv4Network> = Vec::new();
    for mut cidr in cidrs {
        if merged.last().is_some_and(|last| last.contains(cidr.network())) {
            continue;
        }
        while let Some(whole) = merged.last().and_then(|last| joined(*last, cidr)) {
            merged.pop();
            cidr = whole;
        }
        merged.push(cidr);
    }
    merged
}

/// The prefix of which these two are the halves, if they are.
fn joined(low: Ipv4Network, high: Ipv4Network) -> Option<Ipv4Network> {
    // The result is never the default route, which such a container did not have.
    let length = low.prefix().checked_sub(1).filter(|length| *length > 0)?;
    let whole = Ipv4Network::new(low.network(), length).ok()?;
    let are_halves = low.prefix() == high.prefix()
        && whole.network() == low.network()
        && whole.contains(high.network());
    are_halves.then_some(whole)
}

#[test]
fn prefixes_are_merged_exactly() {
    let read = |list: &[&str]| list.iter().map(|cidr| cidr.parse().unwrap()).collect::<Vec<_>>();
    for (list, wanted) in [
        (vec![], vec![]),
        (vec!["10.1.2.0/24"], vec!["10.1.2.0/24"]),
        (vec!["10.1.3.0/24", "10.1.2.0/24"], vec!["10.1.2.0/23"]),
        (vec!["10.1.1.0/24", "10.1.2.0/24"], vec!["10.1.1.0/24", "10.1.2.0/24"]),
        (vec!["10.1.0.0/16", "10.1.7.0/24", "10.2.0.0/24"], vec!["10.1.0.0/16", "10.2.0.0/24"]),
        (
            vec!["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/25"],
            vec!["10.0.0.0/23", "10.0.2.0/24", "10.0.3.0/25"],
        ),
        (vec!["10.0.0.0/26", "10.0.0.128/25", "10.0.0.64/26"], vec!["10.0.0.0/24"]),
        (vec!["0.0.0.0/1", "128.0.0.0/1"], vec!["0.0.0.0/1", "128.0.0.0/1"]),
        (vec!["255.255.255.254/32", "255.255.255.255/32"], vec!["255.255.255.254/31"]),
    ] {
        assert_eq!(merged(read(&list)), read(&wanted), "{list:?}");
    }
}
