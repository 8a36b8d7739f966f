//! Delegation: what a plugin passes on to another plugin, and what it makes of the answer.

mod answers;
mod failures;
mod verbs;

use serde_json::{Value, json};

use crate::bench::{Bench, Call, Container, broken, set};
use crate::ipam::{self, Seen};
use crate::requirement::{self, Level, Of, Requirement, Stop, Verdict, Versions, failed};

const DELEGATION: &str = "CNI 1.1.0, section 4, delegated plugin protocol";
const EXECUTION: &str = "CNI 1.1.0, section 4, delegated plugin execution procedure";
const STATUS: &str = "CNI 1.1.0, section 2, STATUS";

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    must(
        "S4.FIND.1",
        "the delegate is the first of its name in the folders of CNI_PATH, in their order",
        verbs::found_in_order,
    ),
    must(
        "S4.FIND.2",
        "a delegate that is in no folder of CNI_PATH is an error, which names it, and ADD leaves nothing",
        failures::missing,
    ),
    Requirement {
        source: "CVE-2021-20206",
        ..must(
            "S4.FIND.3",
            "a delegate's type with a path in it is refused, and nothing is run",
            failures::path_as_type,
        )
    },
    must(
        "S4.ENV.1",
        "the delegate has the environment of the plugin, in ADD and DEL",
        verbs::environment,
    ),
    from(
        "S4.ENV.2",
        "0.4.0",
        "the delegate has the environment of the plugin, in CHECK",
        verbs::environment_of_check,
    ),
    must(
        "S4.CONFIG.1",
        "the delegate reads the configuration of the plugin, in ADD and DEL",
        verbs::configuration,
    ),
    from(
        "S4.CONFIG.2",
        "0.4.0",
        "the delegate reads the configuration of the plugin with `prevResult`, in CHECK",
        verbs::configuration_of_check,
    ),
    expected(
        "S4.ADD.1",
        "ADD calls ADD of the delegate once, and no other verb if all is well",
        verbs::add_once,
    ),
    must("S4.ADD.2", "if ADD of the delegate fails, ADD fails", failures::add),
    Requirement {
        versions: Versions::Each,
        ..expected(
            "S4.ADD.3",
            "code and message of the delegate's error are in the error of the plugin",
            failures::add_tells,
        )
    },
    Requirement {
        level: Level::Should,
        source: EXECUTION,
        ..must(
            "S4.ADD.4",
            "if ADD of the delegate fails, DEL of the delegate is called before the failure is returned",
            failures::add_is_followed_by_del,
        )
    },
    expected(
        "S4.ADD.5",
        "if ADD of the delegate fails, nothing is left on the host and in the container",
        failures::add_leaves_nothing,
    ),
    expected(
        "S4.ADD.6",
        "if ADD fails after ADD of the delegate, DEL of the delegate is called",
        failures::later_failure,
    ),
    must("S4.DEL.1", "DEL calls DEL of the delegate", verbs::del),
    must("S4.DEL.2", "if DEL of the delegate fails, DEL fails", failures::del),
    expected(
        "S4.DEL.3",
        "after a DEL that failed because of the delegate, another DEL succeeds and calls it again",
        failures::del_again,
    ),
    expected(
        "S4.DEL.4",
        "DEL calls DEL of the delegate also if the container's namespace is gone",
        verbs::del_without_namespace,
    ),
    from("S4.CHECK.1", "0.4.0", "CHECK calls CHECK of the delegate", verbs::check),
    from("S4.CHECK.2", "0.4.0", "if CHECK of the delegate fails, CHECK fails", failures::check),
    from("S4.GC.1", "1.1.0", "GC calls GC of the delegate, with the valid attachments", verbs::gc),
    from("S4.GC.2", "1.1.0", "if GC of the delegate fails, GC fails", failures::gc),
    Requirement {
        source: STATUS,
        ..from("S4.STATUS.1", "1.1.0", "STATUS calls STATUS of the delegate", verbs::status)
    },
    Requirement {
        source: STATUS,
        ..from(
            "S4.STATUS.2",
            "1.1.0",
            "if STATUS of the delegate fails, STATUS fails",
            failures::status,
        )
    },
    Requirement {
        level: Level::Should,
        source: EXECUTION,
        ..must(
            "S4.STDERR.1",
            "what the delegate writes to standard error is on the plugin's standard error",
            verbs::standard_error,
        )
    },
    must(
        "S4.ANSWER.1",
        "an answer of the delegate that is no object of JSON is an error, and leaves nothing",
        answers::no_object,
    ),
    must(
        "S4.ANSWER.2",
        "an answer with an address, gateway or route that is none is an error, and leaves nothing",
        answers::no_addresses,
    ),
    expected(
        "S4.ANSWER.3",
        "an answer without addresses is an error that leaves nothing, or a result without addresses",
        answers::without_addresses,
    ),
    expected(
        "S4.ANSWER.4",
        "an answer in another version or in none is an error that leaves nothing, or becomes a right result",
        answers::other_version,
    ),
    expected(
        "S4.ANSWER.5",
        "after an answer that the plugin cannot use, DEL of the delegate is called",
        answers::released,
    ),
];

const fn must(id: &'static str, says: &'static str, test: fn(&Bench) -> Verdict) -> Requirement {
    requirement::must(id, DELEGATION, says, Of::Delegating, test)
}

const fn from(
    id: &'static str,
    version: &'static str,
    says: &'static str,
    test: fn(&Bench) -> Verdict,
) -> Requirement {
    Requirement { versions: Versions::From(version), ..must(id, says, test) }
}

const fn expected(
    id: &'static str,
    says: &'static str,
    test: fn(&Bench) -> Verdict,
) -> Requirement {
    requirement::expected(id, says, Of::Delegating, test)
}

/// The configuration, with the kit's address management plugin.
pub(crate) fn config(bench: &Bench) -> Value {
    let mut config = bench.config();
    set(&mut config, "ipam", json!({ "type": ipam::NAME }));
    config
}

/// What that plugin may say to ADD: an address of each family.
pub(crate) fn answer(bench: &Bench) -> Value {
    let mut answer = ipam::addresses(bench.version(), 5);
    set(&mut answer, "dns", json!({}));
    answer
}

/// A call for a container with that configuration.
fn call<'a>(bench: &'a Bench, container: &Container, config: &Value) -> Call<'a> {
    let call = bench.call_with(config);
    call.with(|cni| cni.container(&container.id).netns(&container.pod).ifname("eth0"))
}

/// Lets the kit's plugin say that to a verb.
fn says(verb: &str, stdout: impl ToString, status: u8) {
    ipam::answer(verb, stdout, status).unwrap_or_else(|error| broken(&error));
}

/// An error that the kit's plugin says.
fn refusal(bench: &Bench) -> Value {
    json!({ "cniVersion": bench.version(), "code": 142, "msg": "the kit says no", "details": "on purpose" })
}

/// The calls of the kit's plugin with a verb, after the first `before` calls of any verb.
fn calls_since(before: usize, verb: &str) -> Vec<Seen> {
    ipam::seen().into_iter().skip(before).filter(|seen| seen.verb() == verb).collect()
}

/// The first such call.
fn call_since(before: usize, verb: &str) -> Result<Seen, Stop> {
    let verbs: Vec<String> =
        ipam::seen().iter().skip(before).map(|seen| seen.verb().to_owned()).collect();
    let first = calls_since(before, verb).into_iter().next();
    first.ok_or_else(|| {
        let seen = format!("it was called with {verbs:?}");
        failed(verb, format!("a call of the delegate with {verb}"), seen)
    })
}
