//! GC compared with DEL: what stays of attachments that are not valid.

use std::collections::BTreeSet;

use super::super::steps::{
    attached, makes_interface, same, state_of, succeeds_without_output, with_input,
};
use crate::fixture::{Call, Fixture};
use crate::linux::{lasting, section};
use crate::settling::after_removal;
use crate::verdict::{NotPassed, OutcomeExt, TestResult, ensure};

/// The host: kernel objects and the names of files.
fn host(fixture: &Fixture) -> BTreeSet<String> {
    let state = fixture.state();
    let parts = ["node", "files", "disk"].map(|name| section(&state, name));
    lasting(&parts.join("\n")).lines().map(str::to_owned).collect()
}

/// Adds a container and deletes its namespace.
fn abandoned<'a>(fixture: &'a Fixture, name: &str) -> Result<Call<'a>, NotPassed> {
    let (container, _) = fixture.added(name)?;
    fixture.delete_namespace(&container);
    // Otherwise the kernel removes links between two looks at the host.
    after_removal();
    Ok(fixture.call(&container))
}

/// What a DEL removes from the host.
fn removed_by(fixture: &Fixture, call: &Call<'_>) -> Result<Vec<String>, NotPassed> {
    let before = host(fixture);
    call.del().succeeds()?;
    Ok(before.difference(&host(fixture)).cloned().collect())
}

pub(super) fn as_much_as_del(fixture: &Fixture) -> TestResult {
    let (a, result) = fixture.added("a")?;
    makes_interface(&result)?;
    if removed_by(fixture, &abandoned(fixture, "b")?)?.is_empty() {
        let why = "DEL has nothing to remove from the host if the namespace is gone";
        return Err(NotPassed::NotApplicable(why.to_owned()));
    }
    let c = abandoned(fixture, "c")?;
    fixture.call(&a).gc(&[(&a.id, "eth0")]).succeeds()?;
    let left = removed_by(fixture, &c)?;
    let done = "ADD of c, its namespace deleted, GC with a valid, DEL of c";
    ensure(left.is_empty(), done, "GC leaves nothing to DEL", format!("DEL removes {left:?}"))
}

pub(super) fn other_of_two(fixture: &Fixture) -> TestResult {
    let (container, result) = attached(fixture, "a")?;
    let first = fixture.call(&container);
    let second = first.clone().with(|cni| cni.ifname("net1"));
    if !second.add().status.success() {
        return Err(NotPassed::NotApplicable(
            "the plugin does not attach a container twice, see S2.ADD.3".to_owned(),
        ));
    }
    container.pod.try_run(&["ip", "link", "del", "net1"]);
    let before = state_of(&container.pod);
    first.gc(&[(&container.id, "eth0")]).succeeds()?;
    same(&before, &state_of(&container.pod), "GC with eth0 valid, and net1 not")?;
    with_input("of eth0, after GC", succeeds_without_output(&first.check(&result)))
}
