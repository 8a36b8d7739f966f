//! Steps that tests of several chapters share.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::{Outcome, Pod};

use crate::bench::{Bench, Call, Container, broken, set};
use crate::ipam;
use crate::profile::Kind;
use crate::requirement::{Finding, Judge, Stop, Told, Verdict, ensure, failed, seen};

/// The kernel needs a while to take away the links of a namespace that was deleted.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// The kernel's state, of the host and all containers. Of plugins that manage addresses the files too; other plugins may
/// keep logs and locks as they like.
pub(super) fn state(bench: &Bench) -> String {
    let state = bench.host.state();
    match state.split_once("== files") {
        Some((kernel, _)) if bench.profile.kind != Kind::Ipam => kernel.to_owned(),
        _ => state,
    }
}

/// What a container has: its links by name and MAC address, addresses and routes. Less than [`state`], and much faster.
pub(super) fn state_of(pod: &Pod) -> String {
    let links = pod.sh("ip -br link");
    let links = links.lines().map(|line| {
        // The word between is whether there is a carrier, which the kernel finds out in its own time.
        let words: Vec<&str> = line.split_whitespace().collect();
        format!("link {} {}", words.first().unwrap_or(&""), words.get(2).unwrap_or(&""))
    });
    let rest = pod.sh("ip -o addr show scope global; ip route; ip -6 route");
    let rest = rest.lines().filter(|line| !line.contains("fe80::")).map(|line| {
        // Neither the number of a link nor how long an address is valid.
        let line = line.split("valid_lft").next().unwrap_or_default();
        let line = line.replace("linkdown", "");
        let line = match line.split_once(": ") {
            Some((_, rest)) => rest,
            None => line.as_str(),
        };
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    });
    links.chain(rest).map(|line| line + "\n").collect()
}

/// The state must be what it was before.
pub(super) fn unchanged(bench: &Bench, before: &str, done: impl ToString) -> Verdict {
    same(before, &state(bench), done)
}

/// Two states must be the same.
pub(super) fn same(before: &str, after: &str, done: impl ToString) -> Verdict {
    let changes = testbed::diff(before, after);
    ensure(changes.is_empty(), done, "nothing is changed by it", format!("changed:\n{changes}"))
}

/// The state must soon be what it was before.
pub(super) fn returns_to(bench: &Bench, before: &str, done: impl ToString) -> Verdict {
    let started = Instant::now();
    loop {
        let verdict = unchanged(bench, before, done.to_string());
        if verdict.is_ok() || started.elapsed() > PATIENCE {
            return verdict;
        }
        thread::sleep(PAUSE);
    }
}

/// Puts the input of which a finding is into it.
pub(super) fn naming<T>(input: impl ToString, judged: Result<T, Stop>) -> Result<T, Stop> {
    judged.map_err(|stop| match stop {
        Stop::Failed(finding) => Stop::Failed(Finding {
            done: format!("{}: {}", finding.done, input.to_string()),
            ..finding
        }),
        other => other,
    })
}

/// The call must have succeeded, and printed nothing.
pub(super) fn silent(outcome: &Outcome) -> Verdict {
    outcome.succeeds()?;
    let printed = outcome.stdout.trim();
    ensure(printed.is_empty(), &outcome.call, "nothing on standard output", seen(outcome))
}

/// The call must have succeeded, or failed as the specification says; it must not have crashed.
pub(super) fn orderly(outcome: &Outcome) -> Verdict {
    match outcome.status.success() {
        true => outcome.succeeds().map(drop),
        false => outcome.fails().map(drop),
    }
}

/// An ADD that must succeed, and a DEL.
pub(super) fn add_and_del(call: &Call<'_>) -> Verdict {
    let result = call.add().succeeds()?;
    ensure(result.is_object(), "ADD", "a result", &result)?;
    call.del().succeeds().map(drop)
}

/// The ADD must fail for each input, and change nothing.
pub(super) fn refused<'a, 'b>(
    bench: &Bench,
    inputs: impl IntoIterator<Item = (&'a str, Call<'b>)>,
) -> Verdict {
    let before = state(bench);
    for (input, call) in inputs {
        naming(input, call.add().fails())?;
    }
    unchanged(bench, &before, "ADD that is refused")
}

/// A call for a container with the kit's address management plugin.
pub(super) fn with_kit_ipam<'a>(bench: &'a Bench, container: &Container) -> Call<'a> {
    bench.call(container).with(|cni| cni.key("ipam", json!({ "type": ipam::NAME })))
}

/// Lets the kit's address management plugin answer a verb in the test's own way.
pub(super) fn let_ipam_say(verb: &str, stdout: impl ToString, status: u8) {
    ipam::answer(verb, stdout, status).unwrap_or_else(|error| broken(&error));
}

/// Lets the kit's address management plugin refuse a verb.
pub(super) fn let_ipam_refuse(bench: &Bench, verb: &str, code: u64) {
    let error = json!({ "cniVersion": bench.version(), "code": code, "msg": "the kit's refusal" });
    let_ipam_say(verb, error, 1);
}

/// Lets the kit's address management plugin answer a verb on its own again.
pub(super) fn let_ipam_be(verb: &str) {
    ipam::forget(verb).unwrap_or_else(|error| broken(&error));
}

/// Lets the kit's address management plugin hand out these addresses and routes.
pub(super) fn let_ipam_give(bench: &Bench, addresses: &[&str], routes: Value) {
    let ip = |address: &&str| {
        let mut ip = json!({ "address": address, "gateway": "10.1.2.1" });
        if !bench.is_from("1.0.0") {
            set(&mut ip, "version", "4");
        }
        ip
    };
    let ips: Vec<Value> = addresses.iter().map(ip).collect();
    let result = json!({ "cniVersion": bench.version(), "ips": ips, "routes": routes });
    let_ipam_say("ADD", result, 0);
}

/// How often the kit's address management plugin was called so for a container.
pub(super) fn ipam_calls(verb: &str, container: &Container) -> usize {
    let is_meant = |seen: &ipam::Seen| {
        seen.verb() == verb && seen.var("CNI_CONTAINERID") == Some(&container.id)
    };
    ipam::seen().into_iter().filter(is_meant).count()
}

/// host-local with so many addresses, if the suite has it.
pub(super) fn few_addresses(bench: &Bench, count: u8) -> Result<Value, Stop> {
    if bench.case.suite.folder_of("host-local").is_none() {
        return Err(Stop::Absent("needs host-local in the suite".to_owned()));
    }
    let last = format!("10.1.2.{}", 9 + count);
    let range = json!({ "subnet": "10.1.2.0/24", "rangeStart": "10.1.2.10", "rangeEnd": last });
    Ok(json!({ "type": "host-local", "ranges": [[range]] }))
}

/// Goes on if the version that is tested has what the test is about.
pub(super) fn only_from(bench: &Bench, version: &str) -> Verdict {
    match bench.is_from(version) {
        true => Ok(()),
        false => Err(Stop::Absent(format!("is about versions from {version} on"))),
    }
}

/// Whether a namespace has a link of that name.
pub(super) fn has_link(pod: &Pod, name: &str) -> bool {
    pod.try_run(&["ip", "link", "show", "dev", name]).status.success()
}

/// The error must have this code.
pub(super) fn has_code(told: &Told, code: u64, done: impl ToString) -> Verdict {
    match told.code == code {
        true => Ok(()),
        false => Err(failed(done, format!("error code {code}"), format!("{told:?}"))),
    }
}

/// How often the kit's address management plugin was called so.
pub(super) fn ipam_calls_of(verb: &str) -> usize {
    ipam::seen().into_iter().filter(|seen| seen.verb() == verb).count()
}
