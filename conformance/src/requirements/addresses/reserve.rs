//! Allocation of addresses: which ones, and each only once.

use std::collections::HashSet;
use std::net::IpAddr;
use std::thread;

use serde_json::{Value, json};

use crate::address::Cidr;
use crate::fixture::Fixture;
use crate::json::set;
use crate::requirements::results::shape;
use crate::timeout::DEADLINE;
use crate::verdict::{OutcomeExt, TestResult, ensure};

use super::{add, call, config, del, given, subnet, take_all};

/// IPv4 addresses with a common prefix.
fn v4(prefix: &str, ends: impl IntoIterator<Item = u8>) -> Vec<IpAddr> {
    ends.into_iter().filter_map(|end| format!("{prefix}{end}").parse().ok()).collect()
}

fn sorted(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort();
    addresses
}

pub(super) fn one_of_each(fixture: &Fixture) -> TestResult {
    let ranges = json!([[{ "subnet": "fd00:1:2::/64" }], [{ "subnet": "10.1.2.0/24" }], [{ "subnet": "10.1.3.0/25" }]]);
    let result = call(fixture, &config(fixture, ranges), "c1", "eth0").attach()?;
    let ips = shape::ips(&result)?;
    let nets = ["fd00:1:2::/64", "10.1.2.0/24", "10.1.3.0/25"].map(str::parse::<Cidr>);
    let of = |net: &Cidr| {
        let inside = ips.iter().filter(|ip| net.contains(ip.address.ip));
        inside.filter(|ip| ip.address.prefix == net.prefix).count() == 1
    };
    let right = ips.len() == nets.len() && nets.iter().flatten().all(of);
    ensure(right, "ADD", "an address of each of fd00:1:2::/64, 10.1.2.0/24, 10.1.3.0/25", result)
}

pub(super) fn no_two_alike(fixture: &Fixture) -> TestResult {
    let config = fixture.config();
    let mut seen = HashSet::new();
    for (id, ifname) in
        [("c1", "eth0"), ("c1", "net1"), ("c2", "eth0"), ("c10", "eth0"), ("C1", "eth0")]
    {
        for ip in given(&call(fixture, &config, id, ifname).add())? {
            let done = format!("ADD of {ifname} of {id}");
            ensure(seen.insert(ip), done, "an unused address", ip)?;
        }
    }
    Ok(())
}

pub(super) fn at_once(fixture: &Fixture) -> TestResult {
    let config = fixture.config();
    let calls: Vec<_> =
        (0..20).map(|number| call(fixture, &config, &format!("c{number}"), "eth0").cni).collect();
    let outcomes: Vec<_> = thread::scope(|scope| {
        let started: Vec<_> =
            calls.iter().map(|cni| scope.spawn(|| cni.within("ADD", DEADLINE))).collect();
        started.into_iter().filter_map(|call| call.join().ok()).collect()
    });
    calls.iter().zip(&outcomes).for_each(|(cni, outcome)| fixture.keep(cni, "ADD", outcome));
    let mut seen = HashSet::new();
    for outcome in &outcomes {
        for ip in given(outcome)? {
            ensure(
                seen.insert(ip),
                "20 ADDs at once",
                "20 different addresses",
                format!("{ip} twice"),
            )?;
        }
    }
    let count = outcomes.len();
    ensure(count == 20, "20 ADDs at once", "20 answers", count)
}

pub(super) fn whole_subnet(fixture: &Fixture) -> TestResult {
    let taken = take_all(fixture, &subnet(fixture, "10.1.2.0/29"), "c")?;
    let expected = v4("10.1.2.", 2..=6);
    let done = "ADDs until 10.1.2.0/29 is full, with the gateway 10.1.2.1";
    ensure(sorted(taken.clone()) == expected, done, format!("{expected:?}"), format!("{taken:?}"))
}

pub(super) fn gateway(fixture: &Fixture) -> TestResult {
    let config = config(fixture, json!([[{ "subnet": "10.1.2.0/29", "gateway": "10.1.2.3" }]]));
    let result = call(fixture, &config, "first", "eth0").attach()?;
    let error = shape::ips(&result)?
        .iter()
        .all(|ip| ip.gateway.is_some_and(|gateway| gateway.to_string() == "10.1.2.3"));
    ensure(error, "ADD", "`gateway` 10.1.2.3", result)?;
    del(fixture, &config, "first")?;
    let taken = take_all(fixture, &config, "c")?;
    let free = taken.iter().all(|ip| ip.to_string() != "10.1.2.3");
    let done = "ADDs until 10.1.2.0/29 is full, with the gateway 10.1.2.3";
    ensure(free, done, "10.1.2.3 is not among them", format!("{taken:?}"))
}

pub(super) fn bounds(fixture: &Fixture) -> TestResult {
    let range =
        json!({ "subnet": "10.1.2.0/24", "rangeStart": "10.1.2.9", "rangeEnd": "10.1.2.12" });
    let taken = take_all(fixture, &config(fixture, json!([[range]])), "c")?;
    let expected = v4("10.1.2.", 9..=12);
    let done = "ADDs until 10.1.2.9 to 10.1.2.12 are taken";
    ensure(sorted(taken.clone()) == expected, done, format!("{expected:?}"), format!("{taken:?}"))
}

pub(super) fn next_range(fixture: &Fixture) -> TestResult {
    let ranges = json!([[{ "subnet": "10.1.2.0/30" }, { "subnet": "10.1.3.0/30" }]]);
    let taken = take_all(fixture, &config(fixture, ranges), "c")?;
    let expected: Vec<IpAddr> = v4("10.1.2.", [2]).into_iter().chain(v4("10.1.3.", [2])).collect();
    let done = "ADDs until 10.1.2.0/30 and 10.1.3.0/30 are full";
    ensure(sorted(taken.clone()) == expected, done, format!("{expected:?}"), format!("{taken:?}"))
}

pub(super) fn other_network(fixture: &Fixture) -> TestResult {
    let one = subnet(fixture, "10.1.2.0/30");
    let mut other = one.clone();
    set(&mut other, "name", "another");
    let first = add(fixture, &one, "c1")?;
    let second = add(fixture, &other, "c1")?;
    ensure(first == second, "ADD in another network", format!("{first:?}"), format!("{second:?}"))?;
    // DEL on the other network must not affect this network.
    del(fixture, &other, "c1")?;
    call(fixture, &one, "c2", "eth0").add().fails().map(drop)
}

pub(super) fn routes(fixture: &Fixture) -> TestResult {
    let mut config = subnet(fixture, "10.1.2.0/24");
    let wanted = json!([{ "dst": "0.0.0.0/0" }, { "dst": "203.0.113.0/24", "gw": "10.1.2.9" }]);
    let mut ipam = config.get("ipam").cloned().unwrap_or_default();
    set(&mut ipam, "routes", wanted.clone());
    set(&mut config, "ipam", ipam);
    let result = call(fixture, &config, "c1", "eth0").attach()?;
    let found = shape::routes(&result)?;
    let error = shape::routes(&json!({ "routes": wanted }))?.iter().all(|route| {
        found
            .iter()
            .any(|other| other.dst == route.dst && (route.gw.is_none() || other.gw == route.gw))
    });
    ensure(error, "ADD", format!("the routes {wanted}"), result)
}

pub(super) fn wrong_ranges(fixture: &Fixture) -> TestResult {
    let wrong = [
        json!([[{ "subnet": "10.1.2.0/33" }]]),
        json!([[{ "subnet": "nowhere" }]]),
        json!([[{ "subnet": 7 }]]),
        json!([[{ "subnet": "10.1.2.0/24", "rangeStart": "10.9.9.9" }]]),
        json!([[{ "subnet": "10.1.2.0/24", "rangeStart": "10.1.2.20", "rangeEnd": "10.1.2.10" }]]),
        json!([[{ "subnet": "10.1.2.0/24" }, { "subnet": "fd00:1:2::/64" }]]),
        json!([[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "10.1.2.0/25" }]]),
        json!("10.1.2.0/24"),
        json!([]),
    ];
    let refused = |ranges: &Value| {
        call(fixture, &config(fixture, ranges.clone()), "c1", "eth0").add().fails()
    };
    wrong.iter().try_for_each(|ranges| refused(ranges).map(drop))
}

pub(super) fn exhausted(fixture: &Fixture) -> TestResult {
    let config = subnet(fixture, "10.1.2.0/30");
    let first = add(fixture, &config, "c1")?;
    call(fixture, &config, "c2", "eth0").add().fails()?;
    del(fixture, &config, "c1")?;
    let second = add(fixture, &config, "c2")?;
    ensure(
        first == second,
        "ADD after DEL of the only address",
        format!("{first:?}"),
        format!("{second:?}"),
    )
}

pub(super) fn nothing_kept(fixture: &Fixture) -> TestResult {
    let config =
        config(fixture, json!([[{ "subnet": "10.1.2.0/29" }], [{ "subnet": "10.1.3.0/30" }]]));
    add(fixture, &config, "c1")?;
    // More than the number of addresses in the first range set.
    for number in 2..10 {
        call(fixture, &config, &format!("c{number}"), "eth0").add().fails()?;
    }
    let taken = take_all(fixture, &subnet(fixture, "10.1.2.0/29"), "d")?.len();
    let done = "8 ADDs that failed because the second of two range sets was full";
    ensure(
        taken == 4,
        done,
        "the other 4 addresses of the first set are free",
        format!("{taken} are"),
    )
}

pub(super) fn again(fixture: &Fixture) -> TestResult {
    let config = subnet(fixture, "10.1.2.0/29");
    let first = add(fixture, &config, "c1")?;
    let again = call(fixture, &config, "c1", "eth0").add();
    if again.status.success() {
        let second = given(&again)?;
        ensure(
            first == second,
            "ADD again",
            "an error, or the same address",
            format!("{second:?}"),
        )?;
    } else {
        again.fails()?;
    }
    let others = take_all(fixture, &config, "d")?;
    let kept = others.len() == 4 && first.iter().all(|ip| !others.contains(ip));
    let done = format!("ADD again for what has {first:?}, and ADDs until 10.1.2.0/29 is full");
    ensure(kept, done, "the 4 other addresses", format!("{others:?}"))
}
