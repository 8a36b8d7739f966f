//! VERSION: a plugin lists the versions of the specification that it supports.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::steps::{state, unchanged, with_input};
use crate::fixture::{Call, Fixture};
use crate::json::{set, text};
use crate::profile::Kind;
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::{NotPassed, OutcomeExt, TestResult, ensure, failed};
use crate::version::{self, numbers};

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "S2.VERSION.1",
        source: "CNI 1.1.0, section 2, VERSION",
        statement: "VERSION must print an object with `cniVersion` and a list \
            `supportedVersions`, and succeed",
        level: Level::Must,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: an_object_with_versions,
    },
    Requirement {
        id: "S2.VERSION.2",
        source: "CNI 1.1.0, section 2, VERSION",
        statement: "VERSION must need no variable except CNI_COMMAND",
        level: Level::Must,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: nothing_but_the_command,
    },
    Requirement {
        id: "S2.VERSION.3",
        source: "CNI 0.4.0, Parameters, VERSION: none",
        statement: "VERSION must need no standard input",
        level: Level::Expected,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: nothing_to_read,
    },
    Requirement {
        id: "S2.VERSION.4",
        source: "CNI 1.1.0, section 5, Version",
        statement: "The answer to VERSION must have the `cniVersion` of the request",
        level: Level::Must,
        applies_to: AppliesTo::All,
        versions: Versions::From("1.0.0"),
        test: same_version,
    },
    Requirement {
        id: "S2.VERSION.5",
        source: "CNI 1.1.0, section 5, Version",
        statement: "`supportedVersions` must list versions of the specification, each once, and \
            ADD must support each of them",
        level: Level::Must,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: speaks_them,
    },
    Requirement {
        id: "S2.VERSION.6",
        source: "CNI 1.1.0, section 2, VERSION",
        statement: "VERSION must change nothing",
        level: Level::Expected,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: changes_nothing,
    },
];

fn an_object_with_versions(fixture: &Fixture) -> TestResult {
    supported(&fixture.call_with(&fixture.config()).verb("VERSION").succeeds()?).map(drop)
}

fn nothing_but_the_command(fixture: &Fixture) -> TestResult {
    let bare = fixture.call_with(&fixture.config()).with(|cni| {
        ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"]
            .iter()
            .fold(cni, |cni, name| cni.unset(name))
    });
    supported(&bare.verb("VERSION").succeeds()?).map(drop)
}

fn nothing_to_read(fixture: &Fixture) -> TestResult {
    let call = fixture.call_with(&fixture.config()).with(|cni| cni.stdin(""));
    supported(&call.verb("VERSION").succeeds()?).map(drop)
}

fn same_version(fixture: &Fixture) -> TestResult {
    let asked = json!({ "cniVersion": fixture.version() });
    let answer = fixture.call_with(&asked).verb("VERSION").succeeds()?;
    let done = format!("VERSION with cniVersion {}", fixture.version());
    let same = answer.get("cniVersion").is_some_and(|version| version == fixture.version());
    ensure(same, done, "the same `cniVersion` in the answer", answer)
}

fn speaks_them(fixture: &Fixture) -> TestResult {
    let answer = fixture.call_with(&fixture.config()).verb("VERSION").succeeds()?;
    let versions = supported(&answer)?;
    let different: BTreeSet<&str> = versions.iter().copied().collect();
    ensure(different.len() == versions.len(), "VERSION", "no version twice", &answer)?;
    let foreign = versions.iter().find(|version| !version::ALL.contains(version));
    let seen = foreign.map(ToString::to_string).unwrap_or_default();
    ensure(foreign.is_none(), "VERSION", format!("only versions among {:?}", version::ALL), seen)?;
    for version in versions.into_iter().filter(|version| has_result(fixture, version)) {
        // A plugin whose DEL leaves something in the container may still support the next version.
        let container = fixture.container(&format!("v{}", version.replace('.', "")));
        let mut config = fixture.config();
        set(&mut config, "cniVersion", version);
        let call = fixture.call(&container).with(|cni| {
            let cni = cni.conf(&config);
            container.prev.iter().fold(cni, |cni, prev| cni.prev(&in_version(prev, version)))
        });
        with_input(format!("cniVersion {version}"), answers_in(&call, version))?;
    }
    Ok(())
}

/// Whether a version can express the result. The oldest versions have neither chains nor results
/// without addresses.
fn has_result(fixture: &Fixture, version: &str) -> bool {
    let has_addresses = match fixture.profile.kind {
        Kind::Chained => false,
        Kind::Ipam => true,
        Kind::Interface => fixture.profile.config.get("ipam").is_some(),
    };
    has_addresses || numbers(version) >= numbers(version::OLDEST)
}

/// The result of the plugin before a chained one, in another version.
fn in_version(prev: &Value, version: &str) -> Value {
    let mut prev = prev.clone();
    set(&mut prev, "cniVersion", version);
    let is_old = numbers(version) < numbers("1.0.0");
    for ip in prev.get_mut("ips").and_then(Value::as_array_mut).into_iter().flatten() {
        let is_v6 = text(ip, "address").contains(':');
        match is_old {
            true => set(ip, "version", if is_v6 { "6" } else { "4" }),
            false => drop(ip.as_object_mut().and_then(|keys| keys.remove("version"))),
        }
    }
    prev
}

/// An ADD with a result of that version, and a DEL.
fn answers_in(call: &Call<'_>, version: &str) -> TestResult {
    let result = call.add().succeeds()?;
    let said = result.get("cniVersion").is_some_and(|said| said == version);
    // The oldest version has results without the key.
    let said = said || (version == "0.1.0" && result.get("cniVersion").is_none());
    ensure(said, "ADD", format!("a result of version {version}"), &result)?;
    call.del().succeeds().map(drop)
}

fn changes_nothing(fixture: &Fixture) -> TestResult {
    let (container, _) = fixture.added("a")?;
    let before = state(fixture);
    fixture.call(&container).verb("VERSION").succeeds()?;
    unchanged(fixture, &before, "VERSION")
}

/// The versions in an answer.
fn supported(answer: &Value) -> Result<Vec<&str>, NotPassed> {
    ensure(
        answer.get("cniVersion").is_some_and(Value::is_string),
        "VERSION",
        "`cniVersion`",
        answer,
    )?;
    let listed = answer.get("supportedVersions").and_then(Value::as_array);
    let listed = listed.ok_or_else(|| failed("VERSION", "a list `supportedVersions`", answer))?;
    let versions: Option<Vec<&str>> = listed.iter().map(Value::as_str).collect();
    match versions {
        Some(versions) if !versions.is_empty() => Ok(versions),
        _ => Err(failed("VERSION", "versions as strings in `supportedVersions`", answer)),
    }
}
