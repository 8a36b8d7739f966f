//! A plugin type that is a path: the plugin would run any program of the machine as root.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::fixture::{Call, Container, Fixture};
use crate::isolation::broken;
use crate::json::set;
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::{OutcomeExt, TestResult, ensure, failed};

use super::scenes::{SCENE, folder, program};

/// The type of the IPAM plugin.
pub(super) const IPAM_TYPE: Requirement = Requirement {
    id: "CVE-2021-20206",
    source: "CVE-2021-20206 (GHSA-xjqr-g762-pxwp); CNI 1.1.0, section 1, `type`",
    statement: "The plugin must not run a program for an `ipam.type` that contains a path, nor \
        any program outside of CNI_PATH",
    level: Level::Must,
    applies_to: AppliesTo::Delegating,
    versions: Versions::Newest,
    test: paths_as_types,
};

/// As in the advisory.
const OUTSIDE: &str = "../outside/decoy";
/// Types, and the programs that they would run as paths. The directory `inside` is in CNI_PATH, and
/// `here` is the plugin's working directory.
const TYPES: [&str; 7] = [
    OUTSIDE,
    "../../museum/outside/decoy",
    "/run/testbed/museum/outside/decoy",
    "below/decoy",
    "./decoy",
    "../here/decoy",
    "decoy",
];

fn paths_as_types(fixture: &Fixture) -> TestResult {
    let mark = format!("{SCENE}/mark");
    for place in ["outside", "here", "inside/below"] {
        program(&format!("{}/decoy", folder(place)), &mark);
    }
    let container = fixture.container("a");
    let call = |name: &str| with_type(fixture, &container, name);
    // The control: a program in the right directory is run.
    program(&format!("{}/proper", folder("inside")), &mark);
    call("proper").add();
    fs::remove_file(&mark).map_err(|_| {
        failed("ADD with an `ipam.type` that is in CNI_PATH", "it is run", "it was not run")
    })?;
    for name in TYPES {
        let call = call(name);
        call.add().fails()?;
        is_not_run(&mark, "ADD", name)?;
        // All commands look for the plugin in the same way, so one path is enough.
        let others: &[&str] = if name == OUTSIDE { &["CHECK", "DEL", "STATUS", "GC"] } else { &[] };
        for verb in others {
            call.verb(verb);
            is_not_run(&mark, verb, name)?;
        }
    }
    Ok(())
}

/// A call in a working directory with a program, which is in PATH, too.
fn with_type<'a>(fixture: &'a Fixture, container: &Container, name: &str) -> Call<'a> {
    let mut config = fixture.config();
    set(&mut config, "ipam", json!({ "type": name }));
    let path = std::env::var("PATH").unwrap_or_default();
    // One directory, because this is not about lists.
    let plugins = format!("{SCENE}/inside");
    fixture.case.suite.link_programs(&plugins).unwrap_or_else(|error| broken(&error));
    let prev = json!({ "cniVersion": fixture.version() });
    fixture.call_with(&config).with(|cni| {
        cni.container(&container.id)
            .netns(&container.pod)
            .ifname("eth0")
            .prev(&prev)
            .env("CNI_PATH", plugins)
            .env("PATH", format!("{SCENE}/here:{path}"))
            .under(&["env", "-C", &format!("{SCENE}/here")])
    })
}

fn is_not_run(mark: &str, verb: &str, name: &str) -> TestResult {
    ensure(
        !Path::new(mark).exists(),
        format!(
            "{verb} with `ipam.type` {name:?} in the folder {SCENE}/here, CNI_PATH is \
             {SCENE}/inside"
        ),
        "an error, and nothing is run",
        "the plugin ran a program of that name outside the directories of CNI_PATH",
    )
}
