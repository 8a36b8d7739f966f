//! DEL of one attachment must not affect others.

use super::super::steps::{
    attached, makes_interface, same, state, state_of, succeeds_without_output, unchanged,
    with_input,
};
use super::without_namespace;
use crate::fixture::{Container, Fixture};
use crate::linux::section;
use crate::verdict::{NotPassed, OutcomeExt, TestResult};

pub(super) fn others_stay(fixture: &Fixture) -> TestResult {
    let (a, first) = attached(fixture, "a")?;
    let (b, second) = attached(fixture, "b")?;
    let (c, third) = attached(fixture, "c")?;
    let others = |pods: &[&Container]| -> String {
        pods.iter().map(|container| state_of(&container.pod)).collect()
    };
    let del = |container, result| fixture.call(container).with(|cni| cni.prev(result)).del();
    let before = others(&[&a, &c]);
    del(&b, &second).succeeds()?;
    same(&before, &others(&[&a, &c]), "ADD of a, b, c; DEL of b, seen from a and c")?;
    let before = others(&[&c]);
    del(&a, &first).succeeds()?;
    same(&before, &others(&[&c]), "ADD of a, b, c; DEL of b, a, seen from c")?;
    del(&c, &third).succeeds().map(drop)
}

pub(super) fn one_of_two(fixture: &Fixture) -> TestResult {
    fixture.has_second_interface()?;
    let container = fixture.container("a");
    let first = fixture.call(&container).with(|cni| cni.ifname("net1"));
    let result = first.attach()?;
    makes_interface(&result)?;
    let alone = state_of(&container.pod);
    let second = fixture.call(&container);
    if !second.add().status.success() {
        return Err(NotPassed::NotApplicable(
            "the plugin does not attach a container twice, see S2.ADD.3".to_owned(),
        ));
    }
    second.del().succeeds()?;
    same(&alone, &state_of(&container.pod), "ADD of net1 and eth0, DEL of eth0, seen from net1")?;
    if fixture.is_from("0.4.0") {
        with_input("of net1, after DEL of eth0", succeeds_without_output(&first.check(&result)))?;
    }
    first.del().succeeds().map(drop)
}

pub(super) fn other_interface(fixture: &Fixture) -> TestResult {
    let (container, _) = attached(fixture, "a")?;
    let before = state(fixture);
    let call = fixture.call(&container).with(|cni| cni.ifname("net9"));
    // Whether DEL succeeds is the matter of another requirement.
    call.del();
    unchanged(fixture, &before, "ADD of eth0, DEL of net9")
}

pub(super) fn on_the_host(fixture: &Fixture) -> TestResult {
    let containers = ["a", "b", "c"].map(|name| fixture.container(name));
    let mut calls = Vec::new();
    for container in &containers {
        let call = fixture.call(container);
        let result = call.attach()?;
        fixture.delete_namespace(container);
        calls.push((call, result));
    }
    fixture.host.sh("ip link add eth0 index 2000 type veth peer name eth0-peer
        ip addr add 198.51.100.1/24 dev eth0; ip link set eth0-peer up; ip link set eth0 up");
    let is_of_it = |line: &&str| {
        let of_link = ["link eth0 ", "vlan eth0 "].iter().any(|start| line.starts_with(start));
        of_link || format!("{line} ").contains(" dev eth0 ") || line.contains("/eth0/")
    };
    let of_eth0 = || -> String {
        let state = state(fixture);
        let lines = section(&state, "node").lines().filter(is_of_it);
        lines.map(|line| format!("{line}\n")).collect()
    };
    let before = of_eth0();
    for (number, (call, result)) in calls.into_iter().enumerate() {
        let [missing, empty] = without_namespace(&call);
        let gone = ("CNI_NETNS is a path that no longer exists", call);
        let Some((input, call)) = [missing, empty, gone].into_iter().nth(number) else { break };
        // Whether it succeeds is another requirement.
        call.clone().with(|cni| cni.prev(&result)).del();
        call.del();
        same(&before, &of_eth0(), format!("DEL on a host with an eth0: {input}"))?;
    }
    Ok(())
}
