//! Container IDs and interface names.

use super::super::steps::{add_and_del, has_link, refused, state, unchanged, with_input};
use super::{added, names};
use crate::fixture::Fixture;
use crate::profile::Kind;
use crate::verdict::{OutcomeExt, TestResult};

const BAD_IDS: [&str; 10] =
    ["..", "../up", "/root", "a/b", "-a", "_a", ".a", "a b", "a\nb", "caf\u{e9}"];

/// The eighth name has 8 characters, but 16 bytes.
const BAD_IFNAMES: [&str; 9] = [
    "sixteen-letters-",
    ".",
    "..",
    "a/b",
    "a:b",
    "a b",
    "a\tb",
    "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
    "eth0\n",
];

pub(super) fn bad_ids(fixture: &Fixture) -> TestResult {
    let (_, call) = added(fixture)?;
    let before = state(fixture);
    for id in BAD_IDS {
        let call = call.clone().with(|cni| cni.container(id));
        with_input(format!("the container ID {id:?}"), call.add().fails())?;
        with_input(format!("the container ID {id:?}"), call.del().fails())?;
    }
    unchanged(fixture, &before, "calls with invalid container IDs")
}

pub(super) fn good_ids(fixture: &Fixture) -> TestResult {
    let (usual, long) = ("0123456789abcdef".repeat(4), "i".repeat(200));
    for (number, id) in ["7", "A.b_c-D", &usual, &long].into_iter().enumerate() {
        let call = fixture.call(&fixture.container(&format!("c{number}")));
        with_input(
            format!("the container id {id}"),
            add_and_del(&call.with(|cni| cni.container(id))),
        )?;
    }
    Ok(())
}

pub(super) fn bad_ifnames(fixture: &Fixture) -> TestResult {
    let call = fixture.call(&fixture.container("a"));
    let inputs = BAD_IFNAMES.map(|name| (name, call.clone().with(|cni| cni.ifname(name))));
    refused(fixture, inputs)
}

pub(super) fn good_ifnames(fixture: &Fixture) -> TestResult {
    let container = fixture.container("a");
    let mut own = "eth0";
    for name in ["0", "fifteen-letters", "net1.100", "a_b-c@d"] {
        // An IPAM plugin may use the interface that its caller has made, as dhcp does.
        if fixture.profile.kind == Kind::Ipam && has_link(&container.pod, own) {
            let rename = format!("ip link set {own} down; ip link set {own} name {name} up");
            container.pod.sh(&rename);
            own = name;
        }
        let call = fixture.call(&container).with(|cni| cni.ifname(name));
        with_input(format!("the interface name {name}"), add_and_del(&call))?;
    }
    Ok(())
}

pub(super) fn names_invalid_variables(fixture: &Fixture) -> TestResult {
    let call = fixture.call(&fixture.container("a"));
    let ids = BAD_IDS.map(|id| ("CNI_CONTAINERID", id));
    let ifnames = BAD_IFNAMES.map(|name| ("CNI_IFNAME", name));
    for (variable, value) in ids.into_iter().chain(ifnames) {
        let done = format!("ADD with {variable}={value:?}");
        let outcome = call.clone().with(|cni| cni.env(variable, value)).add();
        names(&with_input(&done, outcome.fails())?, variable, &done)?;
    }
    Ok(())
}
