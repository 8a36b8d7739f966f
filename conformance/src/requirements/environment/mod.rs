//! What a plugin is called with: variables, names, and what is wrong with them.

mod names;
mod namespaces;

use std::fs;

use serde_json::json;

use super::steps::{
    add_and_del, has_code, has_link, naming, silent, state, unchanged, with_kit_ipam,
};
use crate::bench::{Bench, Call, Container, broken};
use crate::ipam;
use crate::profile::{Kind, Profile};
use crate::requirement::{
    Judge, Level, Of, Requirement, Told, Verdict, Versions, ensure, failed, seen,
};

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "S2.ENV.1",
        source: "CNI 1.1.0, section 2, required environment parameters of each operation",
        says: "Each required variable that is missing or empty is an error, and nothing is done",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: missing_variables,
    },
    Requirement {
        id: "S2.ENV.2",
        source: "CNI 1.1.0, section 5, Error, code 4",
        says: "The error for a missing variable has code 4 and names the variable",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: names_missing_variables,
    },
    Requirement {
        id: "S2.ENV.3",
        source: "CNI 1.1.0, section 2, Parameters",
        says: "Without CNI_COMMAND nothing is done, and no result is printed",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: no_command,
    },
    Requirement {
        id: "S2.ENV.4",
        source: "CNI 1.1.0, section 2, CNI operations; section 5, Error, code 4",
        says: "A command that is not one of the specification's, to the letter, is an error of code 4",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: unknown_commands,
    },
    Requirement {
        id: "S2.ENV.5",
        source: "CNI 1.1.0, section 2, Parameters, CNI_CONTAINERID",
        says: "A container id of other than letters, digits, `_`, `.`, `-`, or with another first, is refused",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: names::bad_ids,
    },
    Requirement {
        id: "S2.ENV.6",
        source: "CNI 1.1.0, section 2, Parameters, CNI_CONTAINERID",
        says: "Any container id of the characters that are allowed is accepted, short and long",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: names::good_ids,
    },
    Requirement {
        id: "S2.ENV.7",
        source: "CNI 0.4.0, Parameters; CNI 1.1.0, section 2, Parameters, CNI_IFNAME",
        says: "A name that Linux does not allow for an interface, or that no path could hold, is refused",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: names::bad_ifnames,
    },
    Requirement {
        id: "S2.ENV.8",
        source: "CNI 0.4.0, Parameters; CNI 1.1.0, section 2, Parameters, CNI_IFNAME",
        says: "Any name that Linux allows for an interface is accepted, up to 15 characters",
        level: Level::Must,
        of: Of::That(not_chained, "are called first"),
        versions: Versions::Newest,
        test: names::good_ifnames,
    },
    Requirement {
        id: "S2.ENV.9",
        source: "CNI 1.1.0, section 5, Error, code 4",
        says: "The error for a container id or interface name that is not allowed has code 4 and names the variable",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: names::names_invalid_variables,
    },
    Requirement {
        id: "S2.ENV.10",
        source: "CNI 1.1.0, section 2, Parameters, CNI_NETNS",
        says: "ADD fails if CNI_NETNS is nothing, or no network namespace, and nothing is left of it",
        level: Level::Must,
        of: Of::Interfaces,
        versions: Versions::Newest,
        test: namespaces::no_namespace,
    },
    Requirement {
        id: "S2.ENV.11",
        source: "CNI 0.4.0, Parameters, network namespace path",
        says: "CNI_NETNS can be the file of a process, or a symbolic link to a namespace",
        level: Level::Must,
        of: Of::Interfaces,
        versions: Versions::Newest,
        test: namespaces::namespaces_by_other_paths,
    },
    Requirement {
        id: "S2.ENV.12",
        source: "CNI 1.1.0, section 3, lifecycle: a container has a namespace of its own",
        says: "ADD into the host's own namespace fails, and leaves the host as it was",
        level: Level::Expected,
        of: Of::Interfaces,
        versions: Versions::Newest,
        test: namespaces::own_namespace,
    },
    Requirement {
        id: "S2.ENV.13",
        source: "CNI 1.1.0, section 2, Parameters, CNI_ARGS; the CNI conventions, IgnoreUnknown",
        says: "CNI_ARGS as Kubernetes' runtimes send them is accepted by every operation",
        level: Level::Expected,
        of: Of::All,
        versions: Versions::Newest,
        test: kubernetes_args,
    },
    Requirement {
        id: "S2.ENV.14",
        source: "CNI 1.1.0, section 2, Parameters",
        says: "Variables that are none of the specification's do not matter, nor does a large environment",
        level: Level::Expected,
        of: Of::All,
        versions: Versions::Newest,
        test: foreign_variables,
    },
    Requirement {
        id: "S2.ENV.15",
        source: "CNI 1.1.0, section 2, Parameters, CNI_PATH",
        says: "CNI_PATH is a list: the address management plugin is found in any of its folders",
        level: Level::Must,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: several_folders,
    },
    Requirement {
        id: "S2.ENV.16",
        source: "runtimes start plugins from wherever they are",
        says: "The working directory does not matter, even if it was deleted",
        level: Level::Expected,
        of: Of::All,
        versions: Versions::Newest,
        test: no_working_directory,
    },
];

fn not_chained(profile: &Profile) -> bool {
    profile.kind != Kind::Chained
}

/// `(operation, variable)` of what is required.
fn required(bench: &Bench) -> Vec<(&'static str, &'static str)> {
    let mut required = vec![
        ("ADD", "CNI_CONTAINERID"),
        ("ADD", "CNI_NETNS"),
        ("ADD", "CNI_IFNAME"),
        ("DEL", "CNI_CONTAINERID"),
        ("DEL", "CNI_IFNAME"),
    ];
    if bench.is_from("0.4.0") {
        required.extend(["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"].map(|name| ("CHECK", name)));
    }
    if bench.is_from("1.1.0") {
        required.push(("GC", "CNI_PATH"));
    }
    required
}

/// A call for an attachment that exists, ready for any operation.
fn added(bench: &Bench) -> Result<(Container, Call<'_>), crate::requirement::Stop> {
    let (container, result) = bench.added("a")?;
    let call = bench.call(&container).with(|cni| {
        cni.prev(&result)
            .key("cni.dev/valid-attachments", json!([]))
            .key("cni.dev/attachments", json!([]))
    });
    Ok((container, call))
}

fn missing_variables(bench: &Bench) -> Verdict {
    let (_, call) = added(bench)?;
    let before = state(bench);
    for (verb, name) in required(bench) {
        let missing = call.clone().with(|cni| cni.unset(name)).verb(verb);
        naming(format!("without {name}"), missing.fails())?;
        let empty = call.clone().with(|cni| cni.env(name, "")).verb(verb);
        naming(format!("{name} empty"), empty.fails())?;
    }
    unchanged(bench, &before, "calls with a variable missing")
}

fn names_missing_variables(bench: &Bench) -> Verdict {
    let (_, call) = added(bench)?;
    for (verb, name) in required(bench) {
        let done = format!("{verb} without {name}");
        let told = call.clone().with(|cni| cni.unset(name)).verb(verb).fails()?;
        names(&told, name, &done)?;
    }
    Ok(())
}

/// The error must have code 4 and name the variable.
fn names(told: &Told, variable: &str, done: &str) -> Verdict {
    has_code(told, 4, done)?;
    let named = told.msg.contains(variable) || told.details.contains(variable);
    ensure(named, done, format!("an error that names {variable}"), format!("{told:?}"))
}

fn no_command(bench: &Bench) -> Verdict {
    let call = bench.call(&bench.container("a"));
    let before = state(bench);
    for call in [call.clone().with(|cni| cni.unset("CNI_COMMAND")), call] {
        let outcome = call.verb("");
        // A person may have run it by hand: then some plugins say who they are, on standard error.
        match outcome.status.success() {
            true => silent(&outcome)?,
            false => outcome.fails().map(drop)?,
        }
    }
    unchanged(bench, &before, "a call without CNI_COMMAND")
}

fn unknown_commands(bench: &Bench) -> Verdict {
    let call = bench.call(&bench.container("a"));
    let before = state(bench);
    for verb in ["add", "Add", "ADD ", " DEL", "UPDATE", "ADD\n", "DELETE", "\u{c4}DD"] {
        let told = naming(format!("the command {verb:?}"), call.verb(verb).fails())?;
        has_code(&told, 4, format!("the command {verb:?}"))?;
    }
    unchanged(bench, &before, "commands that do not exist")
}

fn kubernetes_args(bench: &Bench) -> Verdict {
    let args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=kube-system;K8S_POD_NAME=web-0;\
                K8S_POD_INFRA_CONTAINER_ID=0123456789abcdef;K8S_POD_UID=2b1f9a52-6f0c-4d2e-9a55-0c6f3c7f6a11";
    let container = bench.container("a");
    let call = bench.call(&container).with(|cni| cni.args(args));
    let result = call.add().succeeds()?;
    if bench.is_from("0.4.0") {
        silent(&call.check(&result))?;
    }
    call.del().succeeds()?;
    add_and_del(&call.clone().with(|cni| cni.args("")))?;
    add_and_del(&call.with(|cni| cni.args("IgnoreUnknown=true;FOO=BAR;ABC=123")))
}

fn foreign_variables(bench: &Bench) -> Verdict {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let call = bench.call(&bench.container("a")).with(|cni| {
        cni.env("LANG", "tr_TR.UTF-8")
            .env("TZ", "no/where")
            .env("HTTP_PROXY", "http://192.0.2.1:1")
            .env("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            .env("CNI_UNKNOWN", "1")
            .env("NO_UTF8", OsStr::from_bytes(b"\xff\xfe"))
            .env("LARGE", "x".repeat(100_000))
    });
    naming("a strange environment", add_and_del(&call))
}

fn several_folders(bench: &Bench) -> Verdict {
    let container = bench.container("a");
    let empty = "/run/kit-empty";
    fs::create_dir_all(empty).unwrap_or_else(|error| broken(&error.to_string()));
    for path in [
        format!("/run/missing:{empty}:{}", ipam::FOLDER),
        format!("{}:/run/missing", ipam::FOLDER),
        format!("{empty}:{}:{}", bench.case.suite.search_path(), ipam::FOLDER),
    ] {
        let call = with_kit_ipam(bench, &container).with(|cni| cni.env("CNI_PATH", &path));
        let result = naming(format!("CNI_PATH={path}"), call.add().succeeds())?;
        let done = format!("ADD with CNI_PATH={path}");
        ensure(has_link(&container.pod, "eth0"), done, "eth0 in the container", result)?;
        call.del().succeeds()?;
    }
    Ok(())
}

fn no_working_directory(bench: &Bench) -> Verdict {
    let gone = "mkdir -p /run/gone; cd /run/gone; rmdir /run/gone; exec \"$0\"";
    let call = bench.call(&bench.container("a")).with(|cni| cni.under(&["sh", "-c", gone]));
    let outcome = call.add();
    if !outcome.status.success() {
        return Err(failed(
            "ADD from a working directory that was deleted",
            "success",
            seen(&outcome),
        ));
    }
    call.del().succeeds().map(drop)
}
