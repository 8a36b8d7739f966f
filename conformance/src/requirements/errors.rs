//! Errors: their shape, their codes, and what else must not be printed.

use serde_json::{Value, json};
use testbed::Outcome;

use super::steps::{naming, orderly, state, unchanged, with_kit_ipam};
use crate::bench::{Bench, Call};
use crate::requirement::{Judge, Level, Of, Requirement, Verdict, Versions, ensure, seen};

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "S2.ERR.1",
        source: "CNI 0.4.0, Result; CNI 1.1.0, section 2, Errors; section 5, Error",
        says: "An error is an exit status that is not 0 and an object with `code` and `msg` alone on standard output",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: shape,
    },
    Requirement {
        id: "S2.ERR.2",
        source: "CNI 0.4.0, Result; CNI 1.1.0, section 5, Error",
        says: "An error has the `cniVersion` of the configuration",
        level: Level::Should,
        of: Of::All,
        versions: Versions::Newest,
        test: version,
    },
    Requirement {
        id: "S2.ERR.3",
        source: "CNI 0.4.0, Well-known Error Codes; CNI 1.1.0, section 5, Error",
        says: "An error's code is one that the specification defines, or 100 and above",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: codes,
    },
    Requirement {
        id: "S2.ERR.4",
        source: "CNI 1.1.0, section 5, Error; RFC 8259",
        says: "An error is valid JSON also where it repeats quotes, control characters or bytes that are no UTF-8",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: quoting,
    },
    Requirement {
        id: "S2.ERR.5",
        source: "CNI 1.1.0, section 2, Errors",
        says: "Values of the wrong kind under any well-known key do not crash the plugin, whatever the command",
        level: Level::Expected,
        of: Of::All,
        versions: Versions::Newest,
        test: no_crash,
    },
    Requirement {
        id: "S2.ERR.6",
        source: "CNI 1.1.0, section 2, CHECK and DEL",
        says: "A `prevResult` that makes no sense does not crash CHECK or DEL, and DEL changes nothing of others",
        level: Level::Expected,
        of: Of::All,
        versions: Versions::Newest,
        test: senseless_results,
    },
    Requirement {
        id: "S2.ERR.7",
        source: "CNI 1.1.0, section 4, delegated plugin execution procedure",
        says: "An answer of the address management plugin that makes no sense does not crash the plugin",
        level: Level::Expected,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: senseless_answers,
    },
];

/// Calls that any plugin must refuse, each in another way.
fn bad_calls(bench: &Bench) -> Vec<(&'static str, Outcome)> {
    let call = bench.call(&bench.container("a"));
    let key = |key: &str, value: Value| call.clone().with(|cni| cni.key(key, value));
    vec![
        ("no configuration", call.clone().with(|cni| cni.stdin("")).add()),
        ("no JSON", call.clone().with(|cni| cni.stdin("{")).add()),
        ("a name that is not allowed", key("name", json!("../up")).add()),
        ("a version that does not exist", key("cniVersion", json!("99.0.0")).add()),
        ("no CNI_CONTAINERID", call.clone().with(|cni| cni.unset("CNI_CONTAINERID")).add()),
        ("no CNI_IFNAME", call.clone().with(|cni| cni.unset("CNI_IFNAME")).del()),
        ("an interface name that is not allowed", call.clone().with(|cni| cni.ifname("a/b")).add()),
        ("a command that does not exist", call.verb("JOIN")),
    ]
}

fn shape(bench: &Bench) -> Verdict {
    bad_calls(bench).into_iter().try_for_each(|(input, outcome)| {
        naming(input, outcome.fails().map(drop))?;
        naming(input, no_trace(&outcome))
    })
}

fn version(bench: &Bench) -> Verdict {
    let call = bench.call(&bench.container("a"));
    for (input, outcome) in [
        ("an interface name that is not allowed", call.clone().with(|cni| cni.ifname("a/b")).add()),
        ("a command that does not exist", call.verb("JOIN")),
    ] {
        naming(input, outcome.fails())?;
        let error: Value = serde_json::from_str(&outcome.stdout).unwrap_or_default();
        let has_version = error.get("cniVersion").is_some_and(|found| found == bench.version());
        let expected = format!("an error with cniVersion {}", bench.version());
        ensure(has_version, format!("{}: {input}", outcome.call), expected, &error)?;
    }
    Ok(())
}

fn codes(bench: &Bench) -> Verdict {
    let mut outcomes = bad_calls(bench);
    let missing = bench.call(&bench.container("b")).with(|cni| cni.env("CNI_NETNS", "/run/no"));
    if bench.profile.kind == crate::profile::Kind::Interface {
        outcomes.push(("no namespace", missing.add()));
    }
    for (input, outcome) in outcomes {
        let told = naming(input, outcome.fails())?;
        // 8 is not in the specification's table, but the code of its own library for a namespace that cannot be used.
        let known = matches!(told.code, 1..=8 | 11 | 50 | 51 | 100..);
        let done = format!("{}: {input}", outcome.call);
        ensure(known, done, "code 1 to 8, 11, 50, 51, or 100 and above", format!("{told:?}"))?;
    }
    Ok(())
}

fn quoting(bench: &Bench) -> Verdict {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let call = bench.call(&bench.container("a"));
    let strange = "a\"b\\c\n\t\u{1}\u{7f}\u{2028}</script>{}";
    let bytes = OsStr::from_bytes(b"a\xff\xfe\"/");
    let calls = [
        call.clone().with(|cni| cni.container(strange)),
        call.clone().with(|cni| cni.ifname(strange)),
        call.clone().with(|cni| cni.env("CNI_CONTAINERID", bytes)),
        call.clone().with(|cni| cni.env("CNI_IFNAME", bytes)),
        call.clone().with(|cni| cni.key("name", strange)),
        call.clone().with(|cni| cni.key("cniVersion", strange)),
    ];
    calls.iter().try_for_each(|call| call.add().fails().map(drop))?;
    call.verb(strange).fails().map(drop)
}

/// A crash shows in how the plugin ended, or in what it complained about.
fn no_trace(outcome: &Outcome) -> Verdict {
    let by_itself = outcome.status.code().is_some_and(|code| !matches!(code, 101 | 134..=139));
    let traces = ["panicked at", "goroutine ", "Traceback (most recent", "core dumped"];
    let quiet = !traces.iter().any(|trace| outcome.stderr.contains(trace));
    ensure(by_itself && quiet, &outcome.call, "no crash", seen(outcome))
}

/// The commands that are there in the version, for one attachment.
fn all_commands(bench: &Bench, call: &Call<'_>) -> Vec<Outcome> {
    let mut outcomes = vec![call.add()];
    if bench.is_from("0.4.0") {
        outcomes.push(call.verb("CHECK"));
    }
    if bench.is_from("1.1.0") {
        outcomes.extend([call.status(), call.verb("GC")]);
    }
    outcomes.push(call.del());
    outcomes
}

fn no_crash(bench: &Bench) -> Verdict {
    let container = bench.container("a");
    let keys = [
        "ipam",
        "dns",
        "args",
        "runtimeConfig",
        "capabilities",
        "prevResult",
        "cni.dev/valid-attachments",
    ];
    // Of the wrong kind for each key: it takes what is a list where a dictionary should be, and so on.
    let values = [json!(null), json!(7), json!("text"), json!([[]])];
    for (key, value) in keys.iter().flat_map(|key| values.iter().map(move |value| (key, value))) {
        let call = bench.call(&container).with(|cni| cni.key(key, value.clone()));
        for outcome in all_commands(bench, &call) {
            let input = format!("{key}: {value}");
            naming(&input, orderly(&outcome))?;
            naming(&input, no_trace(&outcome))?;
        }
    }
    Ok(())
}

/// Results that no plugin could have printed.
fn nonsense(bench: &Bench) -> Vec<Value> {
    let version = bench.version();
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

fn senseless_results(bench: &Bench) -> Verdict {
    bench.added("b")?;
    let container = bench.container("a");
    let before = state(bench);
    for result in nonsense(bench) {
        let call = bench.call(&container).with(|cni| cni.prev(&result));
        let mut outcomes = vec![call.del()];
        if bench.is_from("0.4.0") {
            outcomes.push(call.verb("CHECK"));
        }
        for outcome in outcomes {
            naming(format!("prevResult {result}"), orderly(&outcome))?;
            naming(format!("prevResult {result}"), no_trace(&outcome))?;
        }
    }
    unchanged(bench, &before, "CHECK and DEL of what was never added")
}

fn senseless_answers(bench: &Bench) -> Verdict {
    let container = bench.container("a");
    let call = with_kit_ipam(bench, &container);
    let texts = ["", "null", "[]", "no JSON", "{", "7"].map(str::to_owned);
    for answer in texts.into_iter().chain(nonsense(bench).iter().map(Value::to_string)) {
        super::steps::let_ipam_say("ADD", &answer, 0);
        let outcome = call.add();
        let input = format!("the address management plugin answers {answer:?}");
        naming(&input, orderly(&outcome))?;
        naming(&input, no_trace(&outcome))?;
        naming(&input, orderly(&call.del()))?;
    }
    Ok(())
}
