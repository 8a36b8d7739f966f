//! A published port of the host takes what is for the same port of other machines.

use serde_json::json;

use crate::bench::{Bench, Call, set};
use crate::requirement::{Judge, Level, Of, Requirement, Verdict, Versions};

use super::servers::serve_tcp;
use super::sites::{
    Neighbour, PUBLISH, answers, by_nftables, mapping, neighbour, publishes, publishing,
};

/// With the configuration as it is.
pub(super) const FOREIGN: Requirement = Requirement {
    id: "CVE-2025-67499",
    source: "CVE-2025-67499 (GHSA-jv3w-x3r3-g6rm); containernetworking/plugins, issue 1209",
    says: "A published port is one of the host: what is routed through it to the same port elsewhere gets there",
    level: Level::Must,
    of: Of::That(publishes, PUBLISH),
    versions: Versions::Newest,
    test: |bench| all_addresses(bench, |call| call),
};

/// With the backend that had the hole.
pub(super) const FOREIGN_NFTABLES: Requirement = Requirement {
    id: "CVE-2025-67499.nftables",
    source: "CVE-2025-67499 (GHSA-jv3w-x3r3-g6rm); containernetworking/plugins, issue 1209",
    says: "With the backend nftables, what is routed through the host to the same port elsewhere gets there",
    level: Level::Must,
    of: Of::That(publishes, PUBLISH),
    versions: Versions::Newest,
    test: |bench| all_addresses(bench, by_nftables(bench)?),
};

/// An address to publish a port on that is not the host's.
pub(super) const FOREIGN_ADDRESS: Requirement = Requirement {
    id: "CVE-2025-67499.address",
    source: "CVE-2025-67499 (GHSA-jv3w-x3r3-g6rm); containernetworking/plugins, pull request 1210",
    says: "A port published on an address of another machine takes nothing away from that machine",
    level: Level::Must,
    of: Of::That(publishes, PUBLISH),
    versions: Versions::Newest,
    test: |bench| other_address(bench, |call| call),
};

/// The same with the backend that had the hole.
pub(super) const FOREIGN_ADDRESS_NFTABLES: Requirement = Requirement {
    id: "CVE-2025-67499.address.nftables",
    source: "CVE-2025-67499 (GHSA-jv3w-x3r3-g6rm); containernetworking/plugins, pull request 1210",
    says: "With the backend nftables, a port published on another machine's address takes nothing away from it",
    level: Level::Must,
    of: Of::That(publishes, PUBLISH),
    versions: Versions::Newest,
    test: |bench| other_address(bench, by_nftables(bench)?),
};

fn all_addresses<'a>(bench: &'a Bench, backend: impl Fn(Call<'a>) -> Call<'a>) -> Verdict {
    let (near, far) = (neighbour(bench, 1), neighbour(bench, 2));
    serve_tcp(&far.pod, 8080, "other machine");
    let container = bench.container("a");
    serve_tcp(&container.pod, 80, "container");
    let call = backend(publishing(bench, &container, &[mapping(8080, 80, "tcp")]));
    call.add().succeeds()?;
    for address in near.host {
        answers(&near.pod, address, 8080, "container")?;
    }
    reach_the_other(bench, &near, &far)?;
    // Not only from outside: other containers go through the host as well.
    let other = bench.container("b");
    for address in far.own {
        answers(&other.pod, address, 8080, "other machine")?;
    }
    Ok(())
}

fn other_address<'a>(bench: &'a Bench, backend: impl Fn(Call<'a>) -> Call<'a>) -> Verdict {
    let (near, far) = (neighbour(bench, 1), neighbour(bench, 2));
    serve_tcp(&far.pod, 8080, "other machine");
    let container = bench.container("a");
    serve_tcp(&container.pod, 80, "container");
    let [v4, v6] = far.own.map(|address| {
        let mut mapping = mapping(8080, 80, "tcp");
        set(&mut mapping, "hostIP", json!(address));
        mapping
    });
    // It may refuse.
    backend(publishing(bench, &container, &[v4, v6])).add();
    reach_the_other(bench, &near, &far)
}

/// What is for the other machine gets there, from its neighbour and from the host.
fn reach_the_other(bench: &Bench, near: &Neighbour, far: &Neighbour) -> Verdict {
    for address in far.own {
        answers(&near.pod, address, 8080, "other machine")?;
        answers(&bench.host, address, 8080, "other machine")?;
    }
    Ok(())
}
