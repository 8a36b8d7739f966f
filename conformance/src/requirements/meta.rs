//! Meta-plugins: what a plugin that runs others as delegates passes on. The kit is in the place of
//! the delegates: it records the calls, and lets them fail.

use serde_json::json;

use crate::delegate;
use crate::fixture::{Call, Container, Fixture};
use crate::isolation::broken;
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::suite::LINKS;
use crate::verdict::{NotPassed, OutcomeExt, TestResult, ensure};

const EXECUTION: &str = "CNI 1.1.0, section 4, delegated plugin execution procedure";
const META: AppliesTo =
    AppliesTo::Where(|profile| !profile.delegates.is_empty(), "run other plugins as delegates");

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    must("S4.META.1", "DEL must call DEL of each delegate that ADD called", deletes),
    Requirement {
        versions: Versions::NewestFrom("0.4.0"),
        ..must("S4.META.2", "CHECK must call CHECK of each delegate that ADD called", checks)
    },
    Requirement {
        versions: Versions::NewestFrom("1.1.0"),
        ..must("S4.META.3", "GC must call GC of each delegate that ADD called", collects)
    },
    must("S4.META.4", "ADD must fail if ADD of a delegate fails", add_fails),
    should(
        "S4.META.5",
        "If ADD of a delegate fails, ADD should call DEL of that delegate before it fails",
        rolls_back,
    ),
    should("S4.META.6", "DEL should fail if DEL of a delegate fails", del_fails),
    Requirement {
        versions: Versions::NewestFrom("0.4.0"),
        ..should("S4.META.7", "CHECK should fail if CHECK of a delegate fails", check_fails)
    },
    Requirement {
        versions: Versions::NewestFrom("1.1.0"),
        ..should("S4.META.8", "GC should fail if GC of a delegate fails", gc_fails)
    },
    Requirement {
        source: "CNI 1.1.0, section 2, STATUS",
        level: Level::Expected,
        versions: Versions::NewestFrom("1.1.0"),
        ..must("S4.META.9", "STATUS must fail if STATUS of a delegate fails", status_fails)
    },
];

const fn must(
    id: &'static str,
    statement: &'static str,
    test: fn(&Fixture) -> TestResult,
) -> Requirement {
    Requirement {
        id,
        source: EXECUTION,
        statement,
        level: Level::Must,
        applies_to: META,
        versions: Versions::Newest,
        test,
    }
}

const fn should(
    id: &'static str,
    statement: &'static str,
    test: fn(&Fixture) -> TestResult,
) -> Requirement {
    Requirement { level: Level::Should, ..must(id, statement, test) }
}

/// A call whose delegates are watched.
fn call<'a>(fixture: &'a Fixture, container: &Container) -> Call<'a> {
    let watched = delegate::watch_all(&fixture.case.plugin);
    watched.unwrap_or_else(|error| broken(&error));
    fixture.call(container).with(|cni| cni.env("CNI_PATH", LINKS))
}

/// The delegates that were called with ADD.
fn added(fixture: &Fixture) -> Result<Vec<&str>, NotPassed> {
    let names = fixture.profile.delegates.iter().map(String::as_str);
    let added: Vec<&str> = names.filter(|name| count(name, "ADD") > 0).collect();
    match added.is_empty() {
        true => Err(NotPassed::NotApplicable("ADD runs no delegate".to_owned())),
        false => Ok(added),
    }
}

fn count(name: &str, verb: &str) -> usize {
    delegate::calls(name).iter().filter(|call| call.verb() == verb).count()
}

fn were_called(names: &[&str], verb: &str) -> TestResult {
    for name in names {
        let calls = delegate::calls(name);
        let verbs: Vec<&str> = calls.iter().map(|call| call.verb()).collect();
        ensure(
            verbs.contains(&verb),
            verb,
            format!("a call of {name} with {verb}"),
            format!("it was called with {verbs:?}"),
        )?;
    }
    Ok(())
}

fn deletes(fixture: &Fixture) -> TestResult {
    let container = fixture.container("a");
    let call = call(fixture, &container);
    let result = call.attach()?;
    let names = added(fixture)?;
    let call = call.with(|cni| if fixture.is_from("0.4.0") { cni.prev(&result) } else { cni });
    call.del().succeeds()?;
    were_called(&names, "DEL")
}

fn checks(fixture: &Fixture) -> TestResult {
    let container = fixture.container("a");
    let call = call(fixture, &container);
    let result = call.attach()?;
    let names = added(fixture)?;
    call.check(&result).succeeds()?;
    were_called(&names, "CHECK")
}

fn collects(fixture: &Fixture) -> TestResult {
    let container = fixture.container("a");
    let call = call(fixture, &container);
    call.attach()?;
    let names = added(fixture)?;
    call.gc(&[(&container.id, "eth0")]).succeeds()?;
    were_called(&names, "GC")
}

/// Lets a command of the delegates fail.
fn make_fail(fixture: &Fixture, names: &[&str], verb: &str) {
    let error = json!({
        "cniVersion": fixture.version(), "code": 142, "msg": "refused by the kit"
    });
    for name in names {
        delegate::answer(name, verb, &error, 1).unwrap_or_else(|error| broken(&error));
    }
}

/// A container that is attached, whose delegates then fail with a command.
fn with_failing<'a>(
    fixture: &'a Fixture,
    verb: &str,
) -> Result<(Call<'a>, serde_json::Value), NotPassed> {
    let container = fixture.container("a");
    let call = call(fixture, &container);
    let result = call.attach()?;
    make_fail(fixture, &added(fixture)?, verb);
    Ok((call, result))
}

/// Makes an ADD whose delegates fail, and returns their names.
fn failed_add(fixture: &Fixture) -> Result<(testbed::Outcome, Vec<String>), NotPassed> {
    let call = call(fixture, &fixture.container("a"));
    let names: Vec<&str> = fixture.profile.delegates.iter().map(String::as_str).collect();
    make_fail(fixture, &names, "ADD");
    let outcome = call.add();
    let called = added(fixture)?;
    Ok((outcome, called.into_iter().map(str::to_owned).collect()))
}

fn add_fails(fixture: &Fixture) -> TestResult {
    failed_add(fixture)?.0.fails().map(drop)
}

fn rolls_back(fixture: &Fixture) -> TestResult {
    let (_, names) = failed_add(fixture)?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    were_called(&names, "DEL")
}

fn del_fails(fixture: &Fixture) -> TestResult {
    let (call, result) = with_failing(fixture, "DEL")?;
    let call = call.with(|cni| if fixture.is_from("0.4.0") { cni.prev(&result) } else { cni });
    call.del().fails().map(drop)
}

fn check_fails(fixture: &Fixture) -> TestResult {
    let (call, result) = with_failing(fixture, "CHECK")?;
    call.check(&result).fails().map(drop)
}

fn gc_fails(fixture: &Fixture) -> TestResult {
    let (call, _) = with_failing(fixture, "GC")?;
    call.gc(&[("a-7f3e", "eth0")]).fails().map(drop)
}

fn status_fails(fixture: &Fixture) -> TestResult {
    let (call, _) = with_failing(fixture, "STATUS")?;
    call.status().fails().map(drop)
}
