//! The configurations of `bridge` and `ptp` whose plans are snapshots. These plans need no look at
//! the host.

use serde_json::{Value, json};
use testbed::plan::{dual, v4};

/// A configuration: the name of its snapshot, the plugin, and the keys.
pub type Case = (String, &'static str, Value);

/// All of them.
pub fn all() -> Vec<Case> {
    bridge().into_iter().chain(ptp()).chain([("loopback".into(), "loopback", json!({}))]).collect()
}

fn bridge() -> Vec<Case> {
    let routes = json!({ "type": "host-local", "dataDir": "/nowhere", "subnet": "10.1.2.0/24", "routes": [
        { "dst": "0.0.0.0/0" },
        { "dst": "10.8.0.0/16", "gw": "10.1.2.9", "mtu": 1200, "advmss": 1000, "priority": 7 },
        { "dst": "10.9.0.0/16", "table": 100 },
        { "dst": "10.10.0.0/16", "scope": 253 }
    ]});
    let dns = json!({ "nameservers": ["10.1.2.53"], "domain": "pods.test", "search": ["a.test"], "options": ["ndots:2"] });
    let cases = [
        ("layer_2", json!({})),
        ("gateway", json!({ "isGateway": true, "ipam": v4() })),
        ("default_gateway", json!({ "isDefaultGateway": true, "ipam": dual() })),
        ("force_address", json!({ "isGateway": true, "forceAddress": true, "ipam": v4() })),
        ("masquerade", json!({ "isDefaultGateway": true, "ipMasq": true, "ipam": dual() })),
        (
            "masquerade_beyond",
            json!({ "isGateway": true, "ipMasq": true, "ipMasqBeyond": ["10.0.0.0/8"], "ipam": v4() }),
        ),
        (
            "masquerade_iptables",
            json!({ "isGateway": true, "ipMasq": true, "ipMasqBackend": "iptables", "ipam": dual() }),
        ),
        ("mtu", json!({ "mtu": 1400 })),
        ("hairpin", json!({ "hairpinMode": true })),
        ("promiscuous", json!({ "promiscMode": true })),
        ("spoof_check", json!({ "macspoofchk": true })),
        ("duplicate_detection", json!({ "enabledad": true, "ipam": dual() })),
        ("interface_down", json!({ "disableContainerInterface": true })),
        ("isolation", json!({ "portIsolation": true })),
        ("routes", json!({ "ipam": routes })),
        ("dns", json!({ "dns": dns, "ipam": v4() })),
    ];
    let case = |(name, mut keys): (&str, Value)| {
        keys["bridge"] = "cbr0".into();
        (format!("bridge_{name}"), "bridge", keys)
    };
    cases.into_iter().map(case).collect()
}

fn ptp() -> Vec<Case> {
    let routes = json!({ "type": "host-local", "dataDir": "/nowhere",
        "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]],
        "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }, { "dst": "10.8.0.0/16", "gw": "10.1.2.9" }] });
    let cases = [
        ("single_stack", json!({ "ipam": v4() })),
        ("dual_stack", json!({ "ipMasq": true, "ipam": routes })),
        ("mtu", json!({ "mtu": 1400, "ipam": v4() })),
        (
            "masquerade_iptables",
            json!({ "ipMasq": true, "ipMasqBackend": "iptables", "ipam": v4() }),
        ),
    ];
    cases.into_iter().map(|(name, keys)| (format!("ptp_{name}"), "ptp", keys)).collect()
}
