//! `macvlan` on a real kernel: the objects it makes, the packets that pass and those that do not,
//! and the state after DEL.
#![cfg(test)]

mod at_once;
mod changes;
mod down;
mod host_access;
mod host_routes;
mod leftovers;
mod network;
mod parents;
mod settings;
mod takeover;

use serde_json::{Value, json};
use testbed::{Cni, Node, Outside, Pod};

/// A node on a network: `uplink` is its link there, and the network has one other host.
struct Lan {
    node: Node,
    outside: Outside,
}

/// The node's own addresses on the network.
const HOST: [&str; 2] = ["192.0.2.1", "2001:db8:ffff::1"];

/// Dual stack on the network's own subnets.
fn config(keys: Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.1.0",
        "name": "lan",
        "type": "macvlan",
        "master": "uplink",
        "ipam": {
            "type": "host-local",
            "ranges": [
                [{ "subnet": "192.0.2.0/24", "rangeStart": "192.0.2.100" }],
                [{ "subnet": "2001:db8:ffff::/64", "rangeStart": "2001:db8:ffff::100" }]
            ]
        }
    });
    let (Value::Object(all), Value::Object(keys)) = (&mut config, keys) else { unreachable!() };
    all.extend(keys);
    config.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    config
}

/// As [`config`], with one free address of each family.
fn one_address(keys: Value) -> Value {
    let mut config = config(keys);
    config["ipam"]["ranges"] = json!([
        [{ "subnet": "192.0.2.0/24", "rangeStart": "192.0.2.100", "rangeEnd": "192.0.2.100" }],
        [{ "subnet": "2001:db8:ffff::/64", "rangeStart": "2001:db8:ffff::100", "rangeEnd": "2001:db8:ffff::100" }]
    ]);
    config
}

/// Without addresses.
fn layer_2(keys: Value) -> Value {
    let mut config = config(keys);
    config.as_object_mut().unwrap().remove("ipam");
    config
}

impl Lan {
    fn new() -> Lan {
        let node = Node::new();
        let outside = node.outside();
        Lan { node, outside }
    }

    fn call(&self, config: &Value, pod: &Pod) -> Cni {
        self.node.plugin("macvlan").conf(config).container(pod.name()).netns(pod)
    }

    /// Connects a new pod, and returns its addresses too, IPv4 first.
    #[track_caller]
    fn join(&self, config: &Value, name: &str) -> (Pod, Vec<String>) {
        let pod = self.node.pod(name);
        let addresses = addresses(&self.call(config, &pod).add().ok());
        (pod, addresses)
    }

    /// The names of the host's links to containers.
    fn shims(&self) -> Vec<String> {
        let links = self.node.sh("ip -br link show type macvlan");
        links.lines().map(|line| line.split('@').next().unwrap().to_owned()).collect()
    }
}

fn addresses(result: &Value) -> Vec<String> {
    let ips = result["ips"].as_array().unwrap().iter();
    ips.map(|ip| ip["address"].as_str().unwrap().split('/').next().unwrap().to_owned()).collect()
}

/// The state without what host-local leaves when an address is released.
fn lasting(state: &str) -> String {
    state.split_inclusive('\n').filter(|line| !line.contains("/var/lib/cni/networks")).collect()
}

/// Runs `work` on a node of its own: a node is a thread.
fn on_a_lan<T: Send>(work: impl FnOnce(Lan) -> T + Send) -> T {
    let done = std::thread::scope(|scope| scope.spawn(|| work(Lan::new())).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
