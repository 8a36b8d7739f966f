//! Reachability, and the sizes of packets.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::Value;
use testbed::Pod;

use crate::fixture::{Container, Fixture};
use crate::linux::{self, ParsedResult, added_without_dad, is_link_local};
use crate::profile::Reach;
use crate::verdict::{NotPassed, TestResult, ensure, failed};

/// A megabyte.
const BYTES: usize = 1 << 20;

/// The addresses of a result that other machines can reach.
pub(super) fn targets(result: &Value) -> Result<Vec<IpAddr>, NotPassed> {
    let said = ParsedResult::of(result)?;
    let mut targets: Vec<IpAddr> = said.ips.iter().map(|ip| ip.address.ip).collect();
    targets.retain(|ip| !ip.is_loopback() && !is_link_local(*ip));
    match targets.is_empty() {
        true => Err(NotPassed::NotApplicable("the result has no addresses".to_owned())),
        false => Ok(targets),
    }
}

/// As [`targets`], with a note for a family without an address.
fn both_families(fixture: &Fixture, result: &Value) -> Result<Vec<IpAddr>, NotPassed> {
    let targets = targets(result)?;
    for (name, is_there) in [
        ("IPv4", targets.iter().any(IpAddr::is_ipv4)),
        ("IPv6", targets.iter().any(IpAddr::is_ipv6)),
    ] {
        if !is_there {
            fixture.note(format!("the result has no {name} address, so {name} was not tested"));
        }
    }
    Ok(targets)
}

/// Each of these addresses must answer the first packet.
pub(super) fn answers(done: &str, from: &Pod, targets: &[IpAddr]) -> TestResult {
    for target in targets {
        let expected = format!("{target} answers {}", from.name());
        ensure(
            from.ping(target),
            format!("{done}, then one ping"),
            expected,
            "no answer within a second",
        )?;
    }
    Ok(())
}

/// Waits until these addresses answer. Other requirements test the first packet, whose loss must
/// not fail all other tests.
pub(super) fn settled(done: &str, from: &Pod, targets: &[IpAddr]) -> TestResult {
    const PATIENCE: Duration = Duration::from_secs(6);
    let start = Instant::now();
    for target in targets {
        let family = if target.is_ipv4() { "-4" } else { "-6" };
        let address = target.to_string();
        let ping = ["ping", family, "-n", "-c1", "-W0.3", &address];
        while !from.try_run(&ping).status.success() {
            let expected = format!("{target} answers {}", from.name());
            let seen = format!("no answer within {:.1} s", start.elapsed().as_secs_f64());
            ensure(start.elapsed() < PATIENCE, format!("{done}, then pings"), expected, seen)?;
        }
    }
    Ok(())
}

/// The gateways of a result that are addresses of the host.
fn gateways(fixture: &Fixture, result: &Value) -> Result<Vec<IpAddr>, NotPassed> {
    let own = linux::addresses(&fixture.host);
    let mut gateways: Vec<IpAddr> =
        ParsedResult::of(result)?.ips.iter().filter_map(|ip| ip.gateway).collect();
    gateways.retain(|gateway| own.iter().any(|(_, cidr)| cidr.ip == *gateway));
    match gateways.is_empty() {
        true => Err(failed("ADD", "a gateway of the result is an address of the host", result)),
        false => Ok(gateways),
    }
}

pub(super) fn container_to_container(fixture: &Fixture) -> TestResult {
    let (one, first) = fixture.added("c1")?;
    let (two, second) = fixture.added("c2")?;
    answers("ADD of c1 and c2", &one.pod, &both_families(fixture, &second)?)?;
    answers("ADD of c1 and c2", &two.pod, &targets(&first)?)
}

pub(super) fn host_to_container(fixture: &Fixture) -> TestResult {
    let (_, result) = fixture.added("c1")?;
    answers("ADD", &fixture.host, &both_families(fixture, &result)?)
}

pub(super) fn container_to_host(fixture: &Fixture) -> TestResult {
    let (container, result) = fixture.added("c1")?;
    answers("ADD", &container.pod, &gateways(fixture, &result)?)
}

pub(super) fn loopback(fixture: &Fixture) -> TestResult {
    let (container, result) = added_without_dad(fixture, "c1")?;
    let mut own: Vec<IpAddr> =
        ParsedResult::of(&result)?.ips.iter().map(|ip| ip.address.ip).collect();
    own.retain(IpAddr::is_loopback);
    if own.is_empty() {
        return Err(NotPassed::NotApplicable("the result has no loopback addresses".to_owned()));
    }
    answers("ADD", &container.pod, &own)
}

pub(super) fn tcp_between_containers(fixture: &Fixture) -> TestResult {
    let (one, _) = added_without_dad(fixture, "c1")?;
    let (two, second) = added_without_dad(fixture, "c2")?;
    arrives(&one.pod, &two.pod, &both_families(fixture, &second)?)
}

pub(super) fn tcp_with_host(fixture: &Fixture) -> TestResult {
    let (container, result) = added_without_dad(fixture, "c1")?;
    arrives(&fixture.host, &container.pod, &both_families(fixture, &result)?)?;
    arrives(&container.pod, &fixture.host, &gateways(fixture, &result)?)
}

fn arrives(client: &Pod, server: &Pod, targets: &[IpAddr]) -> TestResult {
    for target in targets {
        settled("ADD", client, &[*target])?;
        let done = format!("ADD, then TCP from {} to {target}", client.name());
        match client.tcp(server, *target, BYTES) {
            Ok(exchange) => ensure(
                exchange.received == BYTES,
                done,
                format!("{BYTES} bytes arrive"),
                exchange.received,
            )?,
            Err(error) => return Err(failed(done, format!("{BYTES} bytes arrive"), error)),
        }
    }
    Ok(())
}

/// A peer of the container: another container, otherwise the host.
pub(super) fn peer(fixture: &Fixture) -> Result<Pod, NotPassed> {
    match fixture.profile.reaches.contains(&Reach::Container) {
        true => added_without_dad(fixture, "peer").map(|(Container { pod, .. }, _)| pod),
        false => Ok((*fixture.host).clone()),
    }
}

pub(super) fn udp(fixture: &Fixture) -> TestResult {
    let peer = peer(fixture)?;
    let (container, result) = added_without_dad(fixture, "c1")?;
    for target in both_families(fixture, &result)? {
        settled("ADD", &peer, &[target])?;
        let done = format!("ADD, then a datagram from {} to {target}", peer.name());
        if let Err(error) = echo(&peer, &container.pod, target) {
            return Err(failed(done, "an answer within a second", error));
        }
    }
    Ok(())
}

/// Sends a datagram to a server, which must answer.
fn echo(client: &Pod, server: &Pod, target: IpAddr) -> io::Result<()> {
    const PATIENCE: Option<Duration> = Some(Duration::from_secs(1));
    let server = server.enter(|| UdpSocket::bind((target, 0)))?;
    let address = server.local_addr()?;
    let client = client.enter(|| {
        let any: IpAddr = if target.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let client = UdpSocket::bind((any, 0))?;
        client.connect(address).map(|()| client)
    })?;
    server.set_read_timeout(PATIENCE)?;
    client.set_read_timeout(PATIENCE)?;
    client.send(b"hello")?;
    let mut buffer = [0; 16];
    let (length, from) = server.recv_from(&mut buffer)?;
    server.send_to(buffer.get(..length).unwrap_or_default(), from)?;
    match client.recv(&mut buffer)? {
        5 => Ok(()),
        other => Err(io::Error::other(format!("an answer of {other} bytes"))),
    }
}

pub(super) fn full_size(fixture: &Fixture) -> TestResult {
    sized(fixture, "do", |mtu, headers| mtu.saturating_sub(headers))
}

pub(super) fn fragments(fixture: &Fixture) -> TestResult {
    sized(fixture, "dont", |mtu, _| mtu + mtu)
}

/// Pings with a size that `size` computes from the interface's MTU and the length of the headers;
/// `how` says whether the sender fragments.
fn sized(fixture: &Fixture, how: &str, size: fn(u64, u64) -> u64) -> TestResult {
    let peer = peer(fixture)?;
    let (container, result) = added_without_dad(fixture, "c1")?;
    let mtu = linux::link(&container.pod, "eth0").map(|link| link.mtu);
    let mtu = mtu.ok_or_else(|| failed("ADD", "eth0 in the container", "link does not exist"))?;
    for target in both_families(fixture, &result)? {
        settled("ADD", &peer, &[target])?;
        let (family, headers) = if target.is_ipv4() { ("-4", 28) } else { ("-6", 48) };
        let bytes = size(mtu, headers);
        let (bytes, target) = (bytes.to_string(), target.to_string());
        let command = ["ping", family, "-n", "-c1", "-W1", "-M", how, "-s", &bytes, &target];
        let output = peer.try_run(&command);
        let done =
            format!("ADD, then {} from {}; the MTU is {mtu}", command.join(" "), peer.name());
        let seen = format!("{}{}", output.stdout, output.stderr);
        ensure(output.status.success(), done, "an answer", seen)?;
    }
    Ok(())
}
