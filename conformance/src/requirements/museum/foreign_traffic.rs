//! A published port of the host must not take packets for the same port of other machines.

use serde_json::json;

use crate::fixture::{Call, Fixture};
use crate::json::set;
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::TestResult;

use super::servers::serve_tcp;
use super::sites::{
    Neighbour, PUBLISH, answers, by_nftables, mapping, neighbour, publishes, publishing,
};

/// With the configuration of the profile.
pub(super) const FOREIGN: Requirement = Requirement {
    id: "CVE-2025-67499",
    source: "CVE-2025-67499 (GHSA-jv3w-x3r3-g6rm); containernetworking/plugins, issue 1209",
    statement: "A published port must apply to the host only: packets routed through it to the \
        same port elsewhere must arrive there",
    level: Level::Expected,
    applies_to: AppliesTo::Where(publishes, PUBLISH),
    versions: Versions::Newest,
    test: |fixture| all_addresses(fixture, |call| call),
};

/// With the backend that had the vulnerability.
pub(super) const FOREIGN_NFTABLES: Requirement = Requirement {
    id: "CVE-2025-67499.nftables",
    source: "CVE-2025-67499 (GHSA-jv3w-x3r3-g6rm); containernetworking/plugins, issue 1209",
    statement: "With the nftables backend, packets routed through the host to the same port \
        elsewhere must arrive there",
    level: Level::Expected,
    applies_to: AppliesTo::Where(publishes, PUBLISH),
    versions: Versions::Newest,
    test: |fixture| all_addresses(fixture, by_nftables(fixture)?),
};

/// A port that is published on an address which the host does not have.
pub(super) const FOREIGN_ADDRESS: Requirement = Requirement {
    id: "CVE-2025-67499.address",
    source: "CVE-2025-67499 (GHSA-jv3w-x3r3-g6rm); containernetworking/plugins, pull request 1210",
    statement: "A port published on the address of another machine must not take packets from \
        that machine",
    level: Level::Expected,
    applies_to: AppliesTo::Where(publishes, PUBLISH),
    versions: Versions::Newest,
    test: |fixture| other_address(fixture, |call| call),
};

/// The same with the backend that had the vulnerability.
pub(super) const FOREIGN_ADDRESS_NFTABLES: Requirement = Requirement {
    id: "CVE-2025-67499.address.nftables",
    source: "CVE-2025-67499 (GHSA-jv3w-x3r3-g6rm); containernetworking/plugins, pull request 1210",
    statement: "With the nftables backend, a port published on another machine's address must not \
        take packets from it",
    level: Level::Expected,
    applies_to: AppliesTo::Where(publishes, PUBLISH),
    versions: Versions::Newest,
    test: |fixture| other_address(fixture, by_nftables(fixture)?),
};

fn all_addresses<'a>(fixture: &'a Fixture, backend: impl Fn(Call<'a>) -> Call<'a>) -> TestResult {
    let (near, far) = (neighbour(fixture, 1), neighbour(fixture, 2));
    serve_tcp(&far.pod, 8080, "other machine");
    let container = fixture.container("a");
    serve_tcp(&container.pod, 80, "container");
    let call = backend(publishing(fixture, &container, &[mapping(8080, 80, "tcp")]));
    call.attach()?;
    for address in near.host {
        answers(&near.pod, address, 8080, "container")?;
    }
    reach_the_other(fixture, &near, &far)?;
    // The packets may also come from other containers, which the host routes, too.
    let other = fixture.container("b");
    for address in far.own {
        answers(&other.pod, address, 8080, "other machine")?;
    }
    Ok(())
}

fn other_address<'a>(fixture: &'a Fixture, backend: impl Fn(Call<'a>) -> Call<'a>) -> TestResult {
    let (near, far) = (neighbour(fixture, 1), neighbour(fixture, 2));
    serve_tcp(&far.pod, 8080, "other machine");
    let container = fixture.container("a");
    serve_tcp(&container.pod, 80, "container");
    let [v4, v6] = far.own.map(|address| {
        let mut mapping = mapping(8080, 80, "tcp");
        set(&mut mapping, "hostIP", json!(address));
        mapping
    });
    // The plugin may reject the call.
    backend(publishing(fixture, &container, &[v4, v6])).add();
    reach_the_other(fixture, &near, &far)
}

/// Packets for the other machine must arrive there, from its neighbour and from the host.
fn reach_the_other(fixture: &Fixture, near: &Neighbour, far: &Neighbour) -> TestResult {
    for address in far.own {
        answers(&near.pod, address, 8080, "other machine")?;
        answers(&fixture.host, address, 8080, "other machine")?;
    }
    Ok(())
}
