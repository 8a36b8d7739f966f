//! Release of addresses: by DEL and GC, and only of their own attachments.

use crate::fixture::Fixture;
use crate::json::set;
use crate::verdict::{OutcomeExt, TestResult, ensure};

use super::{add, call, del, given, subnet, take_all};

pub(super) fn with_nothing(fixture: &Fixture) -> TestResult {
    let config = subnet(fixture, "10.1.2.0/30");
    add(fixture, &config, "c1")?;
    call(fixture, &config, "c1", "eth0").with(|cni| cni.unset("CNI_NETNS")).del().succeeds()?;
    add(fixture, &config, "c2").map(drop)
}

pub(super) fn others_stay(fixture: &Fixture) -> TestResult {
    let config = subnet(fixture, "10.1.2.0/29");
    add(fixture, &config, "c1")?;
    let others = [("c1", "net1"), ("c10", "eth0"), ("c", "eth0")];
    let mut kept = Vec::new();
    for (id, ifname) in others {
        kept.extend(given(&call(fixture, &config, id, ifname).add())?);
    }
    del(fixture, &config, "c1")?;
    del(fixture, &config, "c1")?;
    let free = take_all(fixture, &config, "d")?;
    let right = free.len() == 2 && kept.iter().all(|ip| !free.contains(ip));
    let done =
        format!("DEL of eth0 of c1 while {others:?} have {kept:?}, and ADDs until it is full");
    ensure(right, done, "2 unused addresses", format!("{free:?}"))
}

pub(super) fn again(fixture: &Fixture) -> TestResult {
    let config = fixture.config();
    del(fixture, &config, "never")?;
    let container = fixture.container("one");
    let call = fixture.call(&container);
    call.attach()?;
    call.del().succeeds()?;
    call.del().succeeds().map(drop)
}

pub(super) fn not_at_once(fixture: &Fixture) -> TestResult {
    let config = fixture.config();
    let first = add(fixture, &config, "c1")?;
    del(fixture, &config, "c1")?;
    let second = add(fixture, &config, "c2")?;
    let other = second.iter().all(|ip| !first.contains(ip));
    ensure(other, format!("ADD after DEL of {first:?}"), "other addresses", format!("{second:?}"))
}

pub(super) fn check(fixture: &Fixture) -> TestResult {
    let config = fixture.config();
    let call = call(fixture, &config, "c1", "eth0");
    let result = call.attach()?;
    call.check(&result).succeeds()?;
    call.del().succeeds()?;
    call.check(&result).fails().map(drop)
}

pub(super) fn gc(fixture: &Fixture) -> TestResult {
    let config = subnet(fixture, "10.1.2.0/29");
    add(fixture, &config, "c1")?;
    call(fixture, &config, "c1", "net1").attach()?;
    add(fixture, &config, "c2")?;
    fixture.call_with(&config).gc(&[("c1", "eth0")]).succeeds()?;
    let free = take_all(fixture, &config, "d")?;
    let done = "GC with 1 of 3 attachments valid, and ADDs until 10.1.2.0/29 is full";
    ensure(free.len() == 4, done, "4 addresses", format!("{free:?}"))
}

pub(super) fn gc_keeps(fixture: &Fixture) -> TestResult {
    let config = subnet(fixture, "10.1.2.0/29");
    let mut kept = add(fixture, &config, "c1")?;
    kept.extend(given(&call(fixture, &config, "c1", "net1").add())?);
    let mut other = subnet(fixture, "10.1.2.0/30");
    set(&mut other, "name", "another");
    add(fixture, &other, "c1")?;
    fixture.call_with(&config).gc(&[("c1", "net1"), ("c1", "eth0")]).succeeds()?;
    let free = take_all(fixture, &config, "d")?;
    let right = free.len() == 3 && kept.iter().all(|ip| !free.contains(ip));
    let done = format!("GC with {kept:?} valid, and ADDs until 10.1.2.0/29 is full");
    ensure(right, done, "the 3 other addresses", format!("{free:?}"))?;
    fixture.call_with(&config).gc(&[]).succeeds()?;
    call(fixture, &other, "c2", "eth0").add().fails().map(drop)
}
