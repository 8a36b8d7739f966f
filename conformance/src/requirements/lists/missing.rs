//! A plugin of the list is missing at DEL, for example because a package was removed. The runtime
//! cannot call it, and calls DEL or GC when it is back.

use serde_json::Value;

use super::super::steps::with_input;
use super::{List, Live, host, host_returns_to, settled};
use crate::fixture::Fixture;
use crate::settling::after_removal;
use crate::verdict::{NotPassed, OutcomeExt, TestResult};

pub(super) fn another(fixture: &Fixture) -> TestResult {
    let a = Live::new(fixture, "a")?;
    let b = List::new(fixture, "b");
    let result = b.add()?;
    with_input("the first plugin is missing", b.del_last(Some(&result)))?;
    a.is_unchanged("DEL of b without the first plugin, seen from a")
}

/// A live attachment, and one whose DEL was made without the plugin under test.
struct Missed<'a> {
    live: Live<'a>,
    stale: List<'a>,
    /// The final result of the second one.
    result: Value,
    /// The host before the second one.
    before: String,
}

fn missed(fixture: &Fixture) -> Result<Missed<'_>, NotPassed> {
    settled(fixture)?;
    // What all attachments share exists from now on.
    let live = Live::new(fixture, "a")?;
    let before = host(fixture);
    let stale = List::new(fixture, "b");
    let result = stale.add()?;
    stale.disconnect()?;
    stale.end();
    after_removal();
    Ok(Missed { live, stale, result, before })
}

pub(super) fn until_del(fixture: &Fixture) -> TestResult {
    let missed = missed(fixture)?;
    let done = "the plugin is back, DEL of b, whose namespace is gone";
    missed.stale.del_last(Some(&missed.result))?;
    host_returns_to(fixture, &missed.before, done)?;
    missed.live.is_unchanged(done)
}

pub(super) fn until_gc(fixture: &Fixture) -> TestResult {
    let missed = missed(fixture)?;
    let done = "the plugin is back, GC with a valid";
    missed.live.list.last.gc(&[(missed.live.id(), "eth0")]).succeeds()?;
    host_returns_to(fixture, &missed.before, done)?;
    missed.live.is_unchanged(done)
}
