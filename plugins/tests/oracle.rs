//! The reference suite as the oracle: both suites make the same from a configuration.
#![cfg(test)]

use serde_json::{Value, json};
use testbed::assert_same_as_reference;

fn bridge(keys: Value) -> Value {
    let mut config =
        json!({ "cniVersion": "1.0.0", "name": "pods", "type": "bridge", "bridge": "cbr0" });
    let (Value::Object(all), Value::Object(keys)) = (&mut config, keys) else { unreachable!() };
    all.extend(keys);
    config
}

fn v4() -> Value {
    json!({ "type": "host-local", "subnet": "10.1.2.0/24" })
}

fn dual() -> Value {
    json!({
        "type": "host-local",
        "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]],
        "routes": [{ "dst": "0.0.0.0/0" }, { "dst": "::/0" }, { "dst": "10.7.0.0/16", "gw": "10.1.2.9" }]
    })
}

#[test]
fn bridge_layer_2() {
    assert_same_as_reference("bridge", bridge(json!({})), "");
    assert_same_as_reference("bridge", bridge(json!({ "mtu": 1400, "promiscMode": true })), "");
    assert_same_as_reference(
        "bridge",
        bridge(json!({ "hairpinMode": true })),
        "MAC=02:00:5e:10:00:01",
    );
    assert_same_as_reference(
        "bridge",
        bridge(json!({ "bridge": "a-name-too-long-for-linux" })),
        "",
    );
    assert_same_as_reference("bridge", bridge(json!({ "vlan": 5000 })), "");
}

#[test]
fn bridge_with_addresses() {
    assert_same_as_reference("bridge", bridge(json!({ "ipam": v4() })), "");
    assert_same_as_reference("bridge", bridge(json!({ "ipam": dual() })), "");
    assert_same_as_reference(
        "bridge",
        bridge(json!({ "isGateway": true, "ipam": v4() })),
        "IgnoreUnknown=1;A=b",
    );
    assert_same_as_reference("bridge", bridge(json!({ "isGateway": true, "ipam": dual() })), "");
    assert_same_as_reference(
        "bridge",
        bridge(json!({ "isDefaultGateway": true, "ipam": v4() })),
        "",
    );
}

#[test]
fn bridge_masquerade() {
    let iptables = json!({ "isGateway": true, "ipMasq": true, "ipam": dual() });
    assert_same_as_reference("bridge", bridge(iptables), "");
}

#[test]
fn bridge_dns_and_versions() {
    let dns = json!({ "nameservers": ["10.1.2.53"], "domain": "pods.test", "search": ["a.test"], "options": ["ndots:2"] });
    assert_same_as_reference("bridge", bridge(json!({ "ipam": v4(), "dns": dns })), "");
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"] {
        let keys = json!({ "cniVersion": version, "isGateway": true, "ipam": dual() });
        assert_same_as_reference("bridge", bridge(keys), "");
    }
}

#[test]
fn bridge_odd_spellings() {
    let keys = json!({ "ISGATEWAY": true, "Mtu": 1300, "Ipam": { "Type": "host-local", "SubNet": "10.1.2.0/24" } });
    assert_same_as_reference("bridge", bridge(keys), "");
}

fn ptp(keys: Value) -> Value {
    let mut config = json!({ "cniVersion": "1.0.0", "name": "pods", "type": "ptp" });
    let (Value::Object(all), Value::Object(keys)) = (&mut config, keys) else { unreachable!() };
    all.extend(keys);
    config
}

#[test]
fn ptp_veth_pairs() {
    assert_same_as_reference("ptp", ptp(json!({ "ipam": v4() })), "");
    assert_same_as_reference("ptp", ptp(json!({ "ipam": dual(), "mtu": 1400 })), "MAC=zz");
    assert_same_as_reference("ptp", ptp(json!({ "ipam": dual(), "ipMasq": true })), "");
    assert_same_as_reference("ptp", ptp(json!({})), "");
}

#[test]
fn ptp_dns_and_versions() {
    let dns = json!({ "nameservers": ["10.1.2.53"], "domain": "pods.test", "search": ["a.test"], "options": ["ndots:2"] });
    assert_same_as_reference("ptp", ptp(json!({ "ipam": v4(), "dns": dns })), "");
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0"] {
        assert_same_as_reference("ptp", ptp(json!({ "cniVersion": version, "ipam": dual() })), "");
    }
}

fn macvlan(keys: Value) -> Value {
    let mut config = json!({ "cniVersion": "1.0.0", "name": "pods", "type": "macvlan" });
    let (Value::Object(all), Value::Object(keys)) = (&mut config, keys) else { unreachable!() };
    all.extend(keys);
    config
}

#[test]
fn macvlan_layer_2() {
    assert_same_as_reference("macvlan", macvlan(json!({})), "");
    assert_same_as_reference("macvlan", macvlan(json!({ "master": "uplink", "mtu": 1400 })), "");
    assert_same_as_reference("macvlan", macvlan(json!({ "mode": "private" })), "");
    assert_same_as_reference("macvlan", macvlan(json!({ "mode": "vepa", "bcqueuelen": 70 })), "");
    assert_same_as_reference("macvlan", macvlan(json!({ "mode": "zz" })), "");
    assert_same_as_reference("macvlan", macvlan(json!({ "mtu": 1501 })), "");
    assert_same_as_reference("macvlan", macvlan(json!({ "MASTER": "uplink", "Mtu": 1300 })), "");
}

#[test]
fn macvlan_with_addresses() {
    assert_same_as_reference("macvlan", macvlan(json!({ "ipam": v4() })), "IgnoreUnknown=1;A=b");
    assert_same_as_reference("macvlan", macvlan(json!({ "ipam": dual() })), "");
    for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0"] {
        let keys = json!({ "cniVersion": version, "ipam": dual() });
        assert_same_as_reference("macvlan", macvlan(keys), "");
    }
    let dns = json!({ "nameservers": ["10.1.2.53"], "domain": "pods.test", "search": ["a.test"], "options": ["ndots:2"] });
    assert_same_as_reference("macvlan", macvlan(json!({ "ipam": v4(), "dns": dns })), "");
}

#[test]
fn loopback() {
    let config = json!({ "cniVersion": "1.0.0", "name": "lo", "type": "loopback" });
    assert_same_as_reference("loopback", config, "");
}
