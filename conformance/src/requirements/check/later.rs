//! Changes by later plugins of a chain, which CHECK must accept.

use serde_json::{Value, json};

use super::super::steps::{attached, only_from, succeeds_without_output, with_input};
use super::{destinations, without_route};
use crate::fixture::{Fixture, sandbox_interface};
use crate::json::set;
use crate::verdict::{NotPassed, TestResult};

pub(super) fn more_than_before(fixture: &Fixture) -> TestResult {
    only_from(fixture, "0.4.0")?;
    let (container, result) = attached(fixture, "a")?;
    let more = "ip addr add 198.51.100.7/32 dev eth0; ip route add 203.0.113.0/24 dev eth0
                ip addr add 2001:db8::7/128 dev eth0 nodad; ip route add 2001:db8:1::/64 dev eth0";
    container.pod.sh(more);
    let done = "an address and a route of each family were added to eth0";
    with_input(done, succeeds_without_output(&fixture.call(&container).check(&result)))
}

pub(super) fn later_mac(fixture: &Fixture) -> TestResult {
    only_from(fixture, "0.4.0")?;
    let (container, mut result) = attached(fixture, "a")?;
    let old = sandbox_interface(&result, "eth0")?.get("mac").cloned();
    let mac = "02:00:5e:10:00:01";
    let changed = container.pod.try_run(&["ip", "link", "set", "eth0", "address", mac]);
    if old.is_none() || !changed.status.success() {
        return Err(NotPassed::NotApplicable(
            "the interface has no MAC address that can be changed".to_owned(),
        ));
    }
    let interfaces = result.get_mut("interfaces").and_then(Value::as_array_mut);
    for interface in interfaces.into_iter().flatten() {
        if interface.get("name").is_some_and(|name| name == "eth0") {
            set(interface, "mac", mac);
        }
    }
    let done = format!("a later plugin gave eth0 the MAC address {mac}, also in prevResult");
    with_input(done, succeeds_without_output(&fixture.call(&container).check(&result)))
}

pub(super) fn later_routes(fixture: &Fixture) -> TestResult {
    only_from(fixture, "0.4.0")?;
    let (container, mut result) = attached(fixture, "a")?;
    let Some(route) = destinations(&result).first().cloned() else {
        return Err(NotPassed::NotApplicable("the result has no routes".to_owned()));
    };
    container.pod.sh(&without_route(&route));
    if let Some(routes) = result.get_mut("routes").and_then(Value::as_array_mut) {
        routes.remove(0);
    }
    let done = format!("a later plugin took the route to {route} away, also from prevResult");
    with_input(done, succeeds_without_output(&fixture.call(&container).check(&result)))
}

pub(super) fn later_interfaces(fixture: &Fixture) -> TestResult {
    only_from(fixture, "0.4.0")?;
    let (container, mut result) = attached(fixture, "a")?;
    // Two links on the host, as a plugin for bandwidth makes them, and one in the container.
    fixture.host.sh("ip link add later0 type veth peer name later1");
    container.pod.sh("ip link add later2 type veth peer name later3");
    if let Some(interfaces) = result.get_mut("interfaces").and_then(Value::as_array_mut) {
        interfaces.push(json!({ "name": "later0" }));
        interfaces.push(json!({ "name": "later2", "sandbox": container.pod.path() }));
    }
    let done = "later plugins made later0 on the host and later2 in the container";
    with_input(done, succeeds_without_output(&fixture.call(&container).check(&result)))
}
