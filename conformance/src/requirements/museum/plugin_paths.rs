//! A plugin's type that is a path: any program of the machine would be run as root.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::bench::{Bench, Call, Container, set};
use crate::ipam;
use crate::requirement::{Judge, Level, Of, Requirement, Verdict, Versions, ensure, failed};

use super::scenes::{SCENE, folder, program};

/// The type of the address management plugin.
pub(super) const IPAM_TYPE: Requirement = Requirement {
    id: "CVE-2021-20206",
    source: "CVE-2021-20206 (GHSA-xjqr-g762-pxwp); CNI 1.1.0, section 1, `type`",
    says: "An `ipam.type` with a path in it runs no program, and none that is outside of CNI_PATH is run",
    level: Level::Must,
    of: Of::Delegating,
    versions: Versions::Newest,
    test: paths_as_types,
};

/// As in the advisory.
const OUTSIDE: &str = "../outside/decoy";
/// Types, and what they would run if they were taken for paths. The folder `inside` is in CNI_PATH, and the plugin's
/// working directory is `here`.
const TYPES: [&str; 7] = [
    OUTSIDE,
    "../../museum/outside/decoy",
    "/run/testbed/museum/outside/decoy",
    "below/decoy",
    "./decoy",
    "../here/decoy",
    "decoy",
];

fn paths_as_types(bench: &Bench) -> Verdict {
    let mark = format!("{SCENE}/mark");
    for place in ["outside", "here", "inside/below"] {
        program(&format!("{}/decoy", folder(place)), &mark);
    }
    let container = bench.container("a");
    let call = |name: &str| with_type(bench, &container, name);
    // What is where it belongs is run.
    program(&format!("{}/proper", folder("inside")), &mark);
    call("proper").add();
    fs::remove_file(&mark).map_err(|_| {
        failed("ADD with an `ipam.type` that is in CNI_PATH", "it is run", "it was not run")
    })?;
    for name in TYPES {
        let call = call(name);
        call.add().fails()?;
        is_not_run(&mark, "ADD", name)?;
        // They all look for it alike: one path is enough.
        let others: &[&str] = if name == OUTSIDE { &["CHECK", "DEL", "STATUS", "GC"] } else { &[] };
        for verb in others {
            call.verb(verb);
            is_not_run(&mark, verb, name)?;
        }
    }
    Ok(())
}

/// A call that is made in a folder with a program, which is in PATH too.
fn with_type<'a>(bench: &'a Bench, container: &Container, name: &str) -> Call<'a> {
    let mut config = bench.config();
    set(&mut config, "ipam", json!({ "type": name }));
    let path = std::env::var("PATH").unwrap_or_default();
    let plugins = format!("{SCENE}/inside:{}:{}", bench.case.suite.search_path(), ipam::FOLDER);
    let prev = json!({ "cniVersion": bench.version() });
    bench.call_with(&config).with(|cni| {
        cni.container(&container.id)
            .netns(&container.pod)
            .ifname("eth0")
            .prev(&prev)
            .env("CNI_PATH", plugins)
            .env("PATH", format!("{SCENE}/here:{path}"))
            .under(&["env", "-C", &format!("{SCENE}/here")])
    })
}

fn is_not_run(mark: &str, verb: &str, name: &str) -> Verdict {
    ensure(
        !Path::new(mark).exists(),
        format!(
            "{verb} with `ipam.type` {name:?} in the folder {SCENE}/here, CNI_PATH begins with {SCENE}/inside"
        ),
        "an error, and nothing is run",
        "a program of that name was run that is not directly in a folder of CNI_PATH",
    )
}
