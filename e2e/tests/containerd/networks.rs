//! The networks of these tests. All are called `pods`.

use serde_json::{Value, json};

/// A bridge with the gateway's addresses; packets to the outside are masqueraded.
pub fn bridge() -> Value {
    list(json!({
        "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "ipam": ipam()
    }))
}

/// Routed veth pairs; packets to the outside are masqueraded.
pub fn ptp() -> Value {
    list(json!({ "type": "ptp", "ipMasq": true, "ipam": ipam() }))
}

/// The network of the machine's `uplink`; pods use the upper half.
pub fn macvlan() -> Value {
    list(json!({ "type": "macvlan", "master": "uplink", "ipam": {
        "type": "host-local",
        "ranges": [
            [{ "subnet": "192.0.2.0/24", "rangeStart": "192.0.2.128" }],
            [{ "subnet": "2001:db8:ffff::/64", "rangeStart": "2001:db8:ffff::8000" }]
        ]
    }}))
}

/// IPv4 and IPv6 addresses, and default routes.
fn ipam() -> Value {
    json!({
        "type": "host-local",
        "ranges": [[{ "subnet": "10.88.0.0/24" }], [{ "subnet": "fd00:88::/64" }]],
        "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }]
    })
}

/// In the newest version that containerd 1.6 supports; cnitool uses the newest of all, which has
/// GC.
fn list(plugin: Value) -> Value {
    json!({
        "cniVersion": "1.0.0", "cniVersions": ["1.0.0", "1.1.0"], "name": "pods", "plugins": [plugin]
    })
}

/// With other keys for its first plugin.
pub fn with(mut list: Value, keys: Value) -> Value {
    let (first, keys) = (list["plugins"][0].as_object_mut().unwrap(), keys.as_object().unwrap());
    first.extend(keys.clone());
    list
}

/// With another plugin at the end.
pub fn then(mut list: Value, plugin: Value) -> Value {
    list["plugins"].as_array_mut().unwrap().push(plugin);
    list
}
