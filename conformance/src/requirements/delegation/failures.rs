//! A delegated plugin that fails or does not exist.

use serde_json::json;

use crate::fixture::Fixture;
use crate::ipam;
use crate::json::set;
use crate::linux::lasting;
use crate::requirements::steps::{kit_ipam_config, set_ipam_answer};
use crate::verdict::{OutcomeExt, TestResult, ensure};

use super::{call, call_since, calls_since, refusal};
use crate::requirements::results::container;

/// The state before a failing ADD, to detect what it leaves behind. The content of files may
/// change: a plugin may log the failure.
pub(super) struct Before(String);

impl Before {
    /// The state after another container, which made the shared objects.
    pub(super) fn of(fixture: &Fixture) -> Before {
        Before(lasting(&fixture.host.state()))
    }

    /// Checks that no new object exists.
    pub(super) fn is_still_all(&self, fixture: &Fixture, done: &str) -> TestResult {
        let left = testbed::diff(&self.0, &lasting(&fixture.host.state()));
        ensure(left.is_empty(), done, "the state before; nothing left behind", left)
    }
}

/// A successful attachment, so that shared objects exist.
pub(super) fn settle(fixture: &Fixture) -> TestResult {
    let first = container(fixture, "first");
    call(fixture, &first, &kit_ipam_config(fixture)).attach().map(drop)
}

pub(super) fn missing(fixture: &Fixture) -> TestResult {
    settle(fixture)?;
    let mut config = kit_ipam_config(fixture);
    set(&mut config, "ipam", json!({ "type": "kit-is-not-there" }));
    let container = container(fixture, "one");
    let before = Before::of(fixture);
    let error = call(fixture, &container, &config).add().fails()?;
    let text = format!("{} {}", error.msg, error.details);
    ensure(text.contains("kit-is-not-there"), "ADD", "an error that names kit-is-not-there", text)?;
    before.is_still_all(fixture, "ADD without its delegate")
}

pub(super) fn path_as_type(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    let absolute = format!("{}/{}", ipam::FOLDER, ipam::NAME);
    for name in [absolute.as_str(), "../bin/kit-ipam", "./kit-ipam", "..", "."] {
        let mut config = kit_ipam_config(fixture);
        set(&mut config, "ipam", json!({ "type": name }));
        for verb in ["ADD", "DEL"] {
            let outcome = call(fixture, &container, &config).verb(verb);
            let run = !ipam::calls().is_empty();
            ensure(!run, verb, format!("{name} is not run"), "it was run")?;
            if verb == "ADD" {
                outcome.fails()?;
            }
        }
    }
    Ok(())
}

pub(super) fn add(fixture: &Fixture) -> TestResult {
    set_ipam_answer("ADD", refusal(fixture), 1);
    let container = container(fixture, "one");
    call(fixture, &container, &kit_ipam_config(fixture)).add().fails().map(drop)
}

pub(super) fn add_tells(fixture: &Fixture) -> TestResult {
    set_ipam_answer("ADD", refusal(fixture), 1);
    let container = container(fixture, "one");
    let error = call(fixture, &container, &kit_ipam_config(fixture)).add().fails()?;
    let right = error.code == 142
        && format!("{} {}", error.msg, error.details).contains("refused by the kit");
    ensure(right, "ADD", refusal(fixture), format!("{error:?}"))
}

pub(super) fn add_is_followed_by_del(fixture: &Fixture) -> TestResult {
    set_ipam_answer("ADD", refusal(fixture), 1);
    let container = container(fixture, "one");
    call(fixture, &container, &kit_ipam_config(fixture)).add().fails()?;
    call_since(0, "DEL").map(drop)
}

pub(super) fn add_leaves_nothing(fixture: &Fixture) -> TestResult {
    settle(fixture)?;
    let container = container(fixture, "one");
    let before = Before::of(fixture);
    set_ipam_answer("ADD", refusal(fixture), 1);
    call(fixture, &container, &kit_ipam_config(fixture)).add().fails()?;
    before.is_still_all(fixture, "ADD that the delegate refused")
}

/// The container already has an `eth0`. The plugin must release the address, whenever it detects
/// that.
pub(super) fn later_failure(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    container.pod.sh("ip link add eth0 type veth peer name other");
    call(fixture, &container, &kit_ipam_config(fixture)).add().fails()?;
    if calls_since(0, "ADD").is_empty() {
        return Ok(());
    }
    call_since(0, "DEL").map(drop)
}

pub(super) fn del(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    let call = call(fixture, &container, &kit_ipam_config(fixture));
    call.attach()?;
    set_ipam_answer("DEL", refusal(fixture), 1);
    call.del().fails().map(drop)
}

pub(super) fn del_again(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    let call = call(fixture, &container, &kit_ipam_config(fixture));
    call.attach()?;
    set_ipam_answer("DEL", refusal(fixture), 1);
    call.del();
    set_ipam_answer("DEL", "", 0);
    let before = ipam::calls().len();
    call.del().succeeds()?;
    call_since(before, "DEL").map(drop)
}

pub(super) fn check(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    let call = call(fixture, &container, &kit_ipam_config(fixture));
    let result = call.attach()?;
    call.check(&result).succeeds()?;
    set_ipam_answer("CHECK", refusal(fixture), 1);
    call.check(&result).fails().map(drop)
}

pub(super) fn gc(fixture: &Fixture) -> TestResult {
    let call = fixture.call_with(&kit_ipam_config(fixture));
    call.gc(&[]).succeeds()?;
    set_ipam_answer("GC", refusal(fixture), 1);
    call.gc(&[]).fails().map(drop)
}

pub(super) fn status(fixture: &Fixture) -> TestResult {
    let call = fixture.call_with(&kit_ipam_config(fixture));
    call.status().succeeds()?;
    set_ipam_answer("STATUS", refusal(fixture), 1);
    call.status().fails().map(drop)
}
