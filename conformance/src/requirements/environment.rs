//! The environment of a call: variables and names, valid and invalid.

mod names;
mod namespaces;

use std::fs;

use serde_json::{Value, json};

use super::steps::{
    add_and_del, has_code, has_link, state, succeeds_without_output, unchanged, with_input,
    with_kit_ipam,
};
use crate::evidence::describe;
use crate::fixture::{Call, Container, Fixture};
use crate::ipam;
use crate::isolation::broken;
use crate::profile::{Kind, Profile};
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::{OutcomeExt, PluginError, TestResult, ensure, failed};

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "S2.ENV.1",
        source: "CNI 1.1.0, section 2, required environment parameters of each operation",
        statement: "The plugin should fail if a required variable is missing or empty, and change \
            nothing",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: missing_variables,
    },
    Requirement {
        id: "S2.ENV.2",
        source: "CNI 1.1.0, section 5, Error, code 4",
        statement: "The error for a missing variable should have code 4 and name the variable",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::NewestFrom("1.0.0"),
        test: names_missing_variables,
    },
    Requirement {
        id: "S2.ENV.3",
        source: "CNI 1.1.0, section 2, Parameters",
        statement: "Without CNI_COMMAND the plugin must change nothing and print no result",
        level: Level::Expected,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: no_command,
    },
    Requirement {
        id: "S2.ENV.4",
        source: "CNI 1.1.0, section 2, CNI operations; section 5, Error, code 4",
        statement: "The plugin should fail with code 4 if CNI_COMMAND is not exactly a command of \
            the specification",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::NewestFrom("1.0.0"),
        test: unknown_commands,
    },
    Requirement {
        id: "S2.ENV.5",
        source: "CNI 1.1.0, section 2, Parameters, CNI_CONTAINERID",
        statement: "The plugin should reject a container ID with characters other than letters, \
            digits, `_`, `.`, `-`, or that begins with one of these three",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::NewestFrom("1.0.0"),
        test: names::bad_ids,
    },
    Requirement {
        id: "S2.ENV.6",
        source: "CNI 1.1.0, section 2, Parameters, CNI_CONTAINERID",
        statement: "The plugin should accept any container ID of allowed characters, whether short \
            or long",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: names::good_ids,
    },
    Requirement {
        id: "S2.ENV.7",
        source: "CNI 0.4.0, Parameters; CNI 1.1.0, section 2, Parameters, CNI_IFNAME",
        statement: "The plugin must reject an interface name that Linux does not allow or that \
            cannot be part of a path",
        level: Level::Must,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: names::bad_ifnames,
    },
    Requirement {
        id: "S2.ENV.8",
        source: "CNI 0.4.0, Parameters; CNI 1.1.0, section 2, Parameters, CNI_IFNAME",
        statement: "The plugin must accept any interface name that Linux allows, up to 15 \
            characters",
        level: Level::Expected,
        applies_to: AppliesTo::Where(not_chained, "come first in a chain"),
        versions: Versions::Newest,
        test: names::good_ifnames,
    },
    Requirement {
        id: "S2.ENV.9",
        source: "CNI 1.1.0, section 5, Error, code 4",
        statement: "The error for an invalid container ID or interface name should have code 4 and \
            name the variable",
        level: Level::Should,
        applies_to: AppliesTo::All,
        versions: Versions::NewestFrom("1.0.0"),
        test: names::names_invalid_variables,
    },
    Requirement {
        id: "S2.ENV.10",
        source: "CNI 1.1.0, section 2, Parameters, CNI_NETNS",
        statement: "ADD must fail if CNI_NETNS does not exist or is not a network namespace, and \
            leave nothing behind",
        level: Level::Must,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::Newest,
        test: namespaces::no_namespace,
    },
    Requirement {
        id: "S2.ENV.11",
        source: "CNI 0.4.0, Parameters, network namespace path",
        statement: "The plugin must accept a CNI_NETNS that is a file of a process, or a symbolic \
            link to a namespace",
        level: Level::Must,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::Newest,
        test: namespaces::namespaces_by_other_paths,
    },
    Requirement {
        id: "S2.ENV.12",
        source: "CNI 1.1.0, section 3, lifecycle: a container has a namespace of its own",
        statement: "ADD into the host's own namespace must fail and leave the host unchanged",
        level: Level::Expected,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::Newest,
        test: namespaces::own_namespace,
    },
    Requirement {
        id: "S2.ENV.13",
        source: "CNI 1.1.0, section 2, Parameters, CNI_ARGS; the CNI conventions, IgnoreUnknown",
        statement: "Every operation must accept CNI_ARGS as Kubernetes runtimes set it",
        level: Level::Expected,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: kubernetes_args,
    },
    Requirement {
        id: "S2.ENV.14",
        source: "CNI 1.1.0, section 2, Parameters",
        statement: "The plugin must ignore variables that the specification does not define, and \
            work in a large environment",
        level: Level::Expected,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: foreign_variables,
    },
    Requirement {
        id: "S2.ENV.15",
        source: "CNI 1.1.0, section 2, Parameters, CNI_PATH",
        statement: "The plugin should find the IPAM plugin in any directory of the list in CNI_PATH",
        level: Level::Should,
        applies_to: AppliesTo::Delegating,
        versions: Versions::Newest,
        test: several_folders,
    },
    Requirement {
        id: "S2.ENV.16",
        source: "runtimes start plugins from wherever they are",
        statement: "The plugin must work in any working directory, even in a deleted one",
        level: Level::Expected,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: no_working_directory,
    },
    Requirement {
        id: "S2.ENV.17",
        source: "CNI 1.1.0, section 2, Parameters: CNI_ARGS is optional",
        statement: "ADD, CHECK and DEL must succeed without CNI_ARGS",
        level: Level::Must,
        applies_to: AppliesTo::All,
        versions: Versions::NewestFrom("1.0.0"),
        test: no_args,
    },
];

fn not_chained(profile: &Profile) -> bool {
    profile.kind != Kind::Chained
}

/// `(operation, variable)`: the required variables.
fn required(fixture: &Fixture) -> Vec<(&'static str, &'static str)> {
    let mut required = vec![("ADD", "CNI_NETNS"), ("ADD", "CNI_IFNAME"), ("DEL", "CNI_IFNAME")];
    // Before, the container ID is optional.
    if fixture.is_from("0.4.0") {
        required.extend([("ADD", "CNI_CONTAINERID"), ("DEL", "CNI_CONTAINERID")]);
        required.extend(["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"].map(|name| ("CHECK", name)));
    }
    if fixture.is_from("1.1.0") {
        required.push(("GC", "CNI_PATH"));
    }
    required
}

/// A call for an existing attachment, for any operation.
fn added(fixture: &Fixture) -> Result<(Container, Call<'_>), crate::verdict::NotPassed> {
    let (container, result) = fixture.added("a")?;
    let call = fixture.call(&container).with(|cni| {
        cni.prev(&result)
            .key("cni.dev/valid-attachments", json!([]))
            .key("cni.dev/attachments", json!([]))
    });
    Ok((container, call))
}

fn missing_variables(fixture: &Fixture) -> TestResult {
    let (_, call) = added(fixture)?;
    let before = state(fixture);
    for (verb, name) in required(fixture) {
        let missing = call.clone().with(|cni| cni.unset(name)).verb(verb);
        with_input(format!("without {name}"), missing.fails())?;
        let empty = call.clone().with(|cni| cni.env(name, "")).verb(verb);
        with_input(format!("{name} empty"), empty.fails())?;
    }
    unchanged(fixture, &before, "calls with a variable missing")
}

fn names_missing_variables(fixture: &Fixture) -> TestResult {
    let (_, call) = added(fixture)?;
    for (verb, name) in required(fixture) {
        let done = format!("{verb} without {name}");
        let error = call.clone().with(|cni| cni.unset(name)).verb(verb).fails()?;
        names(&error, name, &done)?;
    }
    Ok(())
}

/// The error must have code 4 and name the variable.
fn names(error: &PluginError, variable: &str, done: &str) -> TestResult {
    has_code(error, 4, done)?;
    let named = error.msg.contains(variable) || error.details.contains(variable);
    ensure(named, done, format!("an error that names {variable}"), format!("{error:?}"))
}

fn no_command(fixture: &Fixture) -> TestResult {
    let call = fixture.call(&fixture.container("a"));
    let before = state(fixture);
    for call in [call.clone().with(|cni| cni.unset("CNI_COMMAND")), call] {
        let outcome = call.verb("");
        // Some plugins print a description to standard error if a user runs them without
        // CNI_COMMAND.
        match outcome.status.success() {
            true => succeeds_without_output(&outcome)?,
            false => outcome.fails().map(drop)?,
        }
    }
    unchanged(fixture, &before, "a call without CNI_COMMAND")
}

fn unknown_commands(fixture: &Fixture) -> TestResult {
    let call = fixture.call(&fixture.container("a"));
    let before = state(fixture);
    for verb in ["add", "Add", "ADD ", " DEL", "UPDATE", "ADD\n", "DELETE", "\u{c4}DD"] {
        let error = with_input(format!("the command {verb:?}"), call.verb(verb).fails())?;
        has_code(&error, 4, format!("the command {verb:?}"))?;
    }
    unchanged(fixture, &before, "unknown commands")
}

fn kubernetes_args(fixture: &Fixture) -> TestResult {
    let args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=web-0;\
                K8S_POD_INFRA_CONTAINER_ID=0123456789abcdef;K8S_POD_UID=2b1f9a52-6f0c-4d2e-9a55-0c6f3c7f6a11";
    let container = fixture.container("a");
    let call = fixture.call(&container).with(|cni| cni.args(args));
    let result = call.attach()?;
    checks_as_usual(fixture, &container, &call, &result)?;
    call.del().succeeds()?;
    for (name, args) in [("b", ""), ("c", "IgnoreUnknown=true;FOO=BAR;ABC=123")] {
        add_and_del(&fixture.call(&fixture.container(name)).with(|cni| cni.args(args)))?;
    }
    Ok(())
}

/// CHECK must succeed if the usual CHECK does. A CHECK that always fails is no matter of CNI_ARGS.
fn checks_as_usual(
    fixture: &Fixture,
    container: &Container,
    call: &Call<'_>,
    result: &Value,
) -> TestResult {
    let usual = fixture.call(container);
    match fixture.is_from("0.4.0") && usual.check(result).succeeds().is_ok() {
        true => succeeds_without_output(&call.check(result)),
        false => Ok(()),
    }
}

fn no_args(fixture: &Fixture) -> TestResult {
    let container = fixture.container("a");
    let call = fixture.call(&container).with(|cni| cni.unset("CNI_ARGS"));
    let result = call.attach()?;
    checks_as_usual(fixture, &container, &call, &result)?;
    call.del().succeeds().map(drop)
}

fn foreign_variables(fixture: &Fixture) -> TestResult {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let call = fixture.call(&fixture.container("a")).with(|cni| {
        cni.env("LANG", "tr_TR.UTF-8")
            .env("TZ", "no/where")
            .env("HTTP_PROXY", "http://192.0.2.1:1")
            .env("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            .env("CNI_UNKNOWN", "1")
            .env("NO_UTF8", OsStr::from_bytes(b"\xff\xfe"))
            .env("LARGE", "x".repeat(100_000))
    });
    with_input("a strange environment", add_and_del(&call))
}

fn several_folders(fixture: &Fixture) -> TestResult {
    let container = fixture.container("a");
    let empty = "/run/kit-empty";
    fs::create_dir_all(empty).unwrap_or_else(|error| broken(&error.to_string()));
    for path in [
        format!("/run/missing:{empty}:{}", ipam::FOLDER),
        format!("{}:/run/missing", ipam::FOLDER),
        format!("{empty}:{}:{}", fixture.case.suite.search_path(), ipam::FOLDER),
    ] {
        let call = with_kit_ipam(fixture, &container).with(|cni| cni.env("CNI_PATH", &path));
        let result = with_input(format!("CNI_PATH={path}"), call.attach())?;
        let done = format!("ADD with CNI_PATH={path}");
        ensure(has_link(&container.pod, "eth0"), done, "eth0 in the container", result)?;
        call.del().succeeds()?;
    }
    Ok(())
}

fn no_working_directory(fixture: &Fixture) -> TestResult {
    let gone = "mkdir -p /run/gone; cd /run/gone; rmdir /run/gone; exec \"$0\"";
    let call = fixture.call(&fixture.container("a")).with(|cni| cni.under(&["sh", "-c", gone]));
    let outcome = call.add();
    if !outcome.status.success() {
        return Err(failed(
            "ADD from a working directory that was deleted",
            "success",
            describe(&outcome),
        ));
    }
    call.del().succeeds().map(drop)
}
