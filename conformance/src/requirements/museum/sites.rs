//! Machines next to the host, and containers with published ports.

use std::net::IpAddr;

use serde_json::{Value, json};
use testbed::Pod;

use crate::fixture::{Call, Container, Fixture};
use crate::ipam;
use crate::isolation::broken;
use crate::json::set;
use crate::profile::Profile;
use crate::verdict::{NotPassed, OutcomeExt, TestResult, ensure};

use super::servers::{PATIENCE, who_at};

/// The text for [`publishes`] in lists.
pub(super) const PUBLISH: &str = "publish ports of containers";

/// Whether the plugin publishes ports.
pub(super) fn publishes(profile: &Profile) -> bool {
    profile.config.pointer("/capabilities/portMappings").is_some_and(|it| it == true)
}

/// A machine with a veth pair to the host, which is its router.
#[derive(Debug)]
pub(super) struct Neighbour {
    /// The machine.
    pub pod: Pod,
    /// Its IPv4 and IPv6 addresses.
    pub own: [IpAddr; 2],
    /// The addresses of the host on the veth pair.
    pub host: [IpAddr; 2],
}

/// The neighbour with this number, 1 to 9.
pub(super) fn neighbour(fixture: &Fixture, number: u8) -> Neighbour {
    let pod = fixture.host.pod(&format!("neighbour{number}"));
    let (link, path) = (format!("wire{number}"), pod.path().display());
    let (v4, v6) = (format!("198.18.{number}"), format!("fd00:18:{number}:"));
    // With the same index on both ends the kernel takes a second to detect the carrier.
    fixture.host.sh(&format!(
        "ip link add {link} index 200{number} type veth peer name eth0 netns {path}
         sysctl -qw net.ipv6.conf.{link}.accept_dad=0 net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
         ip addr add {v4}.1/24 dev {link}; ip addr add {v6}:1/64 dev {link} nodad
         ip link set {link} up"
    ));
    pod.sh(&format!(
        "sysctl -qw net.ipv6.conf.eth0.accept_dad=0
         ip link set lo up; ip addr add {v4}.2/24 dev eth0; ip addr add {v6}:2/64 dev eth0 nodad
         ip link set eth0 up
         ip route add default via {v4}.1; ip route add default via {v6}:1"
    ));
    let address = |text: String| text.parse().unwrap_or_else(|_| broken(&text));
    Neighbour {
        own: [address(format!("{v4}.2")), address(format!("{v6}:2"))],
        host: [address(format!("{v4}.1")), address(format!("{v6}:1"))],
        pod,
    }
}

/// A mapping of a host port to a container port.
pub(super) fn mapping(host: u16, container: u16, protocol: &str) -> Value {
    json!({ "hostPort": host, "containerPort": container, "protocol": protocol })
}

/// A call for a container with published ports.
pub(super) fn publishing<'a>(
    fixture: &'a Fixture,
    container: &Container,
    mappings: &[Value],
) -> Call<'a> {
    let runtime = json!({ "portMappings": mappings });
    fixture.call(container).with(|cni| cni.key("runtimeConfig", runtime))
}

/// A call that publishes ports with nf_tables, if the plugin has such a backend.
///
/// # Errors
///
/// If it has none. Some plugins ignore the key and use iptables.
pub(super) fn by_nftables<'a>(
    fixture: &'a Fixture,
) -> Result<impl Fn(Call<'a>) -> Call<'a>, NotPassed> {
    let with = |call: Call<'a>| call.with(|cni| cni.key("backend", "nftables"));
    let probe = fixture.container("probe");
    let call = with(publishing(fixture, &probe, &[mapping(7999, 80, "tcp")]));
    let added = call.add();
    if added.status.success() {
        let saved = fixture
            .host
            .sh("if command -v iptables-save > /dev/null; then iptables-save -t nat; fi");
        call.del().succeeds()?;
        if saved.contains("7999") {
            let why = "the plugin has no nftables backend: it made iptables rules although the \
                configuration requests nftables";
            return Err(NotPassed::NotApplicable(why.to_owned()));
        }
    } else {
        let error = added.fails()?;
        return Err(NotPassed::NotApplicable(format!(
            "the plugin rejects the nftables backend: {}",
            error.msg
        )));
    }
    Ok(with)
}

/// The mapped port of the host must lead to the right container.
///
/// # Errors
///
/// A failure, if it does not.
pub(super) fn answers(client: &Pod, address: IpAddr, port: u16, name: &str) -> TestResult {
    let seen = who_at(client, address, port, PATIENCE);
    ensure(
        seen == name,
        format!("{} connected to {address}, port {port}", client.name()),
        format!("an answer of the {name}"),
        format!("{seen} answered"),
    )
}

/// Rules like those of a load balancer, which `iptables` makes before the plugin runs: packets to
/// `address` and `port` go to `backend`.
///
/// # Errors
///
/// If `iptables` is missing.
pub(super) fn service(fixture: &Fixture, address: IpAddr, port: u16, backend: &str) -> TestResult {
    let there = fixture.host.try_run(&["sh", "-c", "command -v iptables"]);
    if !there.status.success() {
        return Err(NotPassed::Untestable(
            "iptables is missing, which the test needs to make the rules of a load balancer"
                .to_owned(),
        ));
    }
    fixture.host.sh(&format!(
        "for chain in PREROUTING OUTPUT; do
             iptables -w -t nat -A $chain -d {address} -p tcp --dport {port} -j DNAT --to-destination {backend}
         done"
    ));
    Ok(())
}

/// The `ipam` of an IPv4 network with one address.
pub(super) fn ipv4_only(fixture: &Fixture) -> Value {
    let mut ip = json!({ "address": "10.1.2.2/24", "gateway": "10.1.2.1" });
    if !fixture.is_from("1.0.0") {
        set(&mut ip, "version", "4");
    }
    let answer = json!({
        "cniVersion": fixture.version(), "ips": [ip], "routes": [{ "dst": "0.0.0.0/0" }]
    });
    ipam::answer("ADD", answer, 0).unwrap_or_else(|error| broken(&error));
    json!({ "type": ipam::NAME })
}
