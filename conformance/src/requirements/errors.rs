//! Errors: their format, their codes, and the absence of other output.

use serde_json::{Value, json};
use testbed::Outcome;

use super::steps::{state, succeeds_or_fails_properly, unchanged, with_input, with_kit_ipam};
use crate::evidence::describe;
use crate::fixture::{Call, Fixture};
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::{OutcomeExt, TestResult, ensure};

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "S2.ERR.1",
        source: "CNI 0.4.0, Result; CNI 1.1.0, section 2, Errors; section 5, Error",
        statement: "A plugin that fails should exit with a non-zero status and print only an object \
            with `code` and `msg` on standard output",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: shape,
    },
    Requirement {
        id: "S2.ERR.2",
        source: "CNI 0.4.0, Result; CNI 1.1.0, section 5, Error",
        statement: "An error should have the `cniVersion` of the configuration",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: version,
    },
    Requirement {
        id: "S2.ERR.3",
        source: "CNI 0.4.0, Well-known Error Codes; CNI 1.1.0, section 5, Error",
        statement: "An error code must be one that the specification defines, or at least 100",
        level: Level::Must,
        applies_to: AppliesTo::All,
        versions: Versions::NewestFrom("0.4.0"),
        test: codes,
    },
    Requirement {
        id: "S2.ERR.4",
        source: "CNI 1.1.0, section 5, Error; RFC 8259",
        statement: "An error should be valid JSON even if it repeats quotes, control characters or \
            invalid UTF-8",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: quoting,
    },
    Requirement {
        id: "S2.ERR.5",
        source: "CNI 1.1.0, section 2, Errors",
        statement: "A value of the wrong type under any well-known key must not crash the plugin, \
            for any command",
        level: Level::Expected,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: no_crash,
    },
    Requirement {
        id: "S2.ERR.6",
        source: "CNI 1.1.0, section 2, CHECK and DEL",
        statement: "An invalid `prevResult` must not crash CHECK or DEL, nor make DEL change what \
            belongs to others",
        level: Level::Expected,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: senseless_results,
    },
    Requirement {
        id: "S2.ERR.7",
        source: "CNI 1.1.0, section 4, delegated plugin execution procedure",
        statement: "An invalid answer of the IPAM plugin must not crash the plugin",
        level: Level::Expected,
        applies_to: AppliesTo::Delegating,
        versions: Versions::Newest,
        test: senseless_answers,
    },
];

/// Calls that every plugin must reject, for different reasons.
fn bad_calls(fixture: &Fixture) -> Vec<(&'static str, Outcome)> {
    let call = fixture.call(&fixture.container("a"));
    let key = |key: &str, value: Value| call.clone().with(|cni| cni.key(key, value));
    let mut calls = vec![
        ("no configuration", call.clone().with(|cni| cni.stdin("")).add()),
        ("no JSON", call.clone().with(|cni| cni.stdin("{")).add()),
        ("an unknown version", key("cniVersion", json!("99.0.0")).add()),
        ("no CNI_IFNAME", call.clone().with(|cni| cni.unset("CNI_IFNAME")).del()),
        ("an invalid interface name", call.clone().with(|cni| cni.ifname("a/b")).add()),
        ("an unknown command", call.verb("JOIN")),
    ];
    // Before, any name is valid, and the container ID is optional.
    if fixture.is_from("0.4.0") {
        calls.push(("an invalid name", key("name", json!("../up")).add()));
        let without = call.with(|cni| cni.unset("CNI_CONTAINERID"));
        calls.push(("no CNI_CONTAINERID", without.add()));
    }
    calls
}

fn shape(fixture: &Fixture) -> TestResult {
    bad_calls(fixture).into_iter().try_for_each(|(input, outcome)| {
        with_input(input, outcome.fails().map(drop))?;
        with_input(input, no_trace(&outcome))
    })
}

fn version(fixture: &Fixture) -> TestResult {
    let call = fixture.call(&fixture.container("a"));
    for (input, outcome) in [
        ("an invalid interface name", call.clone().with(|cni| cni.ifname("a/b")).add()),
        ("an unknown command", call.verb("JOIN")),
    ] {
        with_input(input, outcome.fails())?;
        let error: Value = serde_json::from_str(&outcome.stdout).unwrap_or_default();
        let has_version = error.get("cniVersion").is_some_and(|found| found == fixture.version());
        let expected = format!("an error with cniVersion {}", fixture.version());
        ensure(has_version, format!("{}: {input}", outcome.call), expected, &error)?;
    }
    Ok(())
}

fn codes(fixture: &Fixture) -> TestResult {
    let mut outcomes = bad_calls(fixture);
    let missing = fixture.call(&fixture.container("b")).with(|cni| cni.env("CNI_NETNS", "/run/no"));
    if fixture.profile.kind == crate::profile::Kind::Interface {
        outcomes.push(("no namespace", missing.add()));
    }
    for (input, outcome) in outcomes {
        let error = with_input(input, outcome.fails())?;
        // Code 8 is missing in the table of the specification. libcni defines it for a namespace
        // that cannot be used.
        let known = matches!(error.code, 1..=8 | 11 | 50 | 51 | 100..);
        let done = format!("{}: {input}", outcome.call);
        ensure(known, done, "code 1 to 8, 11, 50, 51, or 100 and above", format!("{error:?}"))?;
    }
    Ok(())
}

fn quoting(fixture: &Fixture) -> TestResult {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let call = fixture.call(&fixture.container("a"));
    let strange = "a\"b\\c\n\t\u{1}\u{7f}\u{2028}</script>{}";
    let bytes = OsStr::from_bytes(b"a\xff\xfe\"/");
    let mut calls = vec![
        call.clone().with(|cni| cni.ifname(strange)),
        call.clone().with(|cni| cni.env("CNI_IFNAME", bytes)),
        call.clone().with(|cni| cni.key("cniVersion", strange)),
    ];
    if fixture.is_from("0.4.0") {
        calls.extend([
            call.clone().with(|cni| cni.container(strange)),
            call.clone().with(|cni| cni.env("CNI_CONTAINERID", bytes)),
            call.clone().with(|cni| cni.key("name", strange)),
        ]);
    }
    calls.iter().try_for_each(|call| call.add().fails().map(drop))?;
    call.verb(strange).fails().map(drop)
}

/// A crash shows in the exit status or on standard error.
fn no_trace(outcome: &Outcome) -> TestResult {
    let by_itself = outcome.status.code().is_some_and(|code| !matches!(code, 101 | 134..=139));
    let traces = ["panicked at", "goroutine ", "Traceback (most recent", "core dumped"];
    let quiet = !traces.iter().any(|trace| outcome.stderr.contains(trace));
    ensure(by_itself && quiet, &outcome.call, "no crash", describe(outcome))
}

/// The commands of the version under test, for one attachment.
fn all_commands(fixture: &Fixture, call: &Call<'_>) -> Vec<Outcome> {
    let mut outcomes = vec![call.add()];
    if fixture.is_from("0.4.0") {
        outcomes.push(call.verb("CHECK"));
    }
    if fixture.is_from("1.1.0") {
        outcomes.extend([call.status(), call.verb("GC")]);
    }
    outcomes.push(call.del());
    outcomes
}

fn no_crash(fixture: &Fixture) -> TestResult {
    let container = fixture.container("a");
    let keys = [
        "ipam",
        "dns",
        "args",
        "runtimeConfig",
        "capabilities",
        "prevResult",
        "cni.dev/valid-attachments",
    ];
    // Values of a wrong type for each key: a list instead of a dictionary, and so on.
    let values = [json!(null), json!(7), json!("text"), json!([[]])];
    for (key, value) in keys.iter().flat_map(|key| values.iter().map(move |value| (key, value))) {
        let call = fixture.call(&container).with(|cni| cni.key(key, value.clone()));
        for outcome in all_commands(fixture, &call) {
            let input = format!("{key}: {value}");
            with_input(&input, succeeds_or_fails_properly(&outcome))?;
            with_input(&input, no_trace(&outcome))?;
        }
    }
    Ok(())
}

/// Results that no plugin could have printed.
fn nonsense(fixture: &Fixture) -> Vec<Value> {
    let version = fixture.version();
    vec![
        json!({}),
        json!({ "cniVersion": version }),
        json!({ "cniVersion": "99.0.0", "ips": [] }),
        json!({ "cniVersion": version, "ips": [{}] }),
        json!({ "cniVersion": version, "interfaces": [{}], "ips": [{ "address": "10.1.2.300/99" }] }),
        json!({ "cniVersion": version, "interfaces": [], "ips": [{ "address": "10.1.2.9/24", "interface": 7, "version": "4" }] }),
        json!({ "cniVersion": version, "ips": [{ "address": "10.1.2.9/24", "interface": -1, "version": "4" }] }),
        json!({ "cniVersion": version, "interfaces": [{ "name": "lo" }], "routes": [{ "dst": "nowhere" }] }),
        json!({ "cniVersion": version, "interfaces": { "eth0": {} }, "ips": "10.1.2.9/24" }),
    ]
}

fn senseless_results(fixture: &Fixture) -> TestResult {
    fixture.added("b")?;
    let container = fixture.container("a");
    let before = state(fixture);
    for result in nonsense(fixture) {
        let call = fixture.call(&container).with(|cni| cni.prev(&result));
        let mut outcomes = vec![call.del()];
        if fixture.is_from("0.4.0") {
            outcomes.push(call.verb("CHECK"));
        }
        for outcome in outcomes {
            with_input(format!("prevResult {result}"), succeeds_or_fails_properly(&outcome))?;
            with_input(format!("prevResult {result}"), no_trace(&outcome))?;
        }
    }
    unchanged(fixture, &before, "CHECK and DEL of an attachment that was never added")
}

fn senseless_answers(fixture: &Fixture) -> TestResult {
    let container = fixture.container("a");
    let call = with_kit_ipam(fixture, &container);
    let texts = ["", "null", "[]", "no JSON", "{", "7"].map(str::to_owned);
    for answer in texts.into_iter().chain(nonsense(fixture).iter().map(Value::to_string)) {
        super::steps::set_ipam_answer("ADD", &answer, 0);
        let outcome = call.add();
        let input = format!("the IPAM plugin answers {answer:?}");
        with_input(&input, succeeds_or_fails_properly(&outcome))?;
        with_input(&input, no_trace(&outcome))?;
        with_input(&input, succeeds_or_fails_properly(&call.del()))?;
    }
    Ok(())
}
