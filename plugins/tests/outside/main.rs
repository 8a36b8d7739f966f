//! Conditions outside a plugin: the destination of its answer, the content of its directories, its
//! input, and the readers of its output.
#![cfg(test)]

mod about;
mod answer;
mod files;
mod input;
mod names;
mod printed;
mod told;

use serde_json::{Value, json};

/// The plugins that connect a container to a network, with a working configuration.
fn plugins() -> Vec<Value> {
    let ipam = json!({ "type": "host-local", "subnet": "10.1.2.0/24" });
    let network = |kind: &str, keys: Value| {
        let mut config =
            json!({ "cniVersion": "1.1.0", "name": "pods", "type": kind, "ipam": ipam });
        config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        config
    };
    let peers = json!([{ "node": "192.0.2.2", "podCIDRs": ["10.1.3.0/24"] }]);
    vec![
        network("bridge", json!({ "bridge": "cbr0", "isGateway": true, "ipMasq": true })),
        network("ptp", json!({ "ipMasq": true })),
        network("macvlan", json!({ "master": "uplink" })),
        network("ipip", json!({ "mtu": 1480, "peers": peers })),
    ]
}

/// The plugin type in a configuration.
fn kind(config: &Value) -> &str {
    config["type"].as_str().unwrap()
}
