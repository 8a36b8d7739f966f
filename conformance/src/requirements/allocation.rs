//! IPAM plugins of any kind: they allocate addresses, whatever their configuration looks like.

use std::collections::HashSet;

use crate::fixture::{Container, Fixture, addresses};
use crate::profile::{Kind, Profile};
use crate::requirement::{self, AppliesTo, Level, Requirement, Versions};
use crate::verdict::{NotPassed, OutcomeExt, TestResult, ensure};

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    must(
        "IPAM.EACH.1",
        "Containers that are attached at the same time must have different addresses",
        differ,
    ),
    must("IPAM.EACH.2", "DEL of one attachment must keep the addresses of the others", others_stay),
    Requirement {
        source: "CNI 1.1.0, section 2, CHECK",
        level: Level::Expected,
        versions: Versions::NewestFrom("0.4.0"),
        ..must("IPAM.EACH.3", "CHECK must fail after DEL has released the addresses", check)
    },
];

const fn must(
    id: &'static str,
    statement: &'static str,
    test: fn(&Fixture) -> TestResult,
) -> Requirement {
    requirement::must(id, "CNI 0.4.0, IP allocation", statement, ALLOCATORS, test)
}

/// IPAM plugins, except those with ranges: the chapter Addresses asks more of them.
const ALLOCATORS: AppliesTo =
    AppliesTo::Where(has_no_ranges, "manage addresses (IPAM) without `ipam.ranges`");

fn has_no_ranges(profile: &Profile) -> bool {
    profile.kind == Kind::Ipam && profile.config.pointer("/ipam/ranges").is_none()
}

/// A new container with its addresses, without prefix lengths.
fn added(fixture: &Fixture, name: &str) -> Result<(Container, Vec<String>), NotPassed> {
    let (container, result) = fixture.added(name)?;
    let addresses = addresses(&result);
    let ips = addresses.iter().filter_map(|address| address.split('/').next());
    let ips: Vec<String> = ips.map(str::to_owned).collect();
    // The configuration chooses the addresses, so two containers may have the same one.
    let config = fixture.config().to_string();
    match ips.iter().find(|ip| config.contains(ip.as_str())) {
        Some(ip) => Err(NotPassed::NotApplicable(format!("the configuration itself names {ip}"))),
        None => Ok((container, ips)),
    }
}

fn differ(fixture: &Fixture) -> TestResult {
    let mut seen = HashSet::new();
    for name in ["a", "b", "c"] {
        for ip in added(fixture, name)?.1 {
            let done = format!("ADD of container {name}");
            ensure(seen.insert(ip.clone()), done, "an unused address", ip)?;
        }
    }
    Ok(())
}

fn others_stay(fixture: &Fixture) -> TestResult {
    let (first, _) = added(fixture, "a")?;
    let (_, kept) = added(fixture, "b")?;
    fixture.call(&first).del().succeeds()?;
    // More than one, because the first may get the address that was released.
    for name in ["c", "d", "e"] {
        let (_, ips) = added(fixture, name)?;
        let done = format!("ADD of {name}, after DEL of a, while b has {kept:?}");
        let is_free = ips.iter().all(|ip| !kept.contains(ip));
        ensure(is_free, done, "an unused address", format!("{ips:?}"))?;
    }
    Ok(())
}

fn check(fixture: &Fixture) -> TestResult {
    added(fixture, "a")?;
    let container = fixture.container("b");
    let call = fixture.call(&container);
    let result = call.attach()?;
    call.check(&result).succeeds()?;
    call.del().succeeds()?;
    call.check(&result).fails().map(drop)
}
