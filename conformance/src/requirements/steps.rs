//! Steps that tests of several chapters share.

use serde_json::{Value, json};
use testbed::{Outcome, Pod};

use crate::evidence::{Finding, describe};
use crate::fixture::{Call, Container, Fixture};
use crate::ipam;
use crate::isolation::broken;
use crate::json::{each, set, text};
use crate::profile::Kind;
use crate::settling::eventually;
use crate::verdict::{NotPassed, OutcomeExt, PluginError, TestResult, ensure, failed};

/// The state of the kernel, on the host and in all containers. For IPAM plugins it includes files;
/// other plugins may keep logs and locks.
pub(super) fn state(fixture: &Fixture) -> String {
    let state = fixture.host.state();
    match state.split_once("== files") {
        Some((kernel, _)) if fixture.profile.kind != Kind::Ipam => kernel.to_owned(),
        _ => state,
    }
}

/// The state of a container: its links by name and MAC address, addresses and routes. It contains
/// less than [`state`], and is much faster.
pub(super) fn state_of(pod: &Pod) -> String {
    let links = pod.sh("ip -br link");
    let links = links.lines().map(|line| {
        // The word between is the carrier state, which the kernel detects with a delay.
        let words: Vec<&str> = line.split_whitespace().collect();
        format!("link {} {}", words.first().unwrap_or(&""), words.get(2).unwrap_or(&""))
    });
    let rest = pod.sh("ip -o addr show scope global; ip route; ip -6 route");
    let rest = rest.lines().filter(|line| !line.contains("fe80::")).map(|line| {
        // Without the index of the link and the lifetime of the address.
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

/// The state must be the same as before.
pub(super) fn unchanged(fixture: &Fixture, before: &str, done: impl ToString) -> TestResult {
    same(before, &state(fixture), done)
}

/// Two states must be equal.
pub(super) fn same(before: &str, after: &str, done: impl ToString) -> TestResult {
    let changes = testbed::diff(before, after);
    ensure(changes.is_empty(), done, "no change", format!("changed:\n{changes}"))
}

/// The state must soon be the same as before.
pub(super) fn returns_to(fixture: &Fixture, before: &str, done: impl ToString) -> TestResult {
    eventually(|| unchanged(fixture, before, done.to_string()), Result::is_ok)
}

/// Adds the input to a failure.
pub(super) fn with_input<T>(
    input: impl ToString,
    checked: Result<T, NotPassed>,
) -> Result<T, NotPassed> {
    checked.map_err(|stop| match stop {
        NotPassed::Failed(finding) => NotPassed::Failed(Finding {
            done: format!("{}: {}", finding.done, input.to_string()),
            ..finding
        }),
        other => other,
    })
}

/// The call must succeed and print nothing.
pub(super) fn succeeds_without_output(outcome: &Outcome) -> TestResult {
    outcome.succeeds()?;
    let printed = outcome.stdout.trim();
    ensure(printed.is_empty(), &outcome.call, "nothing on standard output", describe(outcome))
}

/// The call must succeed, or fail as the specification defines it. It must not crash.
pub(super) fn succeeds_or_fails_properly(outcome: &Outcome) -> TestResult {
    match outcome.status.success() {
        true => outcome.succeeds().map(drop),
        false => outcome.fails().map(drop),
    }
}

/// Makes a container and adds it, for tests of the interface that the plugin makes.
pub(super) fn attached(fixture: &Fixture, name: &str) -> Result<(Container, Value), NotPassed> {
    let (container, result) = fixture.added(name)?;
    makes_interface(&result)?;
    Ok((container, result))
}

/// Continues only if the plugin makes an interface. A plugin that configures `lo` makes none.
pub(super) fn makes_interface(result: &Value) -> TestResult {
    let inside = each(result, "interfaces").filter(|known| !text(known, "sandbox").is_empty());
    let names: Vec<String> = inside.map(|known| text(known, "name")).collect();
    match !names.is_empty() && names.iter().all(|name| name == "lo") {
        true => Err(NotPassed::NotApplicable("the plugin makes no interface besides lo".into())),
        false => Ok(()),
    }
}

/// An ADD and a DEL, which must succeed.
pub(super) fn add_and_del(call: &Call<'_>) -> TestResult {
    let result = call.attach()?;
    ensure(result.is_object(), "ADD", "a result", &result)?;
    call.del().succeeds().map(drop)
}

/// ADD must fail for each input, and change nothing.
pub(super) fn refused<'a, 'b>(
    fixture: &Fixture,
    inputs: impl IntoIterator<Item = (&'a str, Call<'b>)>,
) -> TestResult {
    let before = state(fixture);
    for (input, call) in inputs {
        with_input(input, call.add().fails())?;
    }
    unchanged(fixture, &before, "ADD that is refused")
}

/// Whether the plugin calls an IPAM plugin.
pub(super) fn delegates(fixture: &Fixture) -> bool {
    fixture.profile.config.get("ipam").is_some()
}

/// A call for a container with the kit's IPAM plugin.
pub(super) fn with_kit_ipam<'a>(fixture: &'a Fixture, container: &Container) -> Call<'a> {
    fixture.call(container).with(|cni| cni.key("ipam", json!({ "type": ipam::NAME })))
}

/// Sets the answer of the kit's IPAM plugin to a command.
pub(super) fn set_ipam_answer(verb: &str, stdout: impl ToString, status: u8) {
    ipam::answer(verb, stdout, status).unwrap_or_else(|error| broken(&error));
}

/// Makes the kit's IPAM plugin fail for a command.
pub(super) fn make_ipam_fail(fixture: &Fixture, verb: &str, code: u64) {
    let error =
        json!({ "cniVersion": fixture.version(), "code": code, "msg": "an error of the kit" });
    set_ipam_answer(verb, error, 1);
}

/// Restores the answer of the kit's IPAM plugin to a command.
pub(super) fn reset_ipam_answer(verb: &str) {
    ipam::forget(verb).unwrap_or_else(|error| broken(&error));
}

/// Makes the kit's IPAM plugin return these addresses and routes.
pub(super) fn make_ipam_return(fixture: &Fixture, addresses: &[&str], routes: Value) {
    let ip = |address: &&str| {
        let mut ip = json!({ "address": address, "gateway": "10.1.2.1" });
        if !fixture.is_from("1.0.0") {
            set(&mut ip, "version", "4");
        }
        ip
    };
    let ips: Vec<Value> = addresses.iter().map(ip).collect();
    let result = json!({ "cniVersion": fixture.version(), "ips": ips, "routes": routes });
    set_ipam_answer("ADD", result, 0);
}

/// The number of calls of the kit's IPAM plugin with a command for a container.
pub(super) fn ipam_calls(verb: &str, container: &Container) -> usize {
    let is_invoked = |seen: &ipam::IpamCall| {
        seen.verb() == verb && seen.var("CNI_CONTAINERID") == Some(&container.id)
    };
    ipam::calls().into_iter().filter(is_invoked).count()
}

/// A configuration of host-local with this number of addresses, if the suite has host-local.
pub(super) fn few_addresses(fixture: &Fixture, count: u8) -> Result<Value, NotPassed> {
    if fixture.case.suite.folder_of("host-local").is_none() {
        return Err(NotPassed::NotApplicable("needs host-local in the suite".to_owned()));
    }
    let last = format!("10.1.2.{}", 9 + count);
    let range = json!({ "subnet": "10.1.2.0/24", "rangeStart": "10.1.2.10", "rangeEnd": last });
    Ok(json!({ "type": "host-local", "ranges": [[range]] }))
}

/// Continues only if the version under test is `version` or later.
pub(super) fn only_from(fixture: &Fixture, version: &str) -> TestResult {
    match fixture.is_from(version) {
        true => Ok(()),
        false => Err(NotPassed::NotApplicable(format!("applies to version {version} and later"))),
    }
}

/// Whether a namespace has a link with this name.
pub(super) fn has_link(pod: &Pod, name: &str) -> bool {
    pod.try_run(&["ip", "link", "show", "dev", name]).status.success()
}

/// The error must have this code.
pub(super) fn has_code(error: &PluginError, code: u64, done: impl ToString) -> TestResult {
    match error.code == code {
        true => Ok(()),
        false => Err(failed(done, format!("error code {code}"), format!("{error:?}"))),
    }
}

/// The number of calls of the kit's IPAM plugin with a command.
pub(super) fn ipam_calls_of(verb: &str) -> usize {
    ipam::calls().into_iter().filter(|seen| seen.verb() == verb).count()
}

/// The configuration, with the kit's IPAM plugin.
pub(super) fn kit_ipam_config(fixture: &Fixture) -> Value {
    let mut config = fixture.config();
    set(&mut config, "ipam", json!({ "type": ipam::NAME }));
    config
}

/// An answer of that plugin to ADD, with an address of each family.
pub(super) fn kit_ipam_answer(fixture: &Fixture) -> Value {
    let mut answer = ipam::addresses(fixture.version(), 5);
    set(&mut answer, "dns", json!({}));
    answer
}
