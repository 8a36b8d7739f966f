//! The network configuration: what a plugin reads, and what is wrong with it.

mod json;

use serde_json::{Value, json};

use super::steps::{add_and_del, has_code, naming, refused};
use crate::bench::{Bench, Call, addresses, set};
use crate::profile::{Kind, Profile};
use crate::requirement::{Judge, Level, Of, Requirement, Verdict, Versions, ensure};

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "S1.JSON.1",
        source: "CNI 1.1.0, section 2, ADD: input; section 5, Error, code 6",
        says: "What is no JSON object on standard input is refused, and nothing is done",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: json::no_json,
    },
    Requirement {
        id: "S1.JSON.2",
        source: "CNI 1.1.0, section 5, Error, code 6",
        says: "The error for a configuration that cannot be decoded has code 6",
        level: Level::Should,
        of: Of::All,
        versions: Versions::Newest,
        test: json::code_of_no_json,
    },
    Requirement {
        id: "S1.JSON.3",
        source: "RFC 8259; CNI 1.1.0, section 5, Error",
        says: "Strange JSON (deep, huge numbers, no UTF-8, keys twice) is accepted or refused in order",
        level: Level::Expected,
        of: Of::All,
        versions: Versions::Newest,
        test: json::strange_json,
    },
    Requirement {
        id: "S1.JSON.4",
        source: "CNI 1.1.0, section 2, ADD: input",
        says: "A configuration of a megabyte is read to its end",
        level: Level::Expected,
        of: Of::All,
        versions: Versions::Newest,
        test: json::large,
    },
    Requirement {
        id: "S1.TYPES.1",
        source: "CNI 1.1.0, section 1, configuration format",
        says: "A `name` or `cniVersion` that is no string is refused, and nothing is done",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: wrong_types,
    },
    Requirement {
        id: "S1.TYPES.2",
        source: "CNI 1.1.0, section 1, plugin configuration objects",
        says: "An `ipam` that is no dictionary, or whose `type` is no string, is refused, and nothing is done",
        level: Level::Must,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: wrong_ipam,
    },
    Requirement {
        id: "S1.NAME.1",
        source: "CNI 1.1.0, section 1, configuration format; section 3, deriving execution configuration",
        says: "A configuration without a `name`, or with an empty one, is refused",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: no_name,
    },
    Requirement {
        id: "S1.NAME.2",
        source: "CNI 1.1.0, section 1, configuration format",
        says: "A `name` of other than letters, digits, `_`, `.` and `-`, or with another first, is refused",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: bad_names,
    },
    Requirement {
        id: "S1.NAME.3",
        source: "CNI 1.1.0, section 1, configuration format",
        says: "Any `name` of the characters that are allowed is accepted, short and long",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: good_names,
    },
    Requirement {
        id: "S1.NAME.4",
        source: "CNI 1.1.0, section 5, Error, code 7",
        says: "The error for a `name` that is not allowed has code 7",
        level: Level::Should,
        of: Of::All,
        versions: Versions::Newest,
        test: code_of_bad_names,
    },
    Requirement {
        id: "S1.VERSION.1",
        source: "CNI 0.4.0, Result; CNI 1.1.0, section 5, Error, code 1",
        says: "A `cniVersion` that the plugin does not speak, or that is none, is refused, and nothing is done",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: foreign_versions,
    },
    Requirement {
        id: "S1.VERSION.2",
        source: "CNI 0.4.0, Result; CNI 1.1.0, section 5, Error, code 1",
        says: "The error for a `cniVersion` that the plugin does not speak has code 1, whatever the command",
        level: Level::Should,
        of: Of::All,
        versions: Versions::Newest,
        test: code_of_foreign_versions,
    },
    Requirement {
        id: "S1.VERSION.3",
        source: "the common practice for configurations older than the key",
        says: "A configuration without `cniVersion` counts as 0.1.0: it gets such a result, or error code 1",
        level: Level::Expected,
        of: Of::That(not_chained, "are called first"),
        versions: Versions::Newest,
        test: no_version,
    },
    Requirement {
        id: "S1.KEYS.1",
        source: "CNI 0.4.0, Network Configuration; CNI 1.1.0, section 1, reserved keys",
        says: "What is in `args` and not understood is ignored",
        level: Level::Should,
        of: Of::All,
        versions: Versions::Newest,
        test: unknown_args,
    },
    Requirement {
        id: "S1.KEYS.2",
        source: "CNI 1.1.0, section 3, deriving `runtimeConfig`; section 1, reserved keys",
        says: "Keys that runtimes put in are no error: `runtimeConfig`, `capabilities`, any `cni.dev/` key",
        level: Level::Expected,
        of: Of::All,
        versions: Versions::Newest,
        test: keys_of_runtimes,
    },
    Requirement {
        id: "S1.KEYS.3",
        source: "CNI 1.1.0, section 1, well-known keys",
        says: "The well-known key `dns` is no error, with all that can be in it",
        level: Level::Expected,
        of: Of::All,
        versions: Versions::Newest,
        test: well_known_keys,
    },
    Requirement {
        id: "S1.KEYS.4",
        source: "the common library's way to match keys, on which configurations in use rely",
        says: "Keys are understood in other letter case too: `IPAM`, `CniVersion`",
        level: Level::Expected,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: other_letter_case,
    },
];

/// A result before in another version than the configuration's would be a mistake of its own.
fn not_chained(profile: &Profile) -> bool {
    profile.kind != Kind::Chained
}

/// The call with a key of the configuration.
fn with_key<'a>(call: &Call<'a>, key: &str, value: &Value) -> Call<'a> {
    call.clone().with(|cni| cni.key(key, value.clone()))
}

/// A call for a new container.
fn call(bench: &Bench) -> Call<'_> {
    bench.call(&bench.container("a"))
}

fn wrong_types(bench: &Bench) -> Verdict {
    let call = call(bench);
    let values = [json!(7), json!(true), json!([]), json!({}), json!(["judged"])];
    let inputs = ["name", "cniVersion"].into_iter().flat_map(|key| {
        let call = &call;
        values.iter().map(move |value| (key, with_key(call, key, value)))
    });
    refused(bench, inputs)
}

fn wrong_ipam(bench: &Bench) -> Verdict {
    let call = call(bench);
    let values = [
        ("`ipam` a string", json!("host-local")),
        ("`ipam` a number", json!(7)),
        ("`ipam` a list", json!(["host-local"])),
        ("`ipam.type` a number", json!({ "type": 7 })),
        ("`ipam.type` a dictionary", json!({ "type": {} })),
    ];
    let inputs = values.iter().map(|(input, value)| (*input, with_key(&call, "ipam", value)));
    refused(bench, inputs)
}

/// A call for a new container, without a key of the configuration.
fn without_key<'a>(bench: &'a Bench, key: &str) -> Call<'a> {
    let mut config = bench.config();
    config.as_object_mut().and_then(|keys| keys.remove(key));
    let container = bench.container("b");
    let call = bench.call(&container).with(|cni| cni.conf(&config));
    match &container.prev {
        Some(prev) => call.with(|cni| cni.prev(prev)),
        None => call,
    }
}

fn no_name(bench: &Bench) -> Verdict {
    let call = call(bench);
    let inputs = [
        ("no name", without_key(bench, "name")),
        ("an empty name", with_key(&call, "name", &json!(""))),
    ];
    refused(bench, inputs)
}

const BAD_NAMES: [&str; 11] =
    ["..", ".", "../up", "/root", "a/b", "-a", "_a", ".a", "a b", "a\nb", "caf\u{e9}"];

fn bad_names(bench: &Bench) -> Verdict {
    let call = call(bench);
    let inputs = BAD_NAMES.map(|name| (name, with_key(&call, "name", &json!(name))));
    refused(bench, inputs)
}

fn code_of_bad_names(bench: &Bench) -> Verdict {
    let call = call(bench);
    for name in BAD_NAMES {
        let outcome = with_key(&call, "name", &json!(name)).add();
        has_code(&naming(name, outcome.fails())?, 7, format!("ADD: the name {name:?}"))?;
    }
    Ok(())
}

fn good_names(bench: &Bench) -> Verdict {
    let long = "n".repeat(128);
    for (number, name) in ["0", "A.b_c-D", &long].into_iter().enumerate() {
        let container = bench.container(&format!("c{number}"));
        let mut config = bench.config();
        bench.profile.rename(&mut config, name, number);
        let call = bench.call(&container).with(|cni| {
            let cni = cni.conf(config);
            container.prev.iter().fold(cni, |cni, prev| cni.prev(prev))
        });
        naming(name, add_and_del(&call))?;
    }
    Ok(())
}

fn foreign_versions(bench: &Bench) -> Verdict {
    let call = call(bench);
    let versions = ["99.0.0", "0.9.9", "one", "1.x.0", "-1.0.0", "1.0.0.0"];
    let inputs = versions.map(|text| (text, with_key(&call, "cniVersion", &json!(text))));
    refused(bench, inputs)
}

fn code_of_foreign_versions(bench: &Bench) -> Verdict {
    let call = with_key(&call(bench), "cniVersion", &json!("99.0.0"));
    let mut verbs = vec![("ADD", call.add()), ("DEL", call.del())];
    if bench.is_from("0.4.0") {
        verbs.push(("CHECK", call.check(&json!({ "cniVersion": "99.0.0" }))));
    }
    if bench.is_from("1.1.0") {
        verbs.extend([("GC", call.gc(&[])), ("STATUS", call.status())]);
    }
    for (verb, outcome) in verbs {
        has_code(&outcome.fails()?, 1, format!("{verb}: cniVersion 99.0.0"))?;
    }
    Ok(())
}

fn no_version(bench: &Bench) -> Verdict {
    let call = without_key(bench, "cniVersion");
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

fn unknown_args(bench: &Bench) -> Verdict {
    let args = json!({
        "labels": [{ "key": "app", "value": "web" }],
        "org.example.com": { "deep": [1, 2.5, null, true] },
        "number": 7
    });
    add_and_del(&with_key(&call(bench), "args", &args))
}

fn keys_of_runtimes(bench: &Bench) -> Verdict {
    let call = with_key(&call(bench), "runtimeConfig", &json!({ "org.example.unknown": [7] }));
    let call = with_key(&call, "capabilities", &json!({ "org.example.unknown": true }));
    let call = with_key(&call, "cni.dev/unknown", &json!({ "a": "b" }));
    add_and_del(&with_key(&call, "cni.dev/valid-attachments", &json!([])))
}

fn well_known_keys(bench: &Bench) -> Verdict {
    let dns = json!({
        "nameservers": ["10.1.2.1", "fd00:1:2::1"], "domain": "example.com",
        "search": ["a.example.com", "example.com"], "options": ["ndots:5"]
    });
    add_and_del(&with_key(&call(bench), "dns", &dns))
}

fn other_letter_case(bench: &Bench) -> Verdict {
    let config = bench.config();
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
    let call = call(bench).with(|cni| cni.conf(&other));
    let result = call.add().succeeds()?;
    let done = "ADD with the keys CniVersion, Name and IPAM";
    let has_version = result.get("cniVersion").is_some_and(|version| version == bench.version());
    ensure(has_version, done, format!("a result of version {}", bench.version()), &result)?;
    ensure(!addresses(&result).is_empty(), done, "addresses in the result", &result)?;
    call.del().succeeds().map(drop)
}
