//! The answer of an IPAM plugin in the result.

use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::ipam;
use crate::json::set;
use crate::requirements::steps::{kit_ipam_answer, kit_ipam_config};
use crate::verdict::{NotPassed, TestResult, ensure, failed};

use super::container;
use super::shape::{self, Ip};

/// The result of an ADD for which the kit's IPAM plugin returns `said`.
fn result(fixture: &Fixture, config: &Value, said: &Value) -> Result<Value, NotPassed> {
    ipam::answer("ADD", said, 0).unwrap_or_else(|error| crate::isolation::broken(&error));
    let container = container(fixture, "one");
    let call = fixture.call_with(config);
    let call = call.with(|cni| cni.container(&container.id).netns(&container.pod).ifname("eth0"));
    call.attach()
}

pub(super) fn index(fixture: &Fixture) -> TestResult {
    let result = result(fixture, &kit_ipam_config(fixture), &kit_ipam_answer(fixture))?;
    let interfaces = shape::interfaces(&result)?;
    let ours = |ip: &Ip| {
        let interface = ip.interface.and_then(|index| interfaces.get(index));
        interface.is_some_and(|found| found.name == "eth0" && !found.sandbox.is_empty())
    };
    let ips = shape::ips(&result)?;
    let right = !ips.is_empty() && ips.iter().all(ours);
    ensure(right, "ADD", "`interface` of each of `ips` the index of eth0", result)
}

pub(super) fn addresses(fixture: &Fixture) -> TestResult {
    let said = kit_ipam_answer(fixture);
    let result = result(fixture, &kit_ipam_config(fixture), &said)?;
    let plain = |result: &Value| {
        let ips = shape::ips(result)?;
        let mut plain: Vec<_> = ips.into_iter().map(|ip| (ip.address, ip.gateway)).collect();
        plain.sort();
        Ok(plain)
    };
    ensure(plain(&result)? == plain(&said)?, "ADD", format!("the addresses of {said}"), result)
}

pub(super) fn routes(fixture: &Fixture) -> TestResult {
    let mut said = kit_ipam_answer(fixture);
    let mut routes =
        vec![json!({ "dst": "0.0.0.0/0" }), json!({ "dst": "203.0.113.0/24", "gw": "10.1.2.1" })];
    if !fixture.profile.ipv4_only {
        routes.push(json!({ "dst": "2001:db8:5::/48", "gw": "fd00:1:2::1" }));
    }
    set(&mut said, "routes", routes);
    let result = result(fixture, &kit_ipam_config(fixture), &said)?;
    let found = shape::routes(&result)?;
    for route in shape::routes(&said)? {
        // The result may contain the next hop that a route without one got.
        let error = |other: &&shape::Route| {
            other.dst == route.dst && (route.gw.is_none() || other.gw == route.gw)
        };
        let expected = format!("the route {} among `routes`", route.keys);
        ensure(found.iter().any(|other| error(&other)), "ADD", expected, &result)?;
    }
    Ok(())
}

pub(super) fn route_attributes(fixture: &Fixture) -> TestResult {
    let mut said = kit_ipam_answer(fixture);
    let route = json!({ "dst": "203.0.113.0/24", "gw": "10.1.2.1", "mtu": 1300, "advmss": 1200, "priority": 50,
        "table": 100, "scope": 0 });
    set(&mut said, "routes", json!([route.clone()]));
    let result = result(fixture, &kit_ipam_config(fixture), &said)?;
    let found = shape::routes(&result)?;
    let keys = ["mtu", "advmss", "priority", "table", "scope"];
    let error = |other: &shape::Route| {
        let same = |key: &&str| match (other.keys.get(*key), route.get(*key)) {
            // A route with a next hop has scope 0 by default.
            (None, Some(value)) => *key == "scope" && value == 0,
            (said, value) => said == value,
        };
        other.dst.to_string() == "203.0.113.0/24" && keys.iter().all(same)
    };
    ensure(found.iter().any(error), "ADD", format!("the route {route} among `routes`"), result)
}

/// Later versions do not have it.
pub(super) fn old_dns(fixture: &Fixture) -> TestResult {
    match fixture.is_from("1.0.0") {
        true => Err(NotPassed::NotApplicable("applies to versions before 1.0.0".to_owned())),
        false => dns(fixture),
    }
}

pub(super) fn dns(fixture: &Fixture) -> TestResult {
    let mut said = kit_ipam_answer(fixture);
    set(&mut said, "dns", servers());
    let mut config = kit_ipam_config(fixture);
    if let Some(keys) = config.as_object_mut() {
        keys.remove("dns");
    }
    has_servers(&result(fixture, &config, &said)?)
}

pub(super) fn configured_dns(fixture: &Fixture) -> TestResult {
    let mut config = kit_ipam_config(fixture);
    set(&mut config, "dns", servers());
    has_servers(&result(fixture, &config, &kit_ipam_answer(fixture))?)
}

fn servers() -> Value {
    json!({ "nameservers": ["192.0.2.53", "2001:db8::53"], "domain": "example.net",
        "search": ["example.net", "example.org"], "options": ["ndots:2"] })
}

fn has_servers(result: &Value) -> TestResult {
    shape::dns(result)?;
    match result.get("dns") == Some(&servers()) {
        true => Ok(()),
        false => Err(failed("ADD", format!("`dns` {}", servers()), result)),
    }
}
