//! Published ports must not take precedence over the more specific rules of a load balancer.

use std::net::IpAddr;

use crate::fixture::{Call, Fixture};
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::TestResult;

use super::servers::serve_tcp;
use super::sites::{
    Neighbour, PUBLISH, answers, by_nftables, mapping, neighbour, publishes, publishing, service,
};

/// The iptables backend inserted its rules before those of services.
pub(super) const IN_FRONT: Requirement = Requirement {
    id: "CVE-2019-9946",
    source: "CVE-2019-9946; containernetworking/plugins, pull request 269",
    statement: "An earlier rule for an address and a port must take precedence over a port \
        published on all addresses",
    level: Level::Expected,
    applies_to: AppliesTo::Where(publishes, PUBLISH),
    versions: Versions::Newest,
    test: |fixture| host_address(fixture, |call| call),
};

/// The same with the other backend.
pub(super) const IN_FRONT_NFTABLES: Requirement = Requirement {
    id: "CVE-2019-9946.nftables",
    source: "CVE-2019-9946; containernetworking/plugins, pull request 269",
    statement: "With the nftables backend, an earlier rule must take precedence over a published \
        port too",
    level: Level::Expected,
    applies_to: AppliesTo::Where(publishes, PUBLISH),
    versions: Versions::Newest,
    test: |fixture| host_address(fixture, by_nftables(fixture)?),
};

/// The kernel treats the addresses of services as local ones if they are on a link of the host.
pub(super) const SERVICE_ADDRESS: Requirement = Requirement {
    id: "plugins-222",
    source: "containernetworking/plugins, issue 222",
    statement: "A published port must not receive packets for a service address, even if the host \
        has that address",
    level: Level::Expected,
    applies_to: AppliesTo::Where(publishes, PUBLISH),
    versions: Versions::Newest,
    test: service_address,
};

/// A load balancer listens on port 8080 of the host's address, and a container publishes port 8080.
fn host_address<'a>(fixture: &'a Fixture, backend: impl Fn(Call<'a>) -> Call<'a>) -> TestResult {
    let near = neighbour(fixture, 1);
    let [address, _] = near.host;
    keeps(fixture, &near, address, backend)
}

fn service_address(fixture: &Fixture) -> TestResult {
    let near = neighbour(fixture, 1);
    fixture.host.sh("ip addr add 172.30.0.1/32 dev lo");
    keeps(fixture, &near, IpAddr::from([172, 30, 0, 1]), |call| call)
}

/// Packets for `address` and port 8080 must reach the backend of the service before and after the
/// plugin publishes port 8080.
fn keeps<'a>(
    fixture: &'a Fixture,
    near: &Neighbour,
    address: IpAddr,
    backend: impl Fn(Call<'a>) -> Call<'a>,
) -> TestResult {
    let server = neighbour(fixture, 2);
    serve_tcp(&server.pod, 8080, "service");
    let [to, _] = server.own;
    service(fixture, address, 8080, &format!("{to}:8080"))?;
    answers(&near.pod, address, 8080, "service")?;
    let container = fixture.container("a");
    serve_tcp(&container.pod, 80, "container");
    let ports = [mapping(8080, 80, "tcp"), mapping(8081, 80, "tcp")];
    backend(publishing(fixture, &container, &ports)).attach()?;
    let [own, _] = near.host;
    answers(&near.pod, own, 8081, "container")?;
    answers(&near.pod, address, 8080, "service")?;
    answers(&fixture.host, address, 8080, "service")
}
