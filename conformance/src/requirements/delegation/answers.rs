//! Invalid answers of a delegated plugin to ADD.

use serde_json::{Value, json};

use crate::evidence::describe;
use crate::fixture::Fixture;
use crate::ipam;
use crate::json::set;
use crate::requirements::results::{links::links, shape};
use crate::requirements::steps::{kit_ipam_answer, kit_ipam_config, set_ipam_answer};
use crate::verdict::{OutcomeExt, TestResult, ensure, failed};

use super::failures::{Before, settle};
use super::{call, call_since};
use crate::requirements::results::container;

/// ADD must fail for each of these answers, and leave nothing behind.
fn refused(fixture: &Fixture, answers: &[String]) -> TestResult {
    settle(fixture)?;
    let container = container(fixture, "one");
    let before = Before::of(fixture);
    for said in answers {
        set_ipam_answer("ADD", said, 0);
        call(fixture, &container, &kit_ipam_config(fixture))
            .add()
            .fails()
            .map_err(|stop| about(stop, said))?;
    }
    before.is_still_all(fixture, "ADD with an invalid answer of the delegated plugin")
}

/// Adds the answer of the delegated plugin to a failure.
fn about(stop: crate::verdict::NotPassed, said: &str) -> crate::verdict::NotPassed {
    match stop {
        crate::verdict::NotPassed::Failed(finding) => failed(
            format!("{}, whose delegated plugin answered {said:?}", finding.done),
            finding.expected,
            finding.seen,
        ),
        other => other,
    }
}

pub(super) fn no_object(fixture: &Fixture) -> TestResult {
    let cut = kit_ipam_answer(fixture).to_string();
    let cut: String = cut.chars().take(cut.len() / 2).collect();
    let twice = kit_ipam_answer(fixture).to_string().repeat(2);
    refused(fixture, &["no JSON".to_owned(), "[]".to_owned(), "7".to_owned(), cut, twice])
}

pub(super) fn no_addresses(fixture: &Fixture) -> TestResult {
    let with = |path: &str, value: Value| {
        let mut answer = kit_ipam_answer(fixture);
        set(&mut answer, "routes", json!([{ "dst": "203.0.113.0/24", "gw": "10.1.2.1" }]));
        if let Some(place) = answer.pointer_mut(path) {
            *place = value;
        }
        answer.to_string()
    };
    let answers = [
        ("/ips", json!("10.1.2.5/24")),
        ("/ips/0", json!("10.1.2.5/24")),
        ("/ips/0/address", json!("10.1.2.500/24")),
        ("/ips/0/address", json!("10.1.2.5/33")),
        ("/ips/0/address", json!("here/24")),
        ("/ips/0/address", json!(5)),
        ("/ips/0/gateway", json!("there")),
        ("/routes", json!({})),
        ("/routes/0/dst", json!("203.0.113.0/99")),
        ("/routes/0/gw", json!("10.1.2")),
    ];
    refused(fixture, &answers.map(|(path, value)| with(path, value)))
}

pub(super) fn without_addresses(fixture: &Fixture) -> TestResult {
    settle(fixture)?;
    let version = fixture.version();
    let answers = [
        json!({ "cniVersion": version }),
        json!({ "cniVersion": version, "ips": [] }),
        json!({ "cniVersion": version, "ips": null }),
    ];
    let container = container(fixture, "one");
    let before = Before::of(fixture);
    for said in &answers {
        set_ipam_answer("ADD", said, 0);
        let call = call(fixture, &container, &kit_ipam_config(fixture));
        let outcome = call.add();
        if outcome.status.success() {
            let result = outcome.succeeds()?;
            let none = shape::ips(&result)?.is_empty();
            ensure(none, "ADD", "no addresses in the result", result)?;
            call.del().succeeds()?;
        } else {
            outcome.fails().map_err(|stop| about(stop, &said.to_string()))?;
        }
    }
    before.is_still_all(fixture, "ADD whose delegate had no address")
}

pub(super) fn other_version(fixture: &Fixture) -> TestResult {
    settle(fixture)?;
    let old = json!([{ "version": "4", "address": "10.1.2.5/24", "gateway": "10.1.2.1" }]);
    let new = json!([{ "address": "10.1.2.5/24", "gateway": "10.1.2.1" }]);
    let ip4 = json!({ "ip": "10.1.2.5/24", "gateway": "10.1.2.1" });
    let answers = [
        json!({ "cniVersion": "0.3.1", "ips": old }),
        json!({ "cniVersion": "0.4.0", "ips": old }),
        json!({ "cniVersion": "1.0.0", "ips": new }),
        json!({ "cniVersion": "0.2.0", "ip4": ip4 }),
        json!({ "cniVersion": "9.9.9", "ips": new }),
        json!({ "cniVersion": "", "ips": new }),
        json!({ "cniVersion": 1, "ips": new }),
        json!({ "ips": if fixture.is_from("1.0.0") { new } else { old } }),
        json!({}),
    ];
    let container = container(fixture, "one");
    let before = Before::of(fixture);
    for said in &answers {
        set_ipam_answer("ADD", said, 0);
        let call = call(fixture, &container, &kit_ipam_config(fixture));
        let outcome = call.add();
        if !outcome.status.success() {
            outcome.fails().map_err(|stop| about(stop, &said.to_string()))?;
            continue;
        }
        let result = outcome.succeeds()?;
        let version = result.get("cniVersion").is_some_and(|version| version == fixture.version());
        let there = links(&container.pod);
        let right = version
            && shape::ips(&result)?
                .iter()
                .all(|ip| there.iter().any(|link| link.addresses.contains(&ip.address)));
        let done = format!("ADD whose delegate said {said}");
        let expected = "a result in the configuration's version, with the addresses of the link";
        ensure(right, done, expected, describe(&outcome))?;
        call.del().succeeds()?;
    }
    before.is_still_all(fixture, "ADD whose delegate answered in another version")
}

pub(super) fn released(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    let mut said = kit_ipam_answer(fixture);
    set(&mut said, "ips", json!([{ "version": "4", "address": "10.1.2.500/24" }]));
    set_ipam_answer("ADD", &said, 0);
    let before = ipam::calls().len();
    let outcome = call(fixture, &container, &kit_ipam_config(fixture)).add();
    outcome.fails().map_err(|stop| about(stop, &said.to_string()))?;
    call_since(before, "DEL").map(drop)
}
