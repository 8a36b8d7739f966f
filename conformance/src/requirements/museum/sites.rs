//! Machines next to the host, and containers whose ports are published.

use std::net::IpAddr;

use serde_json::{Value, json};
use testbed::Pod;

use crate::bench::{Bench, Call, Container, broken, set};
use crate::ipam;
use crate::profile::Profile;
use crate::requirement::{Judge, Stop, Verdict, ensure};

use super::servers::{PATIENCE, who_at};

/// What [`publishes`] asks for, for lists.
pub(super) const PUBLISH: &str = "publish ports of containers";

/// Whether the plugin publishes ports.
pub(super) fn publishes(profile: &Profile) -> bool {
    profile.config.pointer("/capabilities/portMappings").is_some_and(|it| it == true)
}

/// A machine on a wire of its own to the host, which is its router.
#[derive(Debug)]
pub(super) struct Neighbour {
    /// The machine.
    pub pod: Pod,
    /// Its addresses: IPv4 and IPv6.
    pub own: [IpAddr; 2],
    /// The host's addresses on the wire.
    pub host: [IpAddr; 2],
}

/// The neighbour of that number, 1 to 9.
pub(super) fn neighbour(bench: &Bench, number: u8) -> Neighbour {
    let pod = bench.host.pod(&format!("neighbour{number}"));
    let (link, path) = (format!("wire{number}"), pod.path().display());
    let (v4, v6) = (format!("198.18.{number}"), format!("fd00:18:{number}:"));
    // Not the same index on both sides: then the kernel takes a second to notice the carrier.
    bench.host.sh(&format!(
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

/// A mapping of a port of the host to one of the container.
pub(super) fn mapping(host: u16, container: u16, protocol: &str) -> Value {
    json!({ "hostPort": host, "containerPort": container, "protocol": protocol })
}

/// A call for a container with ports to be published.
pub(super) fn publishing<'a>(
    bench: &'a Bench,
    container: &Container,
    mappings: &[Value],
) -> Call<'a> {
    let runtime = json!({ "portMappings": mappings });
    bench.call(container).with(|cni| cni.key("runtimeConfig", runtime))
}

/// A call that publishes ports by means of nf_tables, if the plugin has such a backend.
///
/// # Errors
///
/// If it has none. Some take the key for one they do not know, and go on with iptables.
pub(super) fn by_nftables<'a>(bench: &'a Bench) -> Result<impl Fn(Call<'a>) -> Call<'a>, Stop> {
    let with = |call: Call<'a>| call.with(|cni| cni.key("backend", "nftables"));
    let probe = bench.container("probe");
    let call = with(publishing(bench, &probe, &[mapping(7999, 80, "tcp")]));
    let added = call.add();
    if added.status.success() {
        let saved =
            bench.host.sh("if command -v iptables-save > /dev/null; then iptables-save -t nat; fi");
        call.del().succeeds()?;
        if saved.contains("7999") {
            let why =
                "it has no backend for nftables: it made iptables rules although asked for them";
            return Err(Stop::Absent(why.to_owned()));
        }
    } else {
        let told = added.fails()?;
        return Err(Stop::Absent(format!("it takes no backend for nftables: {}", told.msg)));
    }
    Ok(with)
}

/// The mapped port of the host leads to whom it should.
///
/// # Errors
///
/// A failure, if it does not.
pub(super) fn answers(client: &Pod, address: IpAddr, port: u16, name: &str) -> Verdict {
    let seen = who_at(client, address, port, PATIENCE);
    ensure(
        seen == name,
        format!("{} connected to {address}, port {port}", client.name()),
        format!("an answer of the {name}"),
        format!("{seen} answered"),
    )
}

/// Rules like those of a load balancer, made by `iptables` before the plugin comes: what is sent to `address` and `port`
/// goes to `backend`, in front of everything.
///
/// # Errors
///
/// If there is no `iptables` here.
pub(super) fn service(bench: &Bench, address: IpAddr, port: u16, backend: &str) -> Verdict {
    let there = bench.host.try_run(&["sh", "-c", "command -v iptables"]);
    if !there.status.success() {
        return Err(Stop::Untestable(
            "no iptables here to make a load balancer's rules".to_owned(),
        ));
    }
    bench.host.sh(&format!(
        "for chain in PREROUTING OUTPUT; do
             iptables -w -t nat -A $chain -d {address} -p tcp --dport {port} -j DNAT --to-destination {backend}
         done"
    ));
    Ok(())
}

/// The `ipam` of a network of IPv4 only, with one address.
pub(super) fn ipv4_only(bench: &Bench) -> Value {
    let mut ip = json!({ "address": "10.1.2.2/24", "gateway": "10.1.2.1" });
    if !bench.is_from("1.0.0") {
        set(&mut ip, "version", "4");
    }
    let answer = json!({
        "cniVersion": bench.version(), "ips": [ip], "routes": [{ "dst": "0.0.0.0/0" }]
    });
    ipam::answer("ADD", answer, 0).unwrap_or_else(|error| broken(&error));
    json!({ "type": ipam::NAME })
}
