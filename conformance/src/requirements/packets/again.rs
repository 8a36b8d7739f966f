//! Sequences of containers: what others remember of one container must not affect the next.

use std::net::IpAddr;

use serde_json::{Value, json};
use testbed::Pod;

use super::reach::{answers, peer, settled, targets};
use crate::fixture::{Container, Fixture};
use crate::ipam;
use crate::isolation::broken;
use crate::linux::{added_without_dad, without_dad};
use crate::verdict::{NotPassed, OutcomeExt, TestResult, ensure};

/// Adds a container that always gets the same address.
fn added_with(
    fixture: &Fixture,
    container: &Container,
    number: u8,
) -> Result<Vec<IpAddr>, NotPassed> {
    let answer = ipam::addresses(fixture.version(), number.into());
    ipam::answer("ADD", answer, 0).unwrap_or_else(|error| broken(&error));
    let result = fixed(fixture, container).attach()?;
    targets(&result)
}

/// A call in which the kit requests the address.
fn fixed<'a>(fixture: &'a Fixture, container: &Container) -> crate::fixture::Call<'a> {
    fixture.call(container).with(|cni| cni.key("ipam", json!({ "type": ipam::NAME })))
}

/// Container `one` is deleted and `two` gets its address, after `who` has exchanged packets with
/// `one`.
fn reused(fixture: &Fixture, who: &Pod) -> TestResult {
    let one = without_dad(fixture, "c1");
    let targets = added_with(fixture, &one, 9)?;
    settled("ADD of c1", who, &targets)?;
    fixed(fixture, &one).del().succeeds()?;
    let two = without_dad(fixture, "c2");
    let same = added_with(fixture, &two, 9)?;
    ensure(same == targets, "ADD of c2", "the addresses of its IPAM plugin", format!("{same:?}"))?;
    answers("DEL of c1, ADD of c2 with the same addresses", who, &targets)
}

fn with_ipam(fixture: &Fixture) -> TestResult {
    match fixture.profile.config.get("ipam") {
        Some(_) => Ok(()),
        None => {
            Err(NotPassed::NotApplicable("applies to plugins that call an IPAM plugin".to_owned()))
        }
    }
}

pub(super) fn address_from_host(fixture: &Fixture) -> TestResult {
    with_ipam(fixture)?;
    reused(fixture, &fixture.host)
}

pub(super) fn address_from_container(fixture: &Fixture) -> TestResult {
    with_ipam(fixture)?;
    let third = without_dad(fixture, "c3");
    added_with(fixture, &third, 3)?;
    reused(fixture, &third.pod)
}

pub(super) fn id(fixture: &Fixture) -> TestResult {
    let peer = peer(fixture)?;
    let (container, result) = added_without_dad(fixture, "c1")?;
    settled("ADD", &peer, &targets(&result)?)?;
    fixture.call(&container).del().succeeds()?;
    // The same ID with a new namespace: a restarted container.
    let fresh = Container { id: container.id, ..without_dad(fixture, "c2") };
    let result: Value = fixture.call(&fresh).attach()?;
    answers("ADD, DEL, ADD again with a new namespace", &peer, &targets(&result)?)
}

pub(super) fn succeeds_without_output(fixture: &Fixture) -> TestResult {
    let peer = peer(fixture)?;
    let (container, result) = added_without_dad(fixture, "c1")?;
    let targets = targets(&result)?;
    settled("ADD", &peer, &targets)?;
    fixture.call(&container).del().succeeds()?;
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

pub(super) fn others(fixture: &Fixture) -> TestResult {
    let peer = peer(fixture)?;
    let (stays, result) = added_without_dad(fixture, "c1")?;
    let (goes, _) = added_without_dad(fixture, "c2")?;
    let targets = targets(&result)?;
    settled("ADD of c1 and c2", &peer, &targets)?;
    fixture.call(&goes).del().succeeds()?;
    answers("DEL of c2", &peer, &targets)?;
    // Nor may a second DEL, a DEL of an unknown container, or one of another interface of the same
    // container.
    fixture.call(&goes).del().succeeds()?;
    let other = fixture.call(&stays).with(|cni| cni.ifname("other0"));
    other.del().succeeds()?;
    answers("DEL of c2 again, and of another interface of c1", &peer, &targets)
}
