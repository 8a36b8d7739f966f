//! Bridges of one host whose containers must not reach each other.

use std::net::IpAddr;

use serde_json::{Value, json};
use testbed::Pod;

use crate::fixture::Fixture;
use crate::isolation::broken;
use crate::profile::Profile;
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::{OutcomeExt, TestResult, ensure};

use super::servers::{BRIEFLY, NO_ANSWER, serve_tcp, who_at};
use super::sites::answers;

/// The purpose of `ingressPolicy: same-bridge`.
pub(super) const SAME_BRIDGE: Requirement = Requirement {
    id: "plugins-474",
    source: "containernetworking/plugins, issues 474 and 573, pull request 584: `ingressPolicy`",
    statement: "With `ingressPolicy: same-bridge`, containers of one bridge must reach each \
        other, and those of two bridges must not",
    level: Level::Expected,
    applies_to: AppliesTo::Where(has_policy, "have an ingress policy"),
    versions: Versions::Newest,
    test: same_bridge,
};

fn has_policy(profile: &Profile) -> bool {
    profile.config_with("ingressPolicy").is_some()
}

/// A container on a bridge, as the plugin before would have made it.
#[derive(Debug)]
struct Member {
    pod: Pod,
    addresses: [IpAddr; 2],
    prev: Value,
}

fn same_bridge(fixture: &Fixture) -> TestResult {
    fixture.host.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    for net in [1, 2] {
        fixture.host.sh(&format!(
            "ip link add br{net} type bridge; sysctl -qw net.ipv6.conf.br{net}.accept_dad=0
             ip addr add 10.20.{net}.1/24 dev br{net}; ip addr add fd00:20:{net}::1/64 dev br{net} nodad
             ip link set br{net} up"
        ));
    }
    let [a, b, c] = [("a", 1, 2), ("b", 1, 3), ("c", 2, 2)].map(|(name, net, number)| {
        let member = member(fixture, name, net, number);
        serve_tcp(&member.pod, 80, name);
        member
    });
    for (from, to, name) in [(&a, &b, "b"), (&a, &c, "c"), (&c, &a, "a")] {
        for address in to.addresses {
            if who_at(&from.pod, address, 80, super::servers::PATIENCE) != name {
                broken(&format!(
                    "{name} was unreachable at {address} before the test changed anything"
                ));
            }
        }
    }
    let call = |member: &Member| {
        let mut config =
            fixture.complete(fixture.profile.config_with("ingressPolicy").unwrap_or_default());
        crate::json::set(&mut config, "ingressPolicy", "same-bridge");
        fixture.call_with(&config).with(|cni| {
            cni.container(&format!("{}-7f3e", member.pod.name()))
                .netns(&member.pod)
                .ifname("eth0")
                .prev(&member.prev)
        })
    };
    for member in [&a, &b, &c] {
        call(member).attach()?;
    }
    are_apart(fixture, &a, &b, &c)?;
    // DEL of one container must not disable the isolation of the others.
    call(&a).del().succeeds()?;
    let done = "ADD of all, DEL of one";
    is_refused(done, &b, &c)
}

fn are_apart(fixture: &Fixture, a: &Member, b: &Member, c: &Member) -> TestResult {
    for (address, other) in a.addresses.into_iter().zip(b.addresses) {
        answers(&b.pod, address, 80, "a")?;
        answers(&a.pod, other, 80, "b")?;
    }
    for address in c.addresses {
        answers(&fixture.host, address, 80, "c")?;
    }
    [(a, c), (c, b)].into_iter().try_for_each(|(from, to)| is_refused("ADD of all", from, to))
}

fn is_refused(done: &str, from: &Member, to: &Member) -> TestResult {
    let (from, name) = (&from.pod, to.pod.name());
    to.addresses.into_iter().try_for_each(|address| {
        let seen = who_at(from, address, 80, BRIEFLY);
        let done =
            format!("{done}; {} connected to {name} on the other bridge, {address}", from.name());
        ensure(seen == NO_ANSWER, done, "no answer", format!("{seen} answered"))
    })
}

fn member(fixture: &Fixture, name: &str, net: u8, number: u8) -> Member {
    let pod = fixture.host.pod(name);
    let path = pod.path().display();
    fixture.host.sh(&format!(
        "ip link add veth{name} index 20{net}{number} type veth peer name eth0 netns {path}
         ip link set veth{name} master br{net} up"
    ));
    let (v4, v6) = (format!("10.20.{net}.{number}"), format!("fd00:20:{net}::{number}"));
    pod.sh(&format!(
        "sysctl -qw net.ipv6.conf.eth0.accept_dad=0
         ip link set lo up; ip addr add {v4}/24 dev eth0; ip addr add {v6}/64 dev eth0 nodad
         ip link set eth0 up
         ip route add default via 10.20.{net}.1; ip route add default via fd00:20:{net}::1"
    ));
    let mut ips = vec![
        json!({ "address": format!("{v4}/24"), "gateway": format!("10.20.{net}.1"), "interface": 2 }),
        json!({ "address": format!("{v6}/64"), "gateway": format!("fd00:20:{net}::1"), "interface": 2 }),
    ];
    if !fixture.is_from("1.0.0") {
        for (ip, version) in ips.iter_mut().zip(["4", "6"]) {
            crate::json::set(ip, "version", version);
        }
    }
    let prev = json!({
        "cniVersion": fixture.version(),
        "interfaces": [
            { "name": format!("br{net}") },
            { "name": format!("veth{name}") },
            { "name": "eth0", "sandbox": pod.path() }
        ],
        "ips": ips,
        "dns": {}
    });
    let address = |text: &str| text.parse().unwrap_or_else(|_| broken(text));
    Member { addresses: [address(&v4), address(&v6)], prev, pod }
}
