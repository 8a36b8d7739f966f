//! VERSION: a plugin lists the versions of the specification that it supports.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::steps::{add_and_del, state, unchanged, with_input};
use crate::fixture::Fixture;
use crate::json::set;
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::{NotPassed, OutcomeExt, TestResult, ensure, failed};

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
        level: Level::Must,
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
    let is_version = |version: &str| {
        version.split('.').count() == 3
            && version.split('.').all(|part| part.parse::<u32>().is_ok())
    };
    ensure(versions.iter().all(|version| is_version(version)), "VERSION", "versions", &answer)?;
    let container = fixture.container("a");
    for version in versions {
        // The oldest versions have no result without addresses.
        let speakable = fixture.profile.config.get("ipam").is_some()
            || crate::version::numbers(version) >= vec![0, 3, 0];
        if container.prev.is_none() && speakable {
            let mut config = fixture.config();
            set(&mut config, "cniVersion", version);
            let call = fixture.call(&container).with(|cni| cni.conf(&config));
            with_input(format!("cniVersion {version}"), add_and_del(&call))?;
        }
    }
    Ok(())
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
