//! Pods that cannot be started: containerd reports the plugin's error, and nothing is left of them.

use e2e::Sandbox;
use serde_json::{Value, json};

use crate::networks::{self, then, with};
use crate::scene::Scene;

/// The last plugin of the chain fails on any kernel: the parent link of its tunnel does not exist.
#[test]
fn the_last_plugin_fails() {
    let scene = Scene::new(&networks::bridge());
    let Scene { containerd, machine, .. } = &scene;
    let peers = json!([{ "node": "192.0.2.7", "podCIDRs": ["10.88.7.0/24"] }]);
    let ipip = json!({ "type": "ipip", "local": "nosuch0", "peers": peers });
    containerd.network_on(machine, &then(networks::bridge(), ipip));
    let error = containerd.run_sandbox(&Sandbox::new("a")).unwrap_err();
    assert!(error.contains(r#"plugin type="ipip" failed (add)"#), "{error}");
    assert!(error.contains("local nosuch0 is no interface with an IPv4 address"), "{error}");
    scene.is_clean();

    containerd.network_on(machine, &networks::bridge());
    let pod = containerd.pod("a");
    assert!(pod.addresses().iter().all(|address| machine.ping(address)));
    drop(pod);
    scene.is_clean();
}

/// The first plugin fails: there are more pods than addresses.
#[test]
fn the_addresses_are_used_up() {
    let scene = Scene::new(&with(networks::bridge(), json!({ "ipam": three_addresses() })));
    let Scene { containerd, machine, .. } = &scene;
    let (a, b) = (containerd.pod("a"), containerd.pod("b"));
    let full = scene.state();
    for name in ["c", "d"] {
        let error = containerd.run_sandbox(&Sandbox::new(name)).unwrap_err();
        assert!(error.contains(r#"plugin type="bridge" failed (add)"#), "{error}");
        assert!(error.contains("no IP addresses available in range set"), "{error}");
        testbed::assert_same!(full, scene.state(), "{name}");
    }
    for address in b.addresses() {
        assert!(a.ping(address) && machine.ping(address), "{address}");
    }
    let freed = a.addresses().to_vec();
    drop(a);
    let c = containerd.pod("c");
    assert_eq!(c.addresses()[0], freed[0]);
    assert!(c.addresses().iter().all(|address| machine.ping(address) && b.ping(address)));
    drop((b, c));
    scene.is_clean();
}

/// One IPv4 address for the gateway and two for pods; enough IPv6 addresses.
fn three_addresses() -> Value {
    let range = json!({ "subnet": "10.88.0.0/24", "rangeEnd": "10.88.0.3" });
    json!({ "type": "host-local", "ranges": [[range], [{ "subnet": "fd00:88::/64" }]] })
}
