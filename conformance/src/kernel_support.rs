//! Detects which kinds of links this kernel supports, of those that the profiles need.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use testbed::Node;

use crate::isolation::{self, Task};
use crate::timeout;

/// The task that probes the kernel for kinds of links, by their names in profiles.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Probe(Vec<String>);

impl Task for Probe {
    const NAME: &'static str = "probe";
    type Answer = BTreeMap<String, String>;
}

/// The kinds of links that this kernel does not support, each with the reason.
///
/// # Errors
///
/// If the namespaces cannot be made.
pub fn missing(mut kinds: Vec<String>) -> Result<BTreeMap<String, String>, String> {
    kinds.sort();
    kinds.dedup();
    isolation::run(&Probe(kinds), timeout::CASE)
}

/// Whether a need is a program of the machine, and not a kind of link.
pub fn is_program(need: &str) -> bool {
    ["iptables", "udhcpd"].contains(&need)
}

/// Tries to create each kind of link on a host of its own.
pub fn probe(Probe(kinds): &Probe) -> BTreeMap<String, String> {
    let host = Node::new();
    host.sh("ip link add parent type veth peer name parent-peer");
    let lack = |kind: &String| {
        let command = match kind.as_str() {
            // The first call of each program also loads kernel modules.
            "iptables" => "iptables -w -t nat -S && ip6tables -w -t nat -S".to_owned(),
            "udhcpd" => "busybox udhcpd --help".to_owned(),
            "bridge-vlan" => "ip link add probe type bridge vlan_filtering 1".to_owned(),
            "veth" => "ip link add probe type veth peer name probe-peer".to_owned(),
            "vlan" => "ip link add probe link parent type vlan id 5".to_owned(),
            "vrf" => "ip link add probe type vrf table 9".to_owned(),
            "ipip" => "ip link add probe type ipip local 192.0.2.1 remote 192.0.2.2".to_owned(),
            "tap" => "ip tuntap add mode tap name probe".to_owned(),
            "macvlan" | "ipvlan" => format!("ip link add probe link parent type {kind}"),
            other => format!("ip link add probe type {other}"),
        };
        let made = host.try_run(&["sh", "-c", &command]);
        host.try_run(&["ip", "link", "del", "probe"]);
        let why = match kind.as_str() {
            program if is_program(program) => {
                format!("{program} does not work here: {}", made.stderr.trim())
            }
            _ => format!("this kernel makes no {kind}: {}", made.stderr.trim()),
        };
        (!made.status.success()).then(|| (kind.clone(), why))
    };
    kinds.iter().filter_map(lack).collect()
}
