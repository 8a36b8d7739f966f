//! Address management plugins: addresses are handed out once, and taken back.

mod release;
mod requests;
mod reserve;

use std::net::IpAddr;

use serde_json::{Value, json};
use testbed::Outcome;

use crate::bench::{Bench, Call, set};
use crate::profile::{Kind, Profile};
use crate::requirement::{
    self, Judge, Level, OPERATORS, Of, Requirement, Stop, Verdict, Versions, expected, failed,
};

use super::results::shape;

const IPAM: &str = "CNI 0.4.0, IP allocation";
const CHECK: &str = "CNI 1.1.0, section 2, CHECK";
const GC: &str = "CNI 1.1.0, section 2, GC";
const CONVENTIONS: &str = "CNI conventions, ips and ipRanges";

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        versions: Versions::Each,
        ..must(
            "IPAM.ADD.1",
            "ADD hands out an address of each range set",
            RANGES,
            reserve::one_of_each,
        )
    },
    must("IPAM.ADD.2", "no two attachments get the same address", RANGES, reserve::no_two_alike),
    must(
        "IPAM.ADD.3",
        "20 attachments at the same time get 20 addresses",
        RANGES,
        reserve::at_once,
    ),
    must(
        "IPAM.ADD.4",
        "all addresses of a subnet are handed out but the network's, the broadcast address and the gateway",
        RANGES,
        reserve::whole_subnet,
    ),
    must(
        "IPAM.ADD.5",
        "a gateway inside the range is told and never handed out",
        RANGES,
        reserve::gateway,
    ),
    must(
        "IPAM.ADD.6",
        "only addresses from `rangeStart` to `rangeEnd` are handed out",
        RANGES,
        reserve::bounds,
    ),
    must(
        "IPAM.ADD.7",
        "when one range of a set is full, the next one is used",
        RANGES,
        reserve::next_range,
    ),
    expected(
        "IPAM.ADD.8",
        "a network has its own addresses: those of another do not count",
        RANGES,
        reserve::other_network,
    ),
    expected("IPAM.ADD.9", "the configured routes are in the result", RANGES, reserve::routes),
    expected("IPAM.ADD.10", "a range that is none is an error", RANGES, reserve::wrong_ranges),
    must(
        "IPAM.FULL.1",
        "if no address is left, ADD fails, and another one succeeds after a DEL",
        RANGES,
        reserve::exhausted,
    ),
    expected(
        "IPAM.FULL.2",
        "an ADD that fails because one range set is full reserves nothing in the others",
        RANGES,
        reserve::nothing_kept,
    ),
    expected(
        "IPAM.SAME.1",
        "ADD again for a container's interface gives no second address, and the first one stays reserved",
        RANGES,
        reserve::again,
    ),
    expected(
        "IPAM.SAME.2",
        "an ADD that fails releases nothing of an earlier one for the same interface",
        HOST_LOCAL,
        requests::failure_keeps_earlier,
    ),
    must(
        "IPAM.DEL.1",
        "DEL releases with the container's id and the interface alone",
        RANGES,
        release::with_nothing,
    ),
    must(
        "IPAM.DEL.2",
        "DEL of one interface keeps the addresses of others and of other containers",
        RANGES,
        release::others_stay,
    ),
    must(
        "IPAM.DEL.3",
        "DEL again succeeds, and so does DEL of what was never added",
        Of::Ipam,
        release::again,
    ),
    expected(
        "IPAM.DEL.4",
        "a released address is not handed out again at once while others are free",
        RANGES,
        release::not_at_once,
    ),
    Requirement {
        source: CHECK,
        versions: Versions::From("0.4.0"),
        ..must(
            "IPAM.CHECK.1",
            "CHECK succeeds after ADD, and fails if the reservation is gone",
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
            "GC releases the addresses of attachments that are not valid",
            RANGES,
            release::gc,
        )
    },
    Requirement {
        source: GC,
        versions: Versions::From("1.1.0"),
        ..must(
            "IPAM.GC.2",
            "GC keeps the addresses of valid attachments and of other networks",
            RANGES,
            release::gc_keeps,
        )
    },
    request(
        "IPAM.REQUEST.1",
        "the address that CNI_ARGS asks for with `IP=` is handed out",
        requests::by_args,
    ),
    request(
        "IPAM.REQUEST.2",
        "the addresses of `runtimeConfig.ips` are handed out",
        requests::by_runtime,
    ),
    request(
        "IPAM.REQUEST.3",
        "the addresses of `args.cni.ips` are handed out",
        requests::by_config_args,
    ),
    request(
        "IPAM.REQUEST.4",
        "to ask for an address that is taken is an error, and its owner keeps it",
        requests::taken,
    ),
    request(
        "IPAM.REQUEST.5",
        "to ask for an address of no range, or for the gateway, is an error, and nothing is reserved",
        requests::impossible,
    ),
    request("IPAM.REQUEST.6", "ranges of `runtimeConfig.ipRanges` are used", requests::ranges),
    Requirement {
        source: OPERATORS,
        ..request(
            "IPAM.FILES.1",
            "rubbish in the folder of reservations does no harm",
            requests::rubbish,
        )
    },
];

/// Plugins that hand out addresses of configured ranges.
const RANGES: Of = Of::That(has_ranges, "hand out addresses of `ipam.ranges`");
/// host-local, and what is configured as it is.
const HOST_LOCAL: Of = Of::That(is_host_local, "are host-local");

fn has_ranges(profile: &Profile) -> bool {
    profile.kind == Kind::Ipam && profile.config.pointer("/ipam/ranges").is_some()
}

fn is_host_local(profile: &Profile) -> bool {
    has_ranges(profile) && profile.config.pointer("/ipam/type").is_some_and(|t| t == "host-local")
}

const fn must(
    id: &'static str,
    says: &'static str,
    of: Of,
    test: fn(&Bench) -> Verdict,
) -> Requirement {
    requirement::must(id, IPAM, says, of, test)
}

const fn request(id: &'static str, says: &'static str, test: fn(&Bench) -> Verdict) -> Requirement {
    Requirement { source: CONVENTIONS, ..expected(id, says, HOST_LOCAL, test) }
}

/// The profile's configuration with other ranges.
fn config(bench: &Bench, ranges: Value) -> Value {
    let mut config = bench.config();
    let mut ipam = config.get("ipam").cloned().unwrap_or_default();
    set(&mut ipam, "ranges", ranges);
    set(&mut config, "ipam", ipam);
    config
}

/// One range set of one subnet.
fn subnet(bench: &Bench, subnet: &str) -> Value {
    config(bench, json!([[{ "subnet": subnet }]]))
}

/// A call for a container that is only a name: such a plugin does nothing in it.
fn call<'a>(bench: &'a Bench, config: &Value, id: &str, ifname: &str) -> Call<'a> {
    let netns = bench.host.path();
    let call = bench.call_with(config);
    call.with(|cni| cni.container(id).ifname(ifname).env("CNI_NETNS", netns.join("none")))
}

/// ADD of `eth0`.
fn add(bench: &Bench, config: &Value, id: &str) -> Result<Vec<IpAddr>, Stop> {
    given(&call(bench, config, id, "eth0").add())
}

/// DEL of `eth0`.
fn del(bench: &Bench, config: &Value, id: &str) -> Verdict {
    call(bench, config, id, "eth0").del().succeeds().map(drop)
}

/// The addresses that an ADD handed out.
fn given(outcome: &Outcome) -> Result<Vec<IpAddr>, Stop> {
    let result = outcome.succeeds()?;
    let ips: Vec<IpAddr> = shape::ips(&result)?.iter().map(|ip| ip.address.ip).collect();
    match ips.is_empty() {
        false => Ok(ips),
        true => Err(failed("ADD", "addresses", result)),
    }
}

/// Takes all addresses that are left. The first that is refused ends it.
fn take_all(bench: &Bench, config: &Value, name: &str) -> Result<Vec<IpAddr>, Stop> {
    let mut taken = Vec::new();
    for number in 0..64 {
        let outcome = call(bench, config, &format!("{name}{number}"), "eth0").add();
        if !outcome.status.success() {
            outcome.fails()?;
            return Ok(taken);
        }
        taken.extend(given(&outcome)?);
    }
    Err(failed("64 ADDs in a small subnet", "an error when it is full", format!("{taken:?}")))
}
