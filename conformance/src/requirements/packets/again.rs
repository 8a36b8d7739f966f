//! Containers come and go: what others remember of one must not be in the way of the next.

use std::net::IpAddr;

use serde_json::{Value, json};
use testbed::Pod;

use super::reach::{answers, peer, settled, targets};
use crate::bench::{Bench, Container, broken};
use crate::ipam;
use crate::linux::{hurried, hurried_added};
use crate::requirement::{Judge, Stop, Verdict, ensure};

/// Adds a container that gets an address, and always the same.
fn added_with(bench: &Bench, container: &Container, number: u8) -> Result<Vec<IpAddr>, Stop> {
    let answer = ipam::addresses(bench.version(), number.into());
    ipam::answer("ADD", answer, 0).unwrap_or_else(|error| broken(&error));
    let result = fixed(bench, container).add().succeeds()?;
    targets(&result)
}

/// A call that has the kit asked for the address.
fn fixed<'a>(bench: &'a Bench, container: &Container) -> crate::bench::Call<'a> {
    bench.call(container).with(|cni| cni.key("ipam", json!({ "type": ipam::NAME })))
}

/// Container `one` goes and `two` gets its address, after `who` has talked to `one`.
fn reused(bench: &Bench, who: &Pod) -> Verdict {
    let one = hurried(bench, "c1");
    let targets = added_with(bench, &one, 9)?;
    settled("ADD of c1", who, &targets)?;
    fixed(bench, &one).del().succeeds()?;
    let two = hurried(bench, "c2");
    let same = added_with(bench, &two, 9)?;
    ensure(same == targets, "ADD of c2", "the addresses of its IPAM plugin", format!("{same:?}"))?;
    answers("DEL of c1, ADD of c2 with the same addresses", who, &targets)
}

fn with_ipam(bench: &Bench) -> Verdict {
    match bench.profile.config.get("ipam") {
        Some(_) => Ok(()),
        None => Err(Stop::Absent("is for plugins that have an IPAM plugin called".to_owned())),
    }
}

pub(super) fn address_from_host(bench: &Bench) -> Verdict {
    with_ipam(bench)?;
    reused(bench, &bench.host)
}

pub(super) fn address_from_container(bench: &Bench) -> Verdict {
    with_ipam(bench)?;
    let third = hurried(bench, "c3");
    added_with(bench, &third, 3)?;
    reused(bench, &third.pod)
}

pub(super) fn id(bench: &Bench) -> Verdict {
    let peer = peer(bench)?;
    let (container, result) = hurried_added(bench, "c1")?;
    settled("ADD", &peer, &targets(&result)?)?;
    bench.call(&container).del().succeeds()?;
    // The same id with a new namespace: what a restarted container looks like.
    let fresh = Container { id: container.id, ..hurried(bench, "c2") };
    let result: Value = bench.call(&fresh).add().succeeds()?;
    answers("ADD, DEL, ADD again with a new namespace", &peer, &targets(&result)?)
}

pub(super) fn silent(bench: &Bench) -> Verdict {
    let peer = peer(bench)?;
    let (container, result) = hurried_added(bench, "c1")?;
    let targets = targets(&result)?;
    settled("ADD", &peer, &targets)?;
    bench.call(&container).del().succeeds()?;
    for target in targets {
        let (family, target) = (if target.is_ipv4() { "-4" } else { "-6" }, target.to_string());
        let pinged = peer.try_run(&["ping", family, "-n", "-c1", "-W0.2", &target]);
        ensure(
            !pinged.status.success(),
            "ADD, DEL, then one ping",
            format!("{target} is silent"),
            pinged.stdout,
        )?;
    }
    Ok(())
}

pub(super) fn others(bench: &Bench) -> Verdict {
    let peer = peer(bench)?;
    let (stays, result) = hurried_added(bench, "c1")?;
    let (goes, _) = hurried_added(bench, "c2")?;
    let targets = targets(&result)?;
    settled("ADD of c1 and c2", &peer, &targets)?;
    bench.call(&goes).del().succeeds()?;
    answers("DEL of c2", &peer, &targets)?;
    // Nor does a DEL that comes twice, of one that never was, or of the same container on another interface.
    bench.call(&goes).del().succeeds()?;
    let other = bench.call(&stays).with(|cni| cni.ifname("other0"));
    other.del().succeeds()?;
    answers("DEL of c2 again, and of another interface of c1", &peer, &targets)
}
