//! VERSION: a plugin says which versions of the specification it speaks.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::steps::{add_and_del, naming, state, unchanged};
use crate::bench::{Bench, set};
use crate::requirement::{Judge, Level, Of, Requirement, Stop, Verdict, Versions, ensure, failed};

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "S2.VERSION.1",
        source: "CNI 1.1.0, section 2, VERSION",
        says: "VERSION prints an object with `cniVersion` and a list `supportedVersions`, and succeeds",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: an_object_with_versions,
    },
    Requirement {
        id: "S2.VERSION.2",
        source: "CNI 1.1.0, section 2, VERSION",
        says: "VERSION needs nothing of the environment but the command",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: nothing_but_the_command,
    },
    Requirement {
        id: "S2.VERSION.3",
        source: "CNI 0.4.0, Parameters, VERSION: none",
        says: "VERSION needs nothing on standard input",
        level: Level::Expected,
        of: Of::All,
        versions: Versions::Newest,
        test: nothing_to_read,
    },
    Requirement {
        id: "S2.VERSION.4",
        source: "CNI 1.1.0, section 5, Version",
        says: "The `cniVersion` of the answer is the one that VERSION was asked with",
        level: Level::Must,
        of: Of::All,
        versions: Versions::From("1.0.0"),
        test: same_version,
    },
    Requirement {
        id: "S2.VERSION.5",
        source: "CNI 1.1.0, section 5, Version",
        says: "`supportedVersions` are versions of the specification, none twice, and ADD speaks each of them",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: speaks_them,
    },
    Requirement {
        id: "S2.VERSION.6",
        source: "CNI 1.1.0, section 2, VERSION",
        says: "VERSION changes nothing",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: changes_nothing,
    },
];

fn an_object_with_versions(bench: &Bench) -> Verdict {
    supported(&bench.call_with(&bench.config()).verb("VERSION").succeeds()?).map(drop)
}

fn nothing_but_the_command(bench: &Bench) -> Verdict {
    let bare = bench.call_with(&bench.config()).with(|cni| {
        ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"]
            .iter()
            .fold(cni, |cni, name| cni.unset(name))
    });
    supported(&bare.verb("VERSION").succeeds()?).map(drop)
}

fn nothing_to_read(bench: &Bench) -> Verdict {
    let call = bench.call_with(&bench.config()).with(|cni| cni.stdin(""));
    supported(&call.verb("VERSION").succeeds()?).map(drop)
}

fn same_version(bench: &Bench) -> Verdict {
    let asked = json!({ "cniVersion": bench.version() });
    let answer = bench.call_with(&asked).verb("VERSION").succeeds()?;
    let done = format!("VERSION with cniVersion {}", bench.version());
    let same = answer.get("cniVersion").is_some_and(|version| version == bench.version());
    ensure(same, done, "the same `cniVersion` in the answer", answer)
}

fn speaks_them(bench: &Bench) -> Verdict {
    let answer = bench.call_with(&bench.config()).verb("VERSION").succeeds()?;
    let versions = supported(&answer)?;
    let different: BTreeSet<&str> = versions.iter().copied().collect();
    ensure(different.len() == versions.len(), "VERSION", "no version twice", &answer)?;
    let is_version = |version: &str| {
        version.split('.').count() == 3
            && version.split('.').all(|part| part.parse::<u32>().is_ok())
    };
    ensure(versions.iter().all(|version| is_version(version)), "VERSION", "versions", &answer)?;
    let container = bench.container("a");
    for version in versions {
        // The oldest versions have no result without addresses.
        let speakable = bench.profile.config.get("ipam").is_some()
            || crate::requirement::number(version) >= vec![0, 3, 0];
        if container.prev.is_none() && speakable {
            let mut config = bench.config();
            set(&mut config, "cniVersion", version);
            let call = bench.call(&container).with(|cni| cni.conf(&config));
            naming(format!("cniVersion {version}"), add_and_del(&call))?;
        }
    }
    Ok(())
}

fn changes_nothing(bench: &Bench) -> Verdict {
    let (container, _) = bench.added("a")?;
    let before = state(bench);
    bench.call(&container).verb("VERSION").succeeds()?;
    unchanged(bench, &before, "VERSION")
}

/// The versions that an answer lists.
fn supported(answer: &Value) -> Result<Vec<&str>, Stop> {
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
