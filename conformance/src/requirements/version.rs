//! VERSION: a plugin says which versions of the specification it speaks.

use serde_json::Value;

use crate::bench::Bench;
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
