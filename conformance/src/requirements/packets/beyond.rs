//! The world outside, and containers that are not like others.

use std::net::IpAddr;

use serde_json::{Value, json};
use testbed::{Outside, Pod};

use super::reach::{peer, settled, targets};
use crate::bench::{Bench, broken, set};
use crate::ipam;
use crate::linux::{self, hurried, hurried_added};
use crate::requirement::{Judge, Stop, Verdict, ensure, failed};

/// The host's addresses on the wire to the world outside.
const OWN: [&str; 2] = ["192.0.2.1", "2001:db8:ffff::1"];

/// A machine outside that knows no way back to containers, and sees the host's addresses only.
fn world(bench: &Bench) -> Result<Outside, Stop> {
    match linux::link(&bench.host, "uplink") {
        None => Ok(bench.host.outside()),
        Some(_) => Err(Stop::Untestable("the profile has a link called uplink".to_owned())),
    }
}

/// Whether `client` reaches the world outside under the host's addresses, in the families that it has.
fn leaves_as_host(done: &str, client: &Pod, outside: &Outside, result: &Value) -> Verdict {
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

fn parsed(text: &str) -> Result<IpAddr, Stop> {
    text.parse().map_err(|_| Stop::Untestable(format!("{text} is no address")))
}

pub(super) fn outside(bench: &Bench) -> Verdict {
    let outside = world(bench)?;
    let (container, result) = hurried_added(bench, "c1")?;
    leaves_as_host("ADD", &container.pod, &outside, &result)
}

pub(super) fn after_del(bench: &Bench) -> Verdict {
    let outside = world(bench)?;
    let (stays, result) = hurried_added(bench, "c1")?;
    let (goes, _) = hurried_added(bench, "c2")?;
    bench.call(&goes).del().succeeds()?;
    leaves_as_host("ADD of c1 and c2, DEL of c2", &stays.pod, &outside, &result)
}

pub(super) fn inside(bench: &Bench) -> Verdict {
    let _outside = world(bench)?;
    let (one, first) = hurried_added(bench, "c1")?;
    let (two, second) = hurried_added(bench, "c2")?;
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

pub(super) fn without_ipv6(bench: &Bench) -> Verdict {
    if bench.profile.config.get("ipam").is_none() {
        return Err(Stop::Absent("is for plugins that have an IPAM plugin called".to_owned()));
    }
    let peer = peer(bench)?;
    let container = hurried(bench, "c1");
    container
        .pod
        .sh("for link in all default lo; do sysctl -qw net.ipv6.conf.$link.disable_ipv6=1; done");
    let mut answer = json!({
        "cniVersion": bench.version(),
        "ips": [{ "address": "10.1.2.99/24", "gateway": "10.1.2.1" }],
        "routes": [{ "dst": "0.0.0.0/0" }]
    });
    if !bench.is_from("1.0.0") {
        answer.pointer_mut("/ips/0").into_iter().for_each(|ip| set(ip, "version", "4"));
    }
    ipam::answer("ADD", answer, 0).unwrap_or_else(|error| broken(&error));
    let call = bench.call(&container).with(|cni| cni.key("ipam", json!({ "type": ipam::NAME })));
    let result = call.add().succeeds()?;
    settled("ADD with disable_ipv6=1 in the container", &peer, &targets(&result)?)
}
