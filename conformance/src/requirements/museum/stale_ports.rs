//! Ports that lead to containers that no longer exist.

use std::net::SocketAddr;

use crate::fixture::Fixture;
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::{OutcomeExt, TestResult, ensure};

use super::servers::{
    BRIEFLY, NO_ANSWER, PATIENCE, datagrams, serve_tcp, serve_udp, who_answers, who_at,
};
use super::sites::{PUBLISH, answers, mapping, neighbour, publishes, publishing};

/// The port of a container after DEL.
pub(super) const AFTER_DEL: Requirement = Requirement {
    id: "podman-5097",
    source: "podman-container-tools/podman, issue 5097",
    statement: "After DEL the host port must lead nowhere, and another container must be able to \
        use it",
    level: Level::Expected,
    applies_to: AppliesTo::Where(publishes, PUBLISH),
    versions: Versions::Newest,
    test: after_del,
};

/// The port of a container that vanished without a DEL.
pub(super) const WITHOUT_DEL: Requirement = Requirement {
    id: "podman-5097.lost",
    source: "podman-container-tools/podman, issue 27516; issue 5097",
    statement: "A host port whose container vanished without a DEL must lead to the next \
        container that publishes it",
    level: Level::Expected,
    applies_to: AppliesTo::Where(publishes, PUBLISH),
    versions: Versions::Newest,
    test: without_del,
};

/// The kernel tracks a flow of datagrams for longer than the container lives.
pub(super) const FLOW_TO_THE_NEXT: Requirement = Requirement {
    id: "plugins-123",
    source: "containernetworking/plugins, issue 123 and pull request 553",
    statement: "Datagrams of a continuing flow must reach the next container with that port at \
        once",
    level: Level::Expected,
    applies_to: AppliesTo::Where(publishes, PUBLISH),
    versions: Versions::Newest,
    test: flow_to_the_next,
};

/// The same, if a server of the host uses the port next.
pub(super) const FLOW_TO_THE_HOST: Requirement = Requirement {
    id: "plugins-1190",
    source: "containernetworking/plugins, issue 1190 and pull request 1277",
    statement: "After DEL, datagrams of a continuing flow must reach a server of the host on that \
        port",
    level: Level::Expected,
    applies_to: AppliesTo::Where(publishes, PUBLISH),
    versions: Versions::Newest,
    test: flow_to_the_host,
};

fn after_del(fixture: &Fixture) -> TestResult {
    let near = neighbour(fixture, 1);
    let ports = [mapping(8080, 80, "tcp")];
    let first = fixture.container("first");
    serve_tcp(&first.pod, 80, "first container");
    let call = publishing(fixture, &first, &ports);
    call.attach()?;
    for address in near.host {
        answers(&near.pod, address, 8080, "first container")?;
    }
    call.del().succeeds()?;
    for address in near.host {
        let seen = who_at(&near.pod, address, 8080, BRIEFLY);
        let done = format!("DEL, then a connection to {address}, port 8080");
        ensure(seen == NO_ANSWER, done, "no answer", format!("the {seen} answered"))?;
    }
    let next = fixture.container("next");
    serve_tcp(&next.pod, 80, "next container");
    publishing(fixture, &next, &ports).attach()?;
    // The first container still lives: a leftover rule would lead there.
    near.host.iter().try_for_each(|address| answers(&near.pod, *address, 8080, "next container"))
}

fn without_del(fixture: &Fixture) -> TestResult {
    let near = neighbour(fixture, 1);
    let ports = [mapping(8080, 80, "tcp")];
    let first = fixture.container("first");
    publishing(fixture, &first, &ports).attach()?;
    // Made before the first one vanishes, so that their addresses differ.
    let next = fixture.container("next");
    fixture.delete_namespace(&first);
    serve_tcp(&next.pod, 80, "next container");
    publishing(fixture, &next, &ports).attach()?;
    near.host.iter().try_for_each(|address| answers(&near.pod, *address, 8080, "next container"))
}

fn flow_to_the_next(fixture: &Fixture) -> TestResult {
    let near = neighbour(fixture, 1);
    let flow = datagrams(&near.pod, "0.0.0.0", 5000);
    let [address, _] = near.host;
    let target = SocketAddr::new(address, 5353);
    // The ports differ: some plugins deleted tracked connections by the container's port instead of
    // the host's.
    let ports = [mapping(5353, 53, "udp")];
    let first = fixture.container("first");
    serve_udp(&first.pod, 53, "first container");
    let call = publishing(fixture, &first, &ports);
    call.attach()?;
    leads_to(&flow, target, "ADD", "first container")?;
    call.del().succeeds()?;
    who_answers(&flow, target, BRIEFLY);
    let next = fixture.container("next");
    serve_udp(&next.pod, 53, "next container");
    publishing(fixture, &next, &ports).attach()?;
    leads_to(&flow, target, "DEL, and ADD of the next container", "next container")
}

fn flow_to_the_host(fixture: &Fixture) -> TestResult {
    let near = neighbour(fixture, 1);
    let flow = datagrams(&near.pod, "0.0.0.0", 5000);
    let [address, _] = near.host;
    let target = SocketAddr::new(address, 5353);
    let container = fixture.container("a");
    serve_udp(&container.pod, 53, "container");
    let call = publishing(fixture, &container, &[mapping(5353, 53, "udp")]);
    call.attach()?;
    leads_to(&flow, target, "ADD", "container")?;
    call.del().succeeds()?;
    serve_udp(&fixture.host, 5353, "host");
    leads_to(&flow, target, "DEL", "host")
}

fn leads_to(flow: &std::net::UdpSocket, target: SocketAddr, done: &str, name: &str) -> TestResult {
    let seen = who_answers(flow, target, PATIENCE);
    ensure(
        seen == name,
        format!("{done}; a neighbour sent a datagram from port 5000 to {target}, as before"),
        format!("an answer of the {name}"),
        format!("{seen} answered"),
    )
}
