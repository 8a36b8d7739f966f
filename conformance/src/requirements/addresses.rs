//! IPAM plugins: they allocate each address once, and release it.

mod release;
mod requests;
mod reserve;

use std::net::IpAddr;

use serde_json::{Value, json};
use testbed::Outcome;

use crate::fixture::{Call, Fixture};
use crate::json::set;
use crate::profile::{Kind, Profile};
use crate::requirement::{self, AppliesTo, Level, OPERATORS, Requirement, Versions, expected};
use crate::verdict::{NotPassed, OutcomeExt, TestResult, failed};

use super::results::shape;

const IPAM: &str = "CNI 0.4.0, IP allocation";
const CHECK: &str = "CNI 1.1.0, section 2, CHECK";
const GC: &str = "CNI 1.1.0, section 2, GC";
const CONVENTIONS: &str = "CNI conventions, ips and ipRanges";

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        level: Level::Expected,
        versions: Versions::Each,
        ..must(
            "IPAM.ADD.1",
            "ADD must allocate one address of each range set",
            RANGES,
            reserve::one_of_each,
        )
    },
    must(
        "IPAM.ADD.2",
        "ADD must allocate a different address for each attachment",
        RANGES,
        reserve::no_two_alike,
    ),
    Requirement {
        versions: Versions::NewestFrom("1.0.0"),
        ..must(
            "IPAM.ADD.3",
            "20 concurrent ADDs must allocate 20 addresses",
            RANGES,
            reserve::at_once,
        )
    },
    Requirement {
        level: Level::Expected,
        ..must(
            "IPAM.ADD.4",
            "ADD must allocate all addresses of a subnet except the network address, the broadcast \
         address and the gateway",
            RANGES,
            reserve::whole_subnet,
        )
    },
    Requirement {
        level: Level::Expected,
        ..must(
            "IPAM.ADD.5",
            "ADD must return a gateway that is inside the range, and never allocate it",
            RANGES,
            reserve::gateway,
        )
    },
    Requirement {
        level: Level::Expected,
        ..must(
            "IPAM.ADD.6",
            "ADD must allocate only addresses from `rangeStart` to `rangeEnd`",
            RANGES,
            reserve::bounds,
        )
    },
    Requirement {
        level: Level::Expected,
        ..must(
            "IPAM.ADD.7",
            "ADD must use the next range of a set if one range is full",
            RANGES,
            reserve::next_range,
        )
    },
    expected(
        "IPAM.ADD.8",
        "ADD must allocate addresses of a network independently of other networks",
        RANGES,
        reserve::other_network,
    ),
    expected(
        "IPAM.ADD.9",
        "The result must contain the configured routes",
        RANGES,
        reserve::routes,
    ),
    expected("IPAM.ADD.10", "ADD must fail if a range is invalid", RANGES, reserve::wrong_ranges),
    must(
        "IPAM.FULL.1",
        "ADD must fail if no address is free, and succeed again after a DEL",
        RANGES,
        reserve::exhausted,
    ),
    expected(
        "IPAM.FULL.2",
        "An ADD that fails because one range set is full must reserve nothing in the others",
        RANGES,
        reserve::nothing_kept,
    ),
    expected(
        "IPAM.SAME.1",
        "A second ADD of a container's interface must not allocate a second address, and the \
         first must stay reserved",
        RANGES,
        reserve::again,
    ),
    expected(
        "IPAM.SAME.2",
        "A failed ADD must not release an address of an earlier ADD of the same interface",
        HOST_LOCAL,
        requests::failure_keeps_earlier,
    ),
    Requirement {
        level: Level::Should,
        versions: Versions::NewestFrom("0.4.0"),
        ..must(
            "IPAM.DEL.1",
            "DEL should release the addresses by container ID and interface name alone",
            RANGES,
            release::with_nothing,
        )
    },
    must(
        "IPAM.DEL.2",
        "DEL of one interface must keep the addresses of other interfaces and containers",
        RANGES,
        release::others_stay,
    ),
    Requirement {
        versions: Versions::NewestFrom("1.0.0"),
        ..must(
            "IPAM.DEL.3",
            "DEL must succeed again, and for an attachment that was never added",
            AppliesTo::Ipam,
            release::again,
        )
    },
    expected(
        "IPAM.DEL.4",
        "ADD must not allocate a released address again at once while others are free",
        RANGES,
        release::not_at_once,
    ),
    Requirement {
        level: Level::Should,
        source: CHECK,
        versions: Versions::From("0.4.0"),
        ..must(
            "IPAM.CHECK.1",
            "CHECK should succeed after ADD, and fail if the reservation is gone",
            RANGES,
            release::check,
        )
    },
    Requirement {
        source: GC,
        level: Level::Should,
        versions: Versions::From("1.1.0"),
        ..must(
            "IPAM.GC.1",
            "GC should release the addresses of attachments that are not valid",
            RANGES,
            release::gc,
        )
    },
    Requirement {
        source: GC,
        versions: Versions::From("1.1.0"),
        ..must(
            "IPAM.GC.2",
            "GC must keep the addresses of valid attachments and of other networks",
            RANGES,
            release::gc_keeps,
        )
    },
    request(
        "IPAM.REQUEST.1",
        "ADD must allocate the address that `IP=` in CNI_ARGS requests",
        requests::by_args,
    ),
    request(
        "IPAM.REQUEST.2",
        "ADD must allocate the addresses in `runtimeConfig.ips`",
        requests::by_runtime,
    ),
    request(
        "IPAM.REQUEST.3",
        "ADD must allocate the addresses in `args.cni.ips`",
        requests::by_config_args,
    ),
    request(
        "IPAM.REQUEST.4",
        "ADD must fail if the requested address is allocated, and its owner must keep it",
        requests::taken,
    ),
    request(
        "IPAM.REQUEST.5",
        "ADD must fail and reserve nothing if the requested address is the gateway or outside all \
         ranges",
        requests::impossible,
    ),
    request(
        "IPAM.REQUEST.6",
        "ADD must use the ranges in `runtimeConfig.ipRanges`",
        requests::ranges,
    ),
    Requirement {
        source: OPERATORS,
        ..request(
            "IPAM.FILES.1",
            "The plugin must tolerate foreign files in the directory of reservations",
            requests::rubbish,
        )
    },
];

/// Plugins that allocate addresses from configured ranges.
const RANGES: AppliesTo = AppliesTo::Where(has_ranges, "allocate addresses from `ipam.ranges`");
/// host-local, and plugins with the same configuration.
const HOST_LOCAL: AppliesTo = AppliesTo::Where(is_host_local, "are host-local");

fn has_ranges(profile: &Profile) -> bool {
    profile.kind == Kind::Ipam && profile.config.pointer("/ipam/ranges").is_some()
}

fn is_host_local(profile: &Profile) -> bool {
    has_ranges(profile) && profile.config.pointer("/ipam/type").is_some_and(|t| t == "host-local")
}

const fn must(
    id: &'static str,
    statement: &'static str,
    applies_to: AppliesTo,
    test: fn(&Fixture) -> TestResult,
) -> Requirement {
    requirement::must(id, IPAM, statement, applies_to, test)
}

const fn request(
    id: &'static str,
    statement: &'static str,
    test: fn(&Fixture) -> TestResult,
) -> Requirement {
    Requirement { source: CONVENTIONS, ..expected(id, statement, HOST_LOCAL, test) }
}

/// The configuration of the profile with other ranges.
fn config(fixture: &Fixture, ranges: Value) -> Value {
    let mut config = fixture.config();
    let mut ipam = config.get("ipam").cloned().unwrap_or_default();
    set(&mut ipam, "ranges", ranges);
    set(&mut config, "ipam", ipam);
    config
}

/// One range set with one subnet.
fn subnet(fixture: &Fixture, subnet: &str) -> Value {
    config(fixture, json!([[{ "subnet": subnet }]]))
}

/// A call for a container that exists only as a name: an IPAM plugin does nothing in it.
fn call<'a>(fixture: &'a Fixture, config: &Value, id: &str, ifname: &str) -> Call<'a> {
    let netns = fixture.host.path();
    let call = fixture.call_with(config);
    call.with(|cni| cni.container(id).ifname(ifname).env("CNI_NETNS", netns.join("none")))
}

/// Makes an ADD of `eth0`.
fn add(fixture: &Fixture, config: &Value, id: &str) -> Result<Vec<IpAddr>, NotPassed> {
    given(&call(fixture, config, id, "eth0").add())
}

/// Makes a DEL of `eth0`.
fn del(fixture: &Fixture, config: &Value, id: &str) -> TestResult {
    call(fixture, config, id, "eth0").del().succeeds().map(drop)
}

/// The addresses that an ADD allocated.
fn given(outcome: &Outcome) -> Result<Vec<IpAddr>, NotPassed> {
    let result = outcome.succeeds()?;
    let ips: Vec<IpAddr> = shape::ips(&result)?.iter().map(|ip| ip.address.ip).collect();
    match ips.is_empty() {
        false => Ok(ips),
        true => Err(failed("ADD", "addresses", result)),
    }
}

/// Allocates all free addresses, until an ADD fails.
fn take_all(fixture: &Fixture, config: &Value, name: &str) -> Result<Vec<IpAddr>, NotPassed> {
    let mut taken = Vec::new();
    for number in 0..64 {
        let outcome = call(fixture, config, &format!("{name}{number}"), "eth0").add();
        if !outcome.status.success() {
            outcome.fails()?;
            return Ok(taken);
        }
        taken.extend(given(&outcome)?);
    }
    Err(failed("64 ADDs in a small subnet", "an error when it is full", format!("{taken:?}")))
}
