//! `bridge` on a real kernel: the objects it makes, the packets that pass and those that do not,
//! and the state after DEL.
#![cfg(test)]

mod life;
mod others;
mod packets;
mod settings;

use serde_json::{Value, json};
use testbed::{Cni, Node, Pod};

/// The main configuration: dual stack, gateway on the bridge, masquerade.
fn main_config() -> Value {
    json!({
        "cniVersion": "1.1.0",
        "name": "pods",
        "type": "bridge",
        "bridge": "cbr0",
        "isDefaultGateway": true,
        "ipMasq": true,
        "ipam": {
            "type": "host-local",
            "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]]
        }
    })
}

/// As [`main_config`], with other keys.
fn config(keys: Value) -> Value {
    let mut config = main_config();
    let (Value::Object(config_keys), Value::Object(keys)) = (&mut config, keys) else {
        unreachable!()
    };
    config_keys.extend(keys);
    config
}

fn call(node: &Node, config: &Value, pod: &Pod) -> Cni {
    node.plugin("bridge").conf(config).container(pod.name()).netns(pod)
}

/// Connects a pod and returns its addresses, IPv4 first.
#[track_caller]
fn join(node: &Node, config: &Value, pod: &Pod) -> Vec<String> {
    addresses(&call(node, config, pod).add().ok())
}

fn addresses(result: &Value) -> Vec<String> {
    let ips = result["ips"].as_array().unwrap().iter();
    ips.map(|ip| ip["address"].as_str().unwrap().split('/').next().unwrap().to_owned()).collect()
}

/// The name of the host's end of a result's veth pair.
fn host_end(result: &Value) -> String {
    result["interfaces"][1]["name"].as_str().unwrap().to_owned()
}

const GATEWAYS: [&str; 2] = ["10.1.2.1", "fd00:1:2::1"];

/// The files with the last assigned address.
fn without_counters(state: &str) -> String {
    state.lines().filter(|line| !line.contains("last_reserved_ip")).collect::<Vec<_>>().join("\n")
}

/// The state without the directory that host-local made for a network; it stays, empty except for
/// its lock.
fn without_network(state: &str, network: &str) -> String {
    let folder = format!("/var/lib/cni/networks/{network}");
    state.split_inclusive('\n').filter(|line| !line.contains(&folder)).collect()
}
