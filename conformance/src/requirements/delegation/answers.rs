//! A delegate whose answer to ADD is not what it should be.

use serde_json::{Value, json};

use crate::bench::{Bench, set};
use crate::ipam;
use crate::requirement::{Judge, Verdict, ensure, failed, seen};
use crate::requirements::results::{links::links, shape};

use super::failures::{Before, settle};
use super::{answer, call, call_since, config, says};
use crate::requirements::results::container;

/// ADD fails with each of these answers, and leaves nothing.
fn refused(bench: &Bench, answers: &[String]) -> Verdict {
    settle(bench)?;
    let container = container(bench, "one");
    let before = Before::of(bench);
    for said in answers {
        says("ADD", said, 0);
        call(bench, &container, &config(bench)).add().fails().map_err(|stop| about(stop, said))?;
    }
    before.is_still_all(bench, "ADD whose delegate answered nonsense")
}

/// What was done, with what the delegate said.
fn about(stop: crate::requirement::Stop, said: &str) -> crate::requirement::Stop {
    match stop {
        crate::requirement::Stop::Failed(finding) => failed(
            format!("{}, whose delegate said {said:?}", finding.done),
            finding.expected,
            finding.seen,
        ),
        other => other,
    }
}

pub(super) fn no_object(bench: &Bench) -> Verdict {
    let cut = answer(bench).to_string();
    let cut: String = cut.chars().take(cut.len() / 2).collect();
    let twice = answer(bench).to_string().repeat(2);
    refused(bench, &["no JSON".to_owned(), "[]".to_owned(), "7".to_owned(), cut, twice])
}

pub(super) fn no_addresses(bench: &Bench) -> Verdict {
    let with = |path: &str, value: Value| {
        let mut answer = answer(bench);
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
    refused(bench, &answers.map(|(path, value)| with(path, value)))
}

pub(super) fn without_addresses(bench: &Bench) -> Verdict {
    settle(bench)?;
    let version = bench.version();
    let answers = [
        json!({ "cniVersion": version }),
        json!({ "cniVersion": version, "ips": [] }),
        json!({ "cniVersion": version, "ips": null }),
    ];
    let container = container(bench, "one");
    let before = Before::of(bench);
    for said in &answers {
        says("ADD", said, 0);
        let call = call(bench, &container, &config(bench));
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
    before.is_still_all(bench, "ADD whose delegate had no address")
}

pub(super) fn other_version(bench: &Bench) -> Verdict {
    settle(bench)?;
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
        json!({ "ips": if bench.is_from("1.0.0") { new } else { old } }),
        json!({}),
    ];
    let container = container(bench, "one");
    let before = Before::of(bench);
    for said in &answers {
        says("ADD", said, 0);
        let call = call(bench, &container, &config(bench));
        let outcome = call.add();
        if !outcome.status.success() {
            outcome.fails().map_err(|stop| about(stop, &said.to_string()))?;
            continue;
        }
        let result = outcome.succeeds()?;
        let version = result.get("cniVersion").is_some_and(|version| version == bench.version());
        let there = links(&container.pod);
        let right = version
            && shape::ips(&result)?
                .iter()
                .all(|ip| there.iter().any(|link| link.addresses.contains(&ip.address)));
        let done = format!("ADD whose delegate said {said}");
        let expected = "a result in the configuration's version, with the addresses of the link";
        ensure(right, done, expected, seen(&outcome))?;
        call.del().succeeds()?;
    }
    before.is_still_all(bench, "ADD whose delegate answered in another version")
}

pub(super) fn released(bench: &Bench) -> Verdict {
    let container = container(bench, "one");
    let mut said = answer(bench);
    set(&mut said, "ips", json!([{ "version": "4", "address": "10.1.2.500/24" }]));
    says("ADD", &said, 0);
    let before = ipam::seen().len();
    let outcome = call(bench, &container, &config(bench)).add();
    outcome.fails().map_err(|stop| about(stop, &said.to_string()))?;
    call_since(before, "DEL").map(drop)
}
