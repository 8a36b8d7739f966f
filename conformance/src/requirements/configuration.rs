//! The network configuration: valid and invalid input.

mod json;

use serde_json::{Value, json};

use super::steps::{add_and_del, has_code, refused, with_input};
use crate::fixture::{Call, Fixture, addresses};
use crate::json::set;
use crate::profile::{Kind, Profile};
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::{OutcomeExt, TestResult, ensure};

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "S1.JSON.1",
        source: "CNI 1.1.0, section 2, ADD: input; section 5, Error, code 6",
        statement: "The plugin must reject input that is not a JSON object, and change nothing",
        level: Level::Must,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: json::no_json,
    },
    Requirement {
        id: "S1.JSON.2",
        source: "CNI 1.1.0, section 5, Error, code 6",
        statement: "The error for a configuration that cannot be decoded should have code 6",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::NewestFrom("1.0.0"),
        test: json::code_of_no_json,
    },
    Requirement {
        id: "S1.JSON.3",
        source: "RFC 8259; CNI 1.1.0, section 5, Error",
        statement: "The plugin must accept or properly reject unusual JSON: deep nesting, huge \
            numbers, invalid UTF-8, duplicate keys",
        level: Level::Expected,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: json::strange_json,
    },
    Requirement {
        id: "S1.JSON.4",
        source: "CNI 1.1.0, section 2, ADD: input",
        statement: "The plugin must read a configuration of one megabyte completely",
        level: Level::Expected,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: json::large,
    },
    Requirement {
        id: "S1.TYPES.1",
        source: "CNI 1.1.0, section 1, configuration format",
        statement: "The plugin must reject a `name` or `cniVersion` that is not a string, and \
            change nothing",
        level: Level::Expected,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: wrong_types,
    },
    Requirement {
        id: "S1.TYPES.2",
        source: "CNI 1.1.0, section 1, plugin configuration objects",
        statement: "The plugin must reject an `ipam` that is not a dictionary, or whose `type` is \
            not a string, and change nothing",
        level: Level::Expected,
        applies_to: AppliesTo::Delegating,
        versions: Versions::Newest,
        test: wrong_ipam,
    },
    Requirement {
        id: "S1.NAME.1",
        source: "CNI 1.1.0, section 1, configuration format; section 3, deriving execution \
            configuration",
        statement: "The plugin should reject a configuration whose `name` is missing or empty",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::NewestFrom("0.4.0"),
        test: no_name,
    },
    Requirement {
        id: "S1.NAME.2",
        source: "CNI 1.1.0, section 1, configuration format",
        statement: "The plugin should reject a `name` with characters other than letters, digits, \
            `_`, `.`, `-`, or that begins with one of these three",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::NewestFrom("1.0.0"),
        test: bad_names,
    },
    Requirement {
        id: "S1.NAME.3",
        source: "CNI 1.1.0, section 1, configuration format",
        statement: "The plugin should accept any `name` of allowed characters, whether short or long",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: good_names,
    },
    Requirement {
        id: "S1.NAME.4",
        source: "CNI 1.1.0, section 5, Error, code 7",
        statement: "The error for an invalid `name` should have code 7",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::NewestFrom("1.0.0"),
        test: code_of_bad_names,
    },
    Requirement {
        id: "S1.VERSION.1",
        source: "CNI 0.4.0, Result; CNI 1.1.0, section 5, Error, code 1",
        statement: "The plugin must reject a `cniVersion` that is invalid or that it does not \
            support, and change nothing",
        level: Level::Must,
        applies_to: AppliesTo::All,
        versions: Versions::NewestFrom("0.4.0"),
        test: foreign_versions,
    },
    Requirement {
        id: "S1.VERSION.2",
        source: "CNI 0.4.0, Result; CNI 1.1.0, section 5, Error, code 1",
        statement: "The error for an unsupported `cniVersion` should have code 1 for every command",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::NewestFrom("0.4.0"),
        test: code_of_foreign_versions,
    },
    Requirement {
        id: "S1.VERSION.3",
        source: "the common practice for configurations older than the key",
        statement: "The plugin must treat a configuration without `cniVersion` as version 0.1.0: \
            with a result of that version, or error code 1",
        level: Level::Expected,
        applies_to: AppliesTo::Where(not_chained, "come first in a chain"),
        versions: Versions::Newest,
        test: no_version,
    },
    Requirement {
        id: "S1.KEYS.1",
        source: "CNI 0.4.0, Network Configuration; CNI 1.1.0, section 1, reserved keys",
        statement: "The plugin should ignore entries of `args` that it does not understand",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::NewestFrom("0.4.0"),
        test: unknown_args,
    },
    Requirement {
        id: "S1.KEYS.2",
        source: "CNI 1.1.0, section 3, deriving `runtimeConfig`; section 1, reserved keys",
        statement: "The plugin must accept the keys that runtimes insert: `runtimeConfig`, \
            `capabilities`, any `cni.dev/` key",
        level: Level::Expected,
        applies_to: AppliesTo::All,
        versions: Versions::NewestFrom("1.0.0"),
        test: keys_of_runtimes,
    },
    Requirement {
        id: "S1.KEYS.3",
        source: "CNI 1.1.0, section 1, well-known keys",
        statement: "The plugin must accept the well-known key `dns` with all its entries",
        level: Level::Expected,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: well_known_keys,
    },
    Requirement {
        id: "S1.KEYS.4",
        source: "the common library's way to match keys, on which configurations in use rely",
        statement: "The plugin must match keys without regard to case: `IPAM`, `CniVersion`",
        level: Level::Expected,
        applies_to: AppliesTo::Delegating,
        versions: Versions::Newest,
        test: other_letter_case,
    },
];

/// A previous result in another version would be an error of its own.
fn not_chained(profile: &Profile) -> bool {
    profile.kind != Kind::Chained
}

/// The call with another key in its configuration.
fn with_key<'a>(call: &Call<'a>, key: &str, value: &Value) -> Call<'a> {
    call.clone().with(|cni| cni.key(key, value.clone()))
}

/// A call for a new container.
fn call(fixture: &Fixture) -> Call<'_> {
    fixture.call(&fixture.container("a"))
}

fn wrong_types(fixture: &Fixture) -> TestResult {
    let call = call(fixture);
    let values = [json!(7), json!(true), json!([]), json!({}), json!(["judged"])];
    let inputs = ["name", "cniVersion"].into_iter().flat_map(|key| {
        let call = &call;
        values.iter().map(move |value| (key, with_key(call, key, value)))
    });
    refused(fixture, inputs)
}

fn wrong_ipam(fixture: &Fixture) -> TestResult {
    let call = call(fixture);
    let values = [
        ("`ipam` a string", json!("host-local")),
        ("`ipam` a number", json!(7)),
        ("`ipam` a list", json!(["host-local"])),
        ("`ipam.type` a number", json!({ "type": 7 })),
        ("`ipam.type` a dictionary", json!({ "type": {} })),
    ];
    let inputs = values.iter().map(|(input, value)| (*input, with_key(&call, "ipam", value)));
    refused(fixture, inputs)
}

/// A call for a new container, without a key of the configuration.
fn without_key<'a>(fixture: &'a Fixture, key: &str) -> Call<'a> {
    let mut config = fixture.config();
    config.as_object_mut().and_then(|keys| keys.remove(key));
    let container = fixture.container("b");
    let call = fixture.call(&container).with(|cni| cni.conf(&config));
    match &container.prev {
        Some(prev) => call.with(|cni| cni.prev(prev)),
        None => call,
    }
}

fn no_name(fixture: &Fixture) -> TestResult {
    let call = call(fixture);
    let inputs = [
        ("no name", without_key(fixture, "name")),
        ("an empty name", with_key(&call, "name", &json!(""))),
    ];
    refused(fixture, inputs)
}

const BAD_NAMES: [&str; 11] =
    ["..", ".", "../up", "/root", "a/b", "-a", "_a", ".a", "a b", "a\nb", "caf\u{e9}"];

fn bad_names(fixture: &Fixture) -> TestResult {
    let call = call(fixture);
    let inputs = BAD_NAMES.map(|name| (name, with_key(&call, "name", &json!(name))));
    refused(fixture, inputs)
}

fn code_of_bad_names(fixture: &Fixture) -> TestResult {
    let call = call(fixture);
    for name in BAD_NAMES {
        let outcome = with_key(&call, "name", &json!(name)).add();
        has_code(&with_input(name, outcome.fails())?, 7, format!("ADD: the name {name:?}"))?;
    }
    Ok(())
}

fn good_names(fixture: &Fixture) -> TestResult {
    let long = "n".repeat(128);
    for (number, name) in ["0", "A.b_c-D", &long].into_iter().enumerate() {
        let container = fixture.container(&format!("c{number}"));
        let mut config = fixture.config();
        fixture.profile.rename(&mut config, name, number);
        let call = fixture.call(&container).with(|cni| {
            let cni = cni.conf(config);
            container.prev.iter().fold(cni, |cni, prev| cni.prev(prev))
        });
        with_input(name, add_and_del(&call))?;
    }
    Ok(())
}

fn foreign_versions(fixture: &Fixture) -> TestResult {
    let call = call(fixture);
    let versions = ["99.0.0", "0.9.9", "one", "1.x.0", "-1.0.0", "1.0.0.0"];
    let inputs = versions.map(|text| (text, with_key(&call, "cniVersion", &json!(text))));
    refused(fixture, inputs)
}

fn code_of_foreign_versions(fixture: &Fixture) -> TestResult {
    let call = with_key(&call(fixture), "cniVersion", &json!("99.0.0"));
    let mut verbs = vec![("ADD", call.add()), ("DEL", call.del())];
    if fixture.is_from("0.4.0") {
        verbs.push(("CHECK", call.check(&json!({ "cniVersion": "99.0.0" }))));
    }
    if fixture.is_from("1.1.0") {
        verbs.extend([("GC", call.gc(&[])), ("STATUS", call.status())]);
    }
    for (verb, outcome) in verbs {
        has_code(&outcome.fails()?, 1, format!("{verb}: cniVersion 99.0.0"))?;
    }
    Ok(())
}

fn no_version(fixture: &Fixture) -> TestResult {
    let call = without_key(fixture, "cniVersion");
    let done = "ADD without cniVersion";
    let outcome = call.add();
    if !outcome.status.success() {
        return has_code(&outcome.fails()?, 1, done);
    }
    let result = outcome.succeeds()?;
    let version = result.get("cniVersion").and_then(Value::as_str);
    ensure(matches!(version, None | Some("" | "0.1.0")), done, "cniVersion 0.1.0", &result)?;
    call.del().succeeds().map(drop)
}

fn unknown_args(fixture: &Fixture) -> TestResult {
    let args = json!({
        "labels": [{ "key": "app", "value": "web" }],
        "org.example.com": { "deep": [1, 2.5, null, true] },
        "number": 7
    });
    add_and_del(&with_key(&call(fixture), "args", &args))
}

fn keys_of_runtimes(fixture: &Fixture) -> TestResult {
    let call = with_key(&call(fixture), "runtimeConfig", &json!({ "org.example.unknown": [7] }));
    let call = with_key(&call, "capabilities", &json!({ "org.example.unknown": true }));
    let call = with_key(&call, "cni.dev/unknown", &json!({ "a": "b" }));
    add_and_del(&with_key(&call, "cni.dev/valid-attachments", &json!([])))
}

fn well_known_keys(fixture: &Fixture) -> TestResult {
    let dns = json!({
        "nameservers": ["10.1.2.1", "fd00:1:2::1"], "domain": "example.com",
        "search": ["a.example.com", "example.com"], "options": ["ndots:5"]
    });
    add_and_del(&with_key(&call(fixture), "dns", &dns))
}

fn other_letter_case(fixture: &Fixture) -> TestResult {
    let config = fixture.config();
    let mut other = Value::Object(serde_json::Map::new());
    for (key, value) in config.as_object().into_iter().flatten() {
        let key = match key.as_str() {
            "cniVersion" => "CniVersion",
            "name" => "Name",
            "ipam" => "IPAM",
            key => key,
        };
        set(&mut other, key, value.clone());
    }
    let call = call(fixture).with(|cni| cni.conf(&other));
    let result = call.attach()?;
    let done = "ADD with the keys CniVersion, Name and IPAM";
    let has_version = result.get("cniVersion").is_some_and(|version| version == fixture.version());
    ensure(has_version, done, format!("a result of version {}", fixture.version()), &result)?;
    ensure(!addresses(&result).is_empty(), done, "addresses in the result", &result)?;
    call.del().succeeds().map(drop)
}
