//! The plugins on hosts that are busy, or have an unusual configuration.
#![cfg(test)]

mod link_local;
mod no_ipv6;
mod read_only;
mod two_networks;
mod waits;

use serde_json::{Value, json};
use testbed::{Cni, Node, Pod};

/// A network of this plugin in these subnets, whose gateway is the host.
fn network(plugin: &str, name: &str, subnets: &[&str], keys: Value) -> Value {
    let ranges: Vec<Value> = subnets.iter().map(|subnet| json!([{ "subnet": subnet }])).collect();
    let mut config = json!({
        "cniVersion": "1.1.0",
        "name": name,
        "type": plugin,
        "ipam": { "type": "host-local", "ranges": ranges }
    });
    let (Value::Object(all), Value::Object(keys)) = (&mut config, keys) else { unreachable!() };
    all.extend(keys);
    config
}

fn call(node: &Node, config: &Value, pod: &Pod) -> Cni {
    let plugin = config["type"].as_str().unwrap();
    node.plugin(plugin).conf(config).container(pod.name()).netns(pod)
}
