//! What the plugin before a chained plugin leaves: a container with a veth pair, on a bridge or in a
//! network of its own, and the result.

use serde_json::{Value, json};
use testbed::{Node, Pod};

use crate::json::set;

/// The prefix of the host's end of a container's veth pair.
pub const HOST_END: &str = "host-";

/// The bridge to which the plugin before a chained one connects containers.
const BRIDGE: &str = "prev0";

/// The addresses of the bridge, which are the gateways.
const GATEWAYS: [&str; 2] = ["10.9.1.1", "fd00:9:1::1"];

/// Connects a container to the bridge, and makes the bridge if it does not exist. Returns the
/// result that a plugin would print for it.
pub fn bridge(host: &Node, pod: &Pod, version: &str) -> Value {
    let name = pod.name();
    let number = 2 + host.sh("ip -o link show type veth").lines().count();
    let (end, path) = (format!("{HOST_END}{name}"), pod.path().display());
    let [gateway, gateway6] = GATEWAYS;
    // A bridge without a MAC address of its own changes it with each port.
    host.sh(&format!(
        "ip link show {BRIDGE} >/dev/null 2>&1 || {{
             ip link add {BRIDGE} address 02:00:0a:09:01:01 type bridge
             sysctl -qw net.ipv6.conf.{BRIDGE}.accept_dad=0
             ip addr add {gateway}/24 dev {BRIDGE}; ip addr add {gateway6}/64 dev {BRIDGE} nodad
             ip link set {BRIDGE} up; }}
         sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
         ip link add {end} type veth peer name eth0 netns {path}
         ip link set {end} master {BRIDGE} up"
    ));
    pod.sh(&format!(
        "sysctl -qw net.ipv6.conf.eth0.accept_dad=0
         ip link set lo up; ip addr add 10.9.1.{number}/24 dev eth0
         ip addr add fd00:9:1::{number}/64 dev eth0 nodad; ip link set eth0 up
         ip route add default via {gateway}; ip route add default via {gateway6}"
    ));
    let mut ips = [
        json!({ "address": format!("10.9.1.{number}/24"), "gateway": gateway, "interface": 2 }),
        json!({ "address": format!("fd00:9:1::{number}/64"), "gateway": gateway6, "interface": 2 }),
    ];
    with_families(&mut ips, version);
    json!({
        "cniVersion": version,
        "interfaces": [
            { "name": BRIDGE, "mac": mac(host, BRIDGE) },
            { "name": end, "mac": mac(host, &end) },
            { "name": "eth0", "mac": mac(pod, "eth0"), "sandbox": pod.path() }
        ],
        "ips": ips,
        "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }],
        "dns": {}
    })
}

/// Connects a container to the host by a veth pair with IPv4 and IPv6 addresses. Returns the result
/// that a plugin would print for it.
pub fn veth_pair(host: &Node, pod: &Pod, version: &str) -> Value {
    let name = pod.name();
    let number = 2 + host.sh("ip -o link show type veth").lines().count();
    let (end, path) = (format!("{HOST_END}{name}"), pod.path().display());
    let [v4, v6] = [format!("10.9.{number}"), format!("fd00:9:{number}:")];
    host.sh(&format!(
        "ip link add {end} type veth peer name eth0 netns {path}
         sysctl -qw net.ipv6.conf.{end}.accept_dad=0
         sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
         ip addr add {v4}.1/24 dev {end}; ip addr add {v6}:1/64 dev {end} nodad
         ip link set {end} up"
    ));
    pod.sh(&format!(
        "sysctl -qw net.ipv6.conf.eth0.accept_dad=0
         ip link set lo up; ip addr add {v4}.2/24 dev eth0
         ip addr add {v6}:2/64 dev eth0 nodad; ip link set eth0 up
         ip route add default via {v4}.1; ip route add default via {v6}:1"
    ));
    let mut ips = [
        json!({ "address": format!("{v4}.2/24"), "gateway": format!("{v4}.1"), "interface": 1 }),
        json!({ "address": format!("{v6}:2/64"), "gateway": format!("{v6}:1"), "interface": 1 }),
    ];
    with_families(&mut ips, version);
    json!({
        "cniVersion": version,
        "interfaces": [
            { "name": end, "mac": mac(host, &end) },
            { "name": "eth0", "mac": mac(pod, "eth0"), "sandbox": pod.path() }
        ],
        "ips": ips,
        "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }],
        "dns": {}
    })
}

/// Adds the family of an IPv4 and an IPv6 address, which results have until 0.4.0.
fn with_families(ips: &mut [Value; 2], version: &str) {
    if version.starts_with("0.") {
        for (ip, family) in ips.iter_mut().zip(["4", "6"]) {
            set(ip, "version", family);
        }
    }
}

/// The MAC address of a link.
fn mac(pod: &Pod, link: &str) -> Value {
    let links = pod.run(&["ip", "-j", "link", "show", link]);
    let links: Value = serde_json::from_str(&links).unwrap_or_default();
    links.pointer("/0/address").cloned().unwrap_or_default()
}
