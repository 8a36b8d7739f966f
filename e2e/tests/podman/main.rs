//! podman 4 calls the plugins with its CNI backend: on networks with a given configuration, and on
//! those that it makes itself.
#![cfg(test)]

mod defaults;
mod failures;
mod kit;
mod life;
mod networks;

use serde_json::{Value, json};

/// A network, in the newest version that podman 4 reads.
fn network(name: &str, plugins: Value) -> Value {
    json!({ "cniVersion": "1.0.0", "name": name, "plugins": plugins })
}

/// Dual stack behind a bridge: the network `pods`.
fn bridge() -> Value {
    let plugin = json!({
        "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true,
        "ipam": addresses(88, &["0.0.0.0/0", "::/0"])
    });
    network("pods", json!([plugin]))
}

/// Dual stack with veth pairs: the network `wires`.
fn ptp(routes: &[&str]) -> Value {
    let plugin = json!({ "type": "ptp", "ipMasq": true, "ipam": addresses(89, routes) });
    network("wires", json!([plugin]))
}

/// `10.N.0.0/24` and `fd00:N::/64`.
fn addresses(n: u8, routes: &[&str]) -> Value {
    let routes: Vec<Value> = routes.iter().map(|dst| json!({ "dst": dst })).collect();
    json!({
        "type": "host-local", "routes": routes,
        "ranges": [[{ "subnet": format!("10.{n}.0.0/24") }], [{ "subnet": format!("fd00:{n}::/64") }]]
    })
}
