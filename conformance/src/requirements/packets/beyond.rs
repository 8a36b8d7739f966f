//! Outside networks, and containers with unusual settings.

use std::net::IpAddr;

use serde_json::{Value, json};
use testbed::{Outside, Pod};

use super::reach::{peer, settled, targets};
use crate::fixture::Fixture;
use crate::ipam;
use crate::isolation::broken;
use crate::json::set;
use crate::linux::{self, added_without_dad, without_dad};
use crate::verdict::{NotPassed, OutcomeExt, TestResult, ensure, failed};

/// The host's addresses on the veth pair to the outside machine.
const OWN: [&str; 2] = ["192.0.2.1", "2001:db8:ffff::1"];

/// An outside machine without a route to containers: it sees only the host's addresses.
fn world(fixture: &Fixture) -> Result<Outside, NotPassed> {
    match linux::link(&fixture.host, "uplink") {
        None => Ok(fixture.host.outside()),
        Some(_) => Err(NotPassed::Untestable("the profile has a link called uplink".to_owned())),
    }
}

/// Whether `client` reaches the outside machine with the host's source addresses, over IPv4 and
/// IPv6 as it has addresses.
fn leaves_as_host(done: &str, client: &Pod, outside: &Outside, result: &Value) -> TestResult {
    let targets = targets(result)?;
    for (target, own) in [outside.v4, outside.v6].into_iter().zip(OWN) {
        let target = parsed(target)?;
        if !targets.iter().any(|ip| ip.is_ipv4() == target.is_ipv4()) {
            continue;
        }
        let done = format!("{done}, then TCP to {target} outside");
        settled(&done, client, &[target])?;
        let expected = format!("a connection that comes from the host's {own}");
        match client.tcp(outside, target, 1) {
            Ok(exchange) => {
                ensure(Ok(exchange.from.ip()) == own.parse(), done, expected, exchange.from)?;
            }
            Err(error) => return Err(failed(done, expected, error)),
        }
    }
    Ok(())
}

fn parsed(text: &str) -> Result<IpAddr, NotPassed> {
    text.parse().map_err(|_| NotPassed::Untestable(format!("{text} is no address")))
}

pub(super) fn outside(fixture: &Fixture) -> TestResult {
    let outside = world(fixture)?;
    let (container, result) = added_without_dad(fixture, "c1")?;
    leaves_as_host("ADD", &container.pod, &outside, &result)
}

pub(super) fn after_del(fixture: &Fixture) -> TestResult {
    let outside = world(fixture)?;
    let (stays, result) = added_without_dad(fixture, "c1")?;
    let (goes, _) = added_without_dad(fixture, "c2")?;
    fixture.call(&goes).del().succeeds()?;
    leaves_as_host("ADD of c1 and c2, DEL of c2", &stays.pod, &outside, &result)
}

pub(super) fn inside(fixture: &Fixture) -> TestResult {
    let _outside = world(fixture)?;
    let (one, first) = added_without_dad(fixture, "c1")?;
    let (two, second) = added_without_dad(fixture, "c2")?;
    let own = targets(&first)?;
    for target in targets(&second)? {
        settled("ADD of c1 and c2", &one.pod, &[target])?;
        let done = format!("ADD of c1 and c2, then TCP from c1 to {target}");
        let expected = "a connection that comes from an address of c1";
        match one.pod.tcp(&two.pod, target, 1) {
            Ok(exchange) => {
                ensure(own.contains(&exchange.from.ip()), done, expected, exchange.from)?;
            }
            Err(error) => return Err(failed(done, expected, error)),
        }
    }
    Ok(())
}

pub(super) fn without_ipv6(fixture: &Fixture) -> TestResult {
    if fixture.profile.config.get("ipam").is_none() {
        return Err(NotPassed::NotApplicable(
            "applies to plugins that call an IPAM plugin".to_owned(),
        ));
    }
    let peer = peer(fixture)?;
    let container = without_dad(fixture, "c1");
    container
        .pod
        .sh("for link in all default lo; do sysctl -qw net.ipv6.conf.$link.disable_ipv6=1; done");
    let mut answer = json!({
        "cniVersion": fixture.version(),
        "ips": [{ "address": "10.1.2.99/24", "gateway": "10.1.2.1" }],
        "routes": [{ "dst": "0.0.0.0/0" }]
    });
    if !fixture.is_from("1.0.0") {
        answer.pointer_mut("/ips/0").into_iter().for_each(|ip| set(ip, "version", "4"));
    }
    ipam::answer("ADD", answer, 0).unwrap_or_else(|error| broken(&error));
    let call = fixture.call(&container).with(|cni| cni.key("ipam", json!({ "type": ipam::NAME })));
    let result = call.attach()?;
    settled("ADD with disable_ipv6=1 in the container", &peer, &targets(&result)?)
}
