//! DEL of one attachment must not affect others.

use super::super::steps::{same, state, state_of, succeeds_without_output, unchanged, with_input};
use crate::fixture::{Container, Fixture};
use crate::verdict::{NotPassed, OutcomeExt, TestResult};

pub(super) fn others_stay(fixture: &Fixture) -> TestResult {
    let (a, first) = fixture.added("a")?;
    let (b, second) = fixture.added("b")?;
    let (c, third) = fixture.added("c")?;
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
    let (container, _) = fixture.added("a")?;
    let before = state(fixture);
    let call = fixture.call(&container).with(|cni| cni.ifname("net9"));
    with_input("net9, which was never added", succeeds_without_output(&call.del()))?;
    unchanged(fixture, &before, "ADD of eth0, DEL of net9")
}
