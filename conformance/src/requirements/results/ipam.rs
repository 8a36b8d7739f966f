//! What of an address management plugin's answer is in the result.

use serde_json::{Value, json};

use crate::bench::{Bench, set};
use crate::ipam;
use crate::requirement::{Judge, Stop, Verdict, ensure, failed};
use crate::requirements::delegation::{answer, config};

use super::container;
use super::shape::{self, Ip};

/// The result of ADD with the kit's address management plugin, which says that.
fn result(bench: &Bench, config: &Value, said: &Value) -> Result<Value, Stop> {
    ipam::answer("ADD", said, 0).unwrap_or_else(|error| crate::bench::broken(&error));
    let container = container(bench, "one");
    let call = bench.call_with(config);
    let call = call.with(|cni| cni.container(&container.id).netns(&container.pod).ifname("eth0"));
    call.add().succeeds()
}

pub(super) fn index(bench: &Bench) -> Verdict {
    let result = result(bench, &config(bench), &answer(bench))?;
    let interfaces = shape::interfaces(&result)?;
    let ours = |ip: &Ip| {
        let interface = ip.interface.and_then(|index| interfaces.get(index));
        interface.is_some_and(|found| found.name == "eth0" && !found.sandbox.is_empty())
    };
    let right = shape::ips(&result)?.iter().all(ours);
    ensure(right, "ADD", "`interface` of each of `ips` the index of eth0", result)
}

pub(super) fn addresses(bench: &Bench) -> Verdict {
    let said = answer(bench);
    let result = result(bench, &config(bench), &said)?;
    let plain = |result: &Value| {
        let ips = shape::ips(result)?;
        let mut plain: Vec<_> = ips.into_iter().map(|ip| (ip.address, ip.gateway)).collect();
        plain.sort();
        Ok(plain)
    };
    ensure(plain(&result)? == plain(&said)?, "ADD", format!("the addresses of {said}"), result)
}

pub(super) fn routes(bench: &Bench) -> Verdict {
    let mut said = answer(bench);
    let mut routes =
        vec![json!({ "dst": "0.0.0.0/0" }), json!({ "dst": "203.0.113.0/24", "gw": "10.1.2.1" })];
    if !bench.profile.ipv4_only {
        routes.push(json!({ "dst": "2001:db8:5::/48", "gw": "fd00:1:2::1" }));
    }
    set(&mut said, "routes", routes);
    let result = result(bench, &config(bench), &said)?;
    let found = shape::routes(&result)?;
    for route in shape::routes(&said)? {
        // A route without a next hop may be told with the one that it got.
        let told = |other: &&shape::Route| {
            other.dst == route.dst && (route.gw.is_none() || other.gw == route.gw)
        };
        let expected = format!("the route {} among `routes`", route.keys);
        ensure(found.iter().any(|other| told(&other)), "ADD", expected, &result)?;
    }
    Ok(())
}

pub(super) fn route_attributes(bench: &Bench) -> Verdict {
    let mut said = answer(bench);
    let route = json!({ "dst": "203.0.113.0/24", "gw": "10.1.2.1", "mtu": 1300, "advmss": 1200, "priority": 50,
        "table": 100, "scope": 0 });
    set(&mut said, "routes", json!([route.clone()]));
    let result = result(bench, &config(bench), &said)?;
    let found = shape::routes(&result)?;
    let keys = ["mtu", "advmss", "priority", "table", "scope"];
    let told = |other: &shape::Route| {
        let same = |key: &&str| match (other.keys.get(*key), route.get(*key)) {
            // The scope of a route through a next hop is 0 without saying so.
            (None, Some(value)) => *key == "scope" && value == 0,
            (said, value) => said == value,
        };
        other.dst.to_string() == "203.0.113.0/24" && keys.iter().all(same)
    };
    ensure(found.iter().any(told), "ADD", format!("the route {route} among `routes`"), result)
}

/// Later versions no longer say it.
pub(super) fn old_dns(bench: &Bench) -> Verdict {
    match bench.is_from("1.0.0") {
        true => Err(Stop::Absent("is said in versions before 1.0.0".to_owned())),
        false => dns(bench),
    }
}

pub(super) fn dns(bench: &Bench) -> Verdict {
    let mut said = answer(bench);
    set(&mut said, "dns", servers());
    let mut config = config(bench);
    if let Some(keys) = config.as_object_mut() {
        keys.remove("dns");
    }
    has_servers(&result(bench, &config, &said)?)
}

pub(super) fn configured_dns(bench: &Bench) -> Verdict {
    let mut config = config(bench);
    set(&mut config, "dns", servers());
    has_servers(&result(bench, &config, &answer(bench))?)
}

fn servers() -> Value {
    json!({ "nameservers": ["192.0.2.53", "2001:db8::53"], "domain": "example.net",
        "search": ["example.net", "example.org"], "options": ["ndots:2"] })
}

fn has_servers(result: &Value) -> Verdict {
    shape::dns(result)?;
    match result.get("dns") == Some(&servers()) {
        true => Ok(()),
        false => Err(failed("ADD", format!("`dns` {}", servers()), result)),
    }
}
