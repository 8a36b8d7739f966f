//! Ports that lead to containers that are gone.

use std::net::SocketAddr;

use crate::bench::Bench;
use crate::requirement::{Judge, Level, Of, Requirement, Verdict, Versions, ensure};

use super::servers::{
    BRIEFLY, NOBODY, PATIENCE, datagrams, serve_tcp, serve_udp, who_answers, who_at,
};
use super::sites::{PUBLISH, answers, mapping, neighbour, publishes, publishing};

/// The port of a container that was deleted.
pub(super) const AFTER_DEL: Requirement = Requirement {
    id: "podman-5097",
    source: "podman-container-tools/podman, issue 5097",
    says: "After DEL the port of the host leads nowhere, and another container can have it",
    level: Level::Must,
    of: Of::That(publishes, PUBLISH),
    versions: Versions::Newest,
    test: after_del,
};

/// The port of a container that nobody deleted.
pub(super) const WITHOUT_DEL: Requirement = Requirement {
    id: "podman-5097.lost",
    source: "podman-container-tools/podman, issue 27516; issue 5097",
    says: "A port of the host whose container is gone without a DEL leads to the next container that gets it",
    level: Level::Expected,
    of: Of::That(publishes, PUBLISH),
    versions: Versions::Newest,
    test: without_del,
};

/// The kernel remembers a flow of datagrams longer than the container lives.
pub(super) const FLOW_TO_THE_NEXT: Requirement = Requirement {
    id: "plugins-123",
    source: "containernetworking/plugins, issue 123 and pull request 553",
    says: "Datagrams of a flow that goes on get to the next container with the port at once",
    level: Level::Expected,
    of: Of::That(publishes, PUBLISH),
    versions: Versions::Newest,
    test: flow_to_the_next,
};

/// The same if it is the host itself that comes next.
pub(super) const FLOW_TO_THE_HOST: Requirement = Requirement {
    id: "plugins-1190",
    source: "containernetworking/plugins, issue 1190 and pull request 1277",
    says: "After DEL, datagrams of a flow that goes on get to a server of the host at that port",
    level: Level::Expected,
    of: Of::That(publishes, PUBLISH),
    versions: Versions::Newest,
    test: flow_to_the_host,
};

fn after_del(bench: &Bench) -> Verdict {
    let near = neighbour(bench, 1);
    let ports = [mapping(8080, 80, "tcp")];
    let first = bench.container("first");
    serve_tcp(&first.pod, 80, "first container");
    let call = publishing(bench, &first, &ports);
    call.add().succeeds()?;
    for address in near.host {
        answers(&near.pod, address, 8080, "first container")?;
    }
    call.del().succeeds()?;
    for address in near.host {
        let seen = who_at(&near.pod, address, 8080, BRIEFLY);
        let done = format!("DEL, then a connection to {address}, port 8080");
        ensure(seen == NOBODY, done, "no answer", format!("the {seen} answered"))?;
    }
    let next = bench.container("next");
    serve_tcp(&next.pod, 80, "next container");
    publishing(bench, &next, &ports).add().succeeds()?;
    // The first one still lives: a rule that was left would lead there.
    near.host.iter().try_for_each(|address| answers(&near.pod, *address, 8080, "next container"))
}

fn without_del(bench: &Bench) -> Verdict {
    let near = neighbour(bench, 1);
    let ports = [mapping(8080, 80, "tcp")];
    let first = bench.container("first");
    publishing(bench, &first, &ports).add().succeeds()?;
    bench.kill(&first);
    let next = bench.container("next");
    serve_tcp(&next.pod, 80, "next container");
    publishing(bench, &next, &ports).add().succeeds()?;
    near.host.iter().try_for_each(|address| answers(&near.pod, *address, 8080, "next container"))
}

fn flow_to_the_next(bench: &Bench) -> Verdict {
    let near = neighbour(bench, 1);
    let flow = datagrams(&near.pod, "0.0.0.0", 5000);
    let [address, _] = near.host;
    let target = SocketAddr::new(address, 5353);
    // Not the same ports: forgetting by the container's port instead of the host's has been a mistake too.
    let ports = [mapping(5353, 53, "udp")];
    let first = bench.container("first");
    serve_udp(&first.pod, 53, "first container");
    let call = publishing(bench, &first, &ports);
    call.add().succeeds()?;
    leads_to(&flow, target, "ADD", "first container")?;
    call.del().succeeds()?;
    who_answers(&flow, target, BRIEFLY);
    let next = bench.container("next");
    serve_udp(&next.pod, 53, "next container");
    publishing(bench, &next, &ports).add().succeeds()?;
    leads_to(&flow, target, "DEL, and ADD of the next container", "next container")
}

fn flow_to_the_host(bench: &Bench) -> Verdict {
    let near = neighbour(bench, 1);
    let flow = datagrams(&near.pod, "0.0.0.0", 5000);
    let [address, _] = near.host;
    let target = SocketAddr::new(address, 5353);
    let container = bench.container("a");
    serve_udp(&container.pod, 53, "container");
    let call = publishing(bench, &container, &[mapping(5353, 53, "udp")]);
    call.add().succeeds()?;
    leads_to(&flow, target, "ADD", "container")?;
    call.del().succeeds()?;
    serve_udp(&bench.host, 5353, "host");
    leads_to(&flow, target, "DEL", "host")
}

fn leads_to(flow: &std::net::UdpSocket, target: SocketAddr, done: &str, name: &str) -> Verdict {
    let seen = who_answers(flow, target, PATIENCE);
    ensure(
        seen == name,
        format!("{done}; a neighbour sent a datagram from port 5000 to {target}, as before"),
        format!("an answer of the {name}"),
        format!("{seen} answered"),
    )
}
