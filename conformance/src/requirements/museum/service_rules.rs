//! Published ports in front of a load balancer's rules, which are more specific.

use std::net::IpAddr;

use crate::bench::{Bench, Call};
use crate::requirement::{Judge, Level, Of, Requirement, Verdict, Versions};

use super::servers::serve_tcp;
use super::sites::{
    Neighbour, PUBLISH, answers, by_nftables, mapping, neighbour, publishes, publishing, service,
};

/// The rules of the iptables backend came before those of services.
pub(super) const IN_FRONT: Requirement = Requirement {
    id: "CVE-2019-9946",
    source: "CVE-2019-9946; containernetworking/plugins, pull request 269",
    says: "A rule for an address and a port that was there first is stronger than a port published on all addresses",
    level: Level::Must,
    of: Of::That(publishes, PUBLISH),
    versions: Versions::Newest,
    test: |bench| host_address(bench, |call| call),
};

/// The same with the other backend.
pub(super) const IN_FRONT_NFTABLES: Requirement = Requirement {
    id: "CVE-2019-9946.nftables",
    source: "CVE-2019-9946; containernetworking/plugins, pull request 269",
    says: "With the backend nftables, a rule that was there first is stronger than a published port too",
    level: Level::Expected,
    of: Of::That(publishes, PUBLISH),
    versions: Versions::Newest,
    test: |bench| host_address(bench, by_nftables(bench)?),
};

/// Addresses of services are local ones to the kernel if they are on a link of the host.
pub(super) const SERVICE_ADDRESS: Requirement = Requirement {
    id: "plugins-222",
    source: "containernetworking/plugins, issue 222",
    says: "A published port does not take what is for the address of a service, even if the host has it",
    level: Level::Must,
    of: Of::That(publishes, PUBLISH),
    versions: Versions::Newest,
    test: service_address,
};

/// A load balancer listens at port 8080 of the host's address, and a container gets port 8080.
fn host_address<'a>(bench: &'a Bench, backend: impl Fn(Call<'a>) -> Call<'a>) -> Verdict {
    let near = neighbour(bench, 1);
    let [address, _] = near.host;
    keeps(bench, &near, address, backend)
}

fn service_address(bench: &Bench) -> Verdict {
    let near = neighbour(bench, 1);
    bench.host.sh("ip addr add 172.30.0.1/32 dev lo");
    keeps(bench, &near, IpAddr::from([172, 30, 0, 1]), |call| call)
}

/// What is for `address` and port 8080 goes to the service's backend before and after the plugin has published port 8080.
fn keeps<'a>(
    bench: &'a Bench,
    near: &Neighbour,
    address: IpAddr,
    backend: impl Fn(Call<'a>) -> Call<'a>,
) -> Verdict {
    let server = neighbour(bench, 2);
    serve_tcp(&server.pod, 8080, "service");
    let [to, _] = server.own;
    service(bench, address, 8080, &format!("{to}:8080"))?;
    answers(&near.pod, address, 8080, "service")?;
    let container = bench.container("a");
    serve_tcp(&container.pod, 80, "container");
    let ports = [mapping(8080, 80, "tcp"), mapping(8081, 80, "tcp")];
    backend(publishing(bench, &container, &ports)).add().succeeds()?;
    let [own, _] = near.host;
    answers(&near.pod, own, 8081, "container")?;
    answers(&near.pod, address, 8080, "service")?;
    answers(&bench.host, address, 8080, "service")
}
