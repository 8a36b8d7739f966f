//! After DEL: everything that ADD made is gone, in the container and on the host.

use testbed::diff;

use super::{added, all_same, round, same, without_asked_sysctls};
use crate::fixture::{Container, Fixture};
use crate::linux::{added_without_dad, lasting, section, without_dad};
use crate::settling::eventually;
use crate::verdict::{NotPassed, OutcomeExt, TestResult, ensure};

pub(super) fn container(fixture: &Fixture) -> TestResult {
    let container = without_dad(fixture, "c1");
    let before = fixture.state();
    round(fixture, &container)?;
    same(fixture, "ADD, then DEL", "c1", &before, &fixture.state())
}

pub(super) fn one_of_two(fixture: &Fixture) -> TestResult {
    let other = without_dad(fixture, "c2");
    added_without_dad(fixture, "c1")?;
    let before = fixture.state();
    round(fixture, &other)?;
    all_same(fixture, "ADD and DEL of c2, while c1 is there", &before, &fixture.state())
}

pub(super) fn rounds(fixture: &Fixture) -> TestResult {
    const ROUNDS: usize = 3;
    let named = |id: String, container: &Container| Container { id, ..container.clone() };
    let (one, two) = (without_dad(fixture, "c1"), without_dad(fixture, "c2"));
    round(fixture, &one)?;
    let before = fixture.state();
    for number in 0..ROUNDS {
        round(fixture, &named(format!("round-{number}"), &one))?;
    }
    // Two containers at the same time; the first is deleted first.
    let (one, two) = (named("first".to_owned(), &one), named("second".to_owned(), &two));
    fixture.call(&one).attach()?;
    fixture.call(&two).attach()?;
    fixture.call(&one).del().succeeds()?;
    fixture.call(&two).del().succeeds()?;
    let done = format!("{} more rounds of ADD and DEL", ROUNDS + 2);
    all_same(fixture, &done, &before, &fixture.state())
}

pub(super) fn without_namespace(fixture: &Fixture) -> TestResult {
    round(fixture, &without_dad(fixture, "c1"))?;
    let host = || {
        let state = fixture.state();
        lasting(&["node", "files", "disk"].map(|name| section(&state, name)).join("\n"))
    };
    let before = host();
    for is_named in [true, false] {
        let (container, _) = added_without_dad(fixture, if is_named { "c2" } else { "c3" })?;
        fixture.delete_namespace(&container);
        let call = fixture.call(&container);
        let call = if is_named { call } else { call.with(|cni| cni.unset("CNI_NETNS")) };
        call.del().succeeds()?;
        let changes = eventually(|| diff(&before, &host()), String::is_empty);
        let how = if is_named { "with the path it had" } else { "without CNI_NETNS" };
        let done = format!("ADD, the namespace is deleted, DEL {how}");
        ensure(changes.is_empty(), done, "the host as after an ordinary DEL", changes)?;
    }
    Ok(())
}

pub(super) fn variants(fixture: &Fixture) -> TestResult {
    added::each_variant(fixture, |fixture, variant| -> Result<(), NotPassed> {
        let absent = |why: &str| Err(NotPassed::NotApplicable(why.to_owned()));
        if variant.refused {
            return absent("the plugin must reject the configuration");
        }
        let first = without_dad(fixture, "c1");
        let second = Container { id: "second".to_owned(), ..first.clone() };
        let state = || without_asked_sysctls(fixture, &fixture.state());
        let before = state();
        if fixture.call(&first).attach().is_err() {
            fixture.note("ADD failed, so there is nothing to remove");
            return absent("ADD failed with each configuration, see LINUX.ADD.12");
        }
        fixture.call(&first).del().succeeds()?;
        let once = state();
        same(fixture, "ADD, then DEL", "c1", &before, &once)?;
        round(fixture, &second)?;
        all_same(fixture, "a second round of ADD and DEL", &once, &state())
    })
}
