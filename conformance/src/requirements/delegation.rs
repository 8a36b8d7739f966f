//! Delegation: what a plugin passes to another plugin, and how it handles the answer.

mod answers;
mod failures;
mod traces;
mod verbs;

use serde_json::{Value, json};

use crate::fixture::{Call, Container, Fixture};
use crate::ipam::{self, IpamCall};
use crate::requirement::{self, AppliesTo, Level, Requirement, Versions};
use crate::verdict::{NotPassed, TestResult, failed};

const DELEGATION: &str = "CNI 1.1.0, section 4, delegated plugin protocol";
const EXECUTION: &str = "CNI 1.1.0, section 4, delegated plugin execution procedure";
const TRACES: &str = "containernetworking/cni, pull request 1173: how runtimes pass a trace; \
    OpenTelemetry, environment variables as context propagation carriers";
const STATUS: &str = "CNI 1.1.0, section 2, STATUS";

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        level: Level::Should,
        ..must(
            "S4.FIND.1",
            "The plugin should run the first delegated plugin of that name in the directories of CNI_PATH, in their order",
            verbs::found_in_order,
        )
    },
    Requirement {
        level: Level::Expected,
        ..must(
            "S4.FIND.2",
            "ADD must fail if no directory of CNI_PATH has the delegated plugin, name that plugin, \
         and leave nothing behind",
            failures::missing,
        )
    },
    Requirement {
        source: "CVE-2021-20206",
        ..must(
            "S4.FIND.3",
            "The plugin must reject a delegated plugin's type that contains a path, and run \
             nothing",
            failures::path_as_type,
        )
    },
    must(
        "S4.ENV.1",
        "ADD and DEL must pass the plugin's environment to the delegated plugin",
        verbs::environment,
    ),
    from(
        "S4.ENV.2",
        "0.4.0",
        "CHECK must pass the plugin's environment to the delegated plugin",
        verbs::environment_of_check,
    ),
    Requirement {
        source: TRACES,
        ..expected(
            "S4.ENV.3",
            "Each command must pass the trace ID of TRACEPARENT, and the entries of TRACESTATE and \
             BAGGAGE, to the delegated plugin",
            traces::trace,
        )
    },
    Requirement {
        level: Level::Should,
        ..must(
            "S4.CONFIG.1",
            "ADD and DEL should pass the plugin's configuration to the delegated plugin",
            verbs::configuration,
        )
    },
    Requirement {
        level: Level::Should,
        ..from(
            "S4.CONFIG.2",
            "0.4.0",
            "CHECK should pass the plugin's configuration, with `prevResult`, to the delegated plugin",
            verbs::configuration_of_check,
        )
    },
    expected(
        "S4.ADD.1",
        "A successful ADD must call ADD of the delegated plugin once, and no other command",
        verbs::add_once,
    ),
    must("S4.ADD.2", "ADD must fail if ADD of the delegated plugin fails", failures::add),
    Requirement {
        versions: Versions::Each,
        ..expected(
            "S4.ADD.3",
            "The plugin's error must contain the code and the message of the delegated plugin's error",
            failures::add_tells,
        )
    },
    Requirement {
        level: Level::Should,
        source: EXECUTION,
        versions: Versions::NewestFrom("1.0.0"),
        ..must(
            "S4.ADD.4",
            "If ADD of the delegated plugin fails, ADD should call its DEL before it returns the error",
            failures::add_is_followed_by_del,
        )
    },
    expected(
        "S4.ADD.5",
        "If ADD of the delegated plugin fails, ADD must leave nothing on the host or in the container",
        failures::add_leaves_nothing,
    ),
    expected(
        "S4.ADD.6",
        "If ADD fails after ADD of the delegated plugin, it must call DEL of the delegated plugin",
        failures::later_failure,
    ),
    Requirement {
        versions: Versions::NewestFrom("1.0.0"),
        ..must("S4.DEL.1", "DEL must call DEL of the delegated plugin", verbs::del)
    },
    Requirement {
        level: Level::Should,
        ..must("S4.DEL.2", "DEL should fail if DEL of the delegated plugin fails", failures::del)
    },
    expected(
        "S4.DEL.3",
        "After DEL failed because of the delegated plugin, the next DEL must call that plugin \
         again and succeed",
        failures::del_again,
    ),
    expected(
        "S4.DEL.4",
        "DEL must call DEL of the delegated plugin even if the container's namespace no longer \
         exists",
        verbs::del_without_namespace,
    ),
    from("S4.CHECK.1", "1.0.0", "CHECK must call CHECK of the delegated plugin", verbs::check),
    Requirement {
        level: Level::Should,
        ..from(
            "S4.CHECK.2",
            "0.4.0",
            "CHECK should fail if CHECK of the delegated plugin fails",
            failures::check,
        )
    },
    from(
        "S4.GC.1",
        "1.1.0",
        "GC must call GC of the delegated plugin, with the valid attachments",
        verbs::gc,
    ),
    Requirement {
        level: Level::Should,
        ..from(
            "S4.GC.2",
            "1.1.0",
            "GC should fail if GC of the delegated plugin fails",
            failures::gc,
        )
    },
    Requirement {
        source: STATUS,
        ..from(
            "S4.STATUS.1",
            "1.1.0",
            "STATUS must call STATUS of the delegated plugin",
            verbs::status,
        )
    },
    Requirement {
        level: Level::Should,
        source: STATUS,
        ..from(
            "S4.STATUS.2",
            "1.1.0",
            "STATUS should fail if STATUS of the delegated plugin fails",
            failures::status,
        )
    },
    Requirement {
        level: Level::Should,
        source: EXECUTION,
        ..must(
            "S4.STDERR.1",
            "The plugin should pass on what the delegated plugin writes to standard error",
            verbs::standard_error,
        )
    },
    Requirement {
        level: Level::Expected,
        ..must(
            "S4.ANSWER.1",
            "ADD must fail and leave nothing behind if the delegated plugin's answer is not a JSON \
         object",
            answers::no_object,
        )
    },
    Requirement {
        level: Level::Expected,
        ..must(
            "S4.ANSWER.2",
            "ADD must fail and leave nothing behind if an answer has an invalid address, gateway or \
         route",
            answers::no_addresses,
        )
    },
    expected(
        "S4.ANSWER.3",
        "If the answer has no addresses, ADD must fail and leave nothing behind, or print a \
         result without addresses",
        answers::without_addresses,
    ),
    expected(
        "S4.ANSWER.4",
        "If the answer has another version or none, ADD must fail and leave nothing behind, or \
         print a correct result",
        answers::other_version,
    ),
    expected(
        "S4.ANSWER.5",
        "After an answer that it cannot use, ADD must call DEL of the delegated plugin",
        answers::released,
    ),
];

const fn must(
    id: &'static str,
    statement: &'static str,
    test: fn(&Fixture) -> TestResult,
) -> Requirement {
    requirement::must(id, DELEGATION, statement, AppliesTo::Delegating, test)
}

const fn from(
    id: &'static str,
    version: &'static str,
    statement: &'static str,
    test: fn(&Fixture) -> TestResult,
) -> Requirement {
    Requirement { versions: Versions::From(version), ..must(id, statement, test) }
}

const fn expected(
    id: &'static str,
    statement: &'static str,
    test: fn(&Fixture) -> TestResult,
) -> Requirement {
    requirement::expected(id, statement, AppliesTo::Delegating, test)
}

/// A call for a container with this configuration.
fn call<'a>(fixture: &'a Fixture, container: &Container, config: &Value) -> Call<'a> {
    let call = fixture.call_with(config);
    call.with(|cni| cni.container(&container.id).netns(&container.pod).ifname("eth0"))
}

/// An error of the kit's IPAM plugin.
fn refusal(fixture: &Fixture) -> Value {
    json!({ "cniVersion": fixture.version(), "code": 142, "msg": "refused by the kit", "details": "intentionally" })
}

/// The calls of the kit's IPAM plugin with a command, after the first `before` calls of any
/// command.
fn calls_since(before: usize, verb: &str) -> Vec<IpamCall> {
    ipam::calls().into_iter().skip(before).filter(|seen| seen.verb() == verb).collect()
}

/// The first such call.
fn call_since(before: usize, verb: &str) -> Result<IpamCall, NotPassed> {
    let verbs: Vec<String> =
        ipam::calls().iter().skip(before).map(|seen| seen.verb().to_owned()).collect();
    let first = calls_since(before, verb).into_iter().next();
    first.ok_or_else(|| {
        let seen = format!("it was called with {verbs:?}");
        failed(verb, format!("a call of the delegated plugin with {verb}"), seen)
    })
}
