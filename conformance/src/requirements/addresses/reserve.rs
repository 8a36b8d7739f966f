//! Which addresses are handed out, and that each is only once.

use std::collections::HashSet;
use std::net::IpAddr;
use std::thread;

use serde_json::{Value, json};

use crate::address::Cidr;
use crate::bench::{Bench, DEADLINE, set};
use crate::requirement::{Judge, Verdict, ensure};
use crate::requirements::results::shape;

use super::{add, call, config, del, given, subnet, take_all};

/// IPv4 addresses with one beginning.
fn v4(prefix: &str, ends: impl IntoIterator<Item = u8>) -> Vec<IpAddr> {
    ends.into_iter().filter_map(|end| format!("{prefix}{end}").parse().ok()).collect()
}

fn sorted(mut addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    addresses.sort();
    addresses
}

pub(super) fn one_of_each(bench: &Bench) -> Verdict {
    let ranges = json!([[{ "subnet": "fd00:1:2::/64" }], [{ "subnet": "10.1.2.0/24" }], [{ "subnet": "10.1.3.0/25" }]]);
    let result = call(bench, &config(bench, ranges), "c1", "eth0").add().succeeds()?;
    let ips = shape::ips(&result)?;
    let nets = ["fd00:1:2::/64", "10.1.2.0/24", "10.1.3.0/25"].map(str::parse::<Cidr>);
    let of = |net: &Cidr| {
        let inside = ips.iter().filter(|ip| net.contains(ip.address.ip));
        inside.filter(|ip| ip.address.prefix == net.prefix).count() == 1
    };
    let right = ips.len() == nets.len() && nets.iter().flatten().all(of);
    ensure(right, "ADD", "an address of each of fd00:1:2::/64, 10.1.2.0/24, 10.1.3.0/25", result)
}

pub(super) fn no_two_alike(bench: &Bench) -> Verdict {
    let config = bench.config();
    let mut seen = HashSet::new();
    for (id, ifname) in
        [("c1", "eth0"), ("c1", "net1"), ("c2", "eth0"), ("c10", "eth0"), ("C1", "eth0")]
    {
        for ip in given(&call(bench, &config, id, ifname).add())? {
            let done = format!("ADD of {ifname} of {id}");
            ensure(seen.insert(ip), done, "an address that nobody has", ip)?;
        }
    }
    Ok(())
}

pub(super) fn at_once(bench: &Bench) -> Verdict {
    let config = bench.config();
    let calls: Vec<_> =
        (0..20).map(|number| call(bench, &config, &format!("c{number}"), "eth0").cni).collect();
    let outcomes: Vec<_> = thread::scope(|scope| {
        let started: Vec<_> =
            calls.iter().map(|cni| scope.spawn(|| cni.within("ADD", DEADLINE))).collect();
        started.into_iter().filter_map(|call| call.join().ok()).collect()
    });
    calls.iter().zip(&outcomes).for_each(|(cni, outcome)| bench.keep(cni, "ADD", outcome));
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

pub(super) fn whole_subnet(bench: &Bench) -> Verdict {
    let taken = take_all(bench, &subnet(bench, "10.1.2.0/29"), "c")?;
    let expected = v4("10.1.2.", 2..=6);
    let done = "ADDs until 10.1.2.0/29 is full, with the gateway 10.1.2.1";
    ensure(sorted(taken.clone()) == expected, done, format!("{expected:?}"), format!("{taken:?}"))
}

pub(super) fn gateway(bench: &Bench) -> Verdict {
    let config = config(bench, json!([[{ "subnet": "10.1.2.0/29", "gateway": "10.1.2.3" }]]));
    let result = call(bench, &config, "first", "eth0").add().succeeds()?;
    let told = shape::ips(&result)?
        .iter()
        .all(|ip| ip.gateway.is_some_and(|gateway| gateway.to_string() == "10.1.2.3"));
    ensure(told, "ADD", "`gateway` 10.1.2.3", result)?;
    del(bench, &config, "first")?;
    let taken = take_all(bench, &config, "c")?;
    let free = taken.iter().all(|ip| ip.to_string() != "10.1.2.3");
    let done = "ADDs until 10.1.2.0/29 is full, with the gateway 10.1.2.3";
    ensure(free, done, "10.1.2.3 is not among them", format!("{taken:?}"))
}

pub(super) fn bounds(bench: &Bench) -> Verdict {
    let range =
        json!({ "subnet": "10.1.2.0/24", "rangeStart": "10.1.2.9", "rangeEnd": "10.1.2.12" });
    let taken = take_all(bench, &config(bench, json!([[range]])), "c")?;
    let expected = v4("10.1.2.", 9..=12);
    let done = "ADDs until 10.1.2.9 to 10.1.2.12 are taken";
    ensure(sorted(taken.clone()) == expected, done, format!("{expected:?}"), format!("{taken:?}"))
}

pub(super) fn next_range(bench: &Bench) -> Verdict {
    let ranges = json!([[{ "subnet": "10.1.2.0/30" }, { "subnet": "10.1.3.0/30" }]]);
    let taken = take_all(bench, &config(bench, ranges), "c")?;
    let expected: Vec<IpAddr> = v4("10.1.2.", [2]).into_iter().chain(v4("10.1.3.", [2])).collect();
    let done = "ADDs until 10.1.2.0/30 and 10.1.3.0/30 are full";
    ensure(sorted(taken.clone()) == expected, done, format!("{expected:?}"), format!("{taken:?}"))
}

pub(super) fn other_network(bench: &Bench) -> Verdict {
    let one = subnet(bench, "10.1.2.0/30");
    let mut other = one.clone();
    set(&mut other, "name", "another");
    let first = add(bench, &one, "c1")?;
    let second = add(bench, &other, "c1")?;
    ensure(first == second, "ADD in another network", format!("{first:?}"), format!("{second:?}"))?;
    // And its DEL is not this network's.
    del(bench, &other, "c1")?;
    call(bench, &one, "c2", "eth0").add().fails().map(drop)
}

pub(super) fn routes(bench: &Bench) -> Verdict {
    let mut config = subnet(bench, "10.1.2.0/24");
    let wanted = json!([{ "dst": "0.0.0.0/0" }, { "dst": "203.0.113.0/24", "gw": "10.1.2.9" }]);
    let mut ipam = config.get("ipam").cloned().unwrap_or_default();
    set(&mut ipam, "routes", wanted.clone());
    set(&mut config, "ipam", ipam);
    let result = call(bench, &config, "c1", "eth0").add().succeeds()?;
    let found = shape::routes(&result)?;
    let told = shape::routes(&json!({ "routes": wanted }))?.iter().all(|route| {
        found
            .iter()
            .any(|other| other.dst == route.dst && (route.gw.is_none() || other.gw == route.gw))
    });
    ensure(told, "ADD", format!("the routes {wanted}"), result)
}

pub(super) fn wrong_ranges(bench: &Bench) -> Verdict {
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
    let refused =
        |ranges: &Value| call(bench, &config(bench, ranges.clone()), "c1", "eth0").add().fails();
    wrong.iter().try_for_each(|ranges| refused(ranges).map(drop))
}

pub(super) fn exhausted(bench: &Bench) -> Verdict {
    let config = subnet(bench, "10.1.2.0/30");
    let first = add(bench, &config, "c1")?;
    call(bench, &config, "c2", "eth0").add().fails()?;
    del(bench, &config, "c1")?;
    let second = add(bench, &config, "c2")?;
    ensure(
        first == second,
        "ADD after DEL of the only address",
        format!("{first:?}"),
        format!("{second:?}"),
    )
}

pub(super) fn nothing_kept(bench: &Bench) -> Verdict {
    let config =
        config(bench, json!([[{ "subnet": "10.1.2.0/29" }], [{ "subnet": "10.1.3.0/30" }]]));
    add(bench, &config, "c1")?;
    // More than the first set has addresses.
    for number in 2..10 {
        call(bench, &config, &format!("c{number}"), "eth0").add().fails()?;
    }
    let taken = take_all(bench, &subnet(bench, "10.1.2.0/29"), "d")?.len();
    let done = "8 ADDs that failed because the second of two range sets was full";
    ensure(
        taken == 4,
        done,
        "the other 4 addresses of the first set are free",
        format!("{taken} are"),
    )
}

pub(super) fn again(bench: &Bench) -> Verdict {
    let config = subnet(bench, "10.1.2.0/29");
    let first = add(bench, &config, "c1")?;
    let again = call(bench, &config, "c1", "eth0").add();
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
    let others = take_all(bench, &config, "d")?;
    let kept = others.len() == 4 && first.iter().all(|ip| !others.contains(ip));
    let done = format!("ADD again for what has {first:?}, and ADDs until 10.1.2.0/29 is full");
    ensure(kept, done, "the 4 other addresses", format!("{others:?}"))
}
