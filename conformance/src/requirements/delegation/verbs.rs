//! The calls of a delegated plugin, and their input.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use testbed::Cni;

use crate::fixture::Fixture;
use crate::ipam::{self, IpamCall};
use crate::isolation::broken;
use crate::json::set;
use crate::requirements::steps::kit_ipam_config;
use crate::suite::LINKS;
use crate::verdict::{OutcomeExt, TestResult, ensure};

use super::{call, call_since, calls_since};
use crate::requirements::results::container;

/// An environment variable that is unrelated to plugins.
const MARK: (&str, &str) = ("KIT_MARK", "as it was");

pub(super) fn found_in_order(fixture: &Fixture) -> TestResult {
    let folders = ["first", "second"].map(|name| format!("/run/testbed/kit/{name}"));
    for folder in &folders {
        script(folder, "kit-order", &format!("echo {folder} >> /run/testbed/kit/order"));
    }
    let mut config = kit_ipam_config(fixture);
    set(&mut config, "ipam", json!({ "type": "kit-order" }));
    let path = format!(
        "/nowhere:{}:{}:{}",
        fixture.case.suite.search_path(),
        folders.join(":"),
        ipam::FOLDER
    );
    let container = container(fixture, "one");
    call(fixture, &container, &config).with(|cni| cni.env("CNI_PATH", &path)).attach()?;
    let run = fs::read_to_string("/run/testbed/kit/order").unwrap_or_default();
    let [first, _] = &folders;
    let done = format!("ADD with CNI_PATH={path}");
    ensure(
        run.trim() == first,
        done,
        format!("kit-order of {first} is run, once"),
        format!("run: {run:?}"),
    )
}

/// A program that does something and then executes the kit's IPAM plugin.
fn script(folder: &str, name: &str, line: &str) {
    let path = format!("{folder}/{name}");
    let text = format!("#!/bin/sh\n{line}\nexec {}/{}\n", ipam::FOLDER, ipam::NAME);
    let made = fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, text))
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
    made.unwrap_or_else(|error| broken(&format!("make {path}: {error}")));
}

pub(super) fn environment(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    let call = call(fixture, &container, &kit_ipam_config(fixture)).with(marked);
    call.attach()?;
    has_environment(fixture, &container.pod.path().display().to_string(), &call_since(0, "ADD")?)?;
    call.del().succeeds()?;
    has_environment(fixture, &container.pod.path().display().to_string(), &call_since(0, "DEL")?)
}

pub(super) fn environment_of_check(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    let call = call(fixture, &container, &kit_ipam_config(fixture)).with(marked);
    let result = call.attach()?;
    call.check(&result).succeeds()?;
    has_environment(fixture, &container.pod.path().display().to_string(), &call_since(0, "CHECK")?)
}

fn marked(cni: Cni) -> Cni {
    cni.env(MARK.0, MARK.1).args("IgnoreUnknown=1;K8S_POD_NAME=kit")
}

fn has_environment(fixture: &Fixture, netns: &str, seen: &IpamCall) -> TestResult {
    let path = fixture.case.suite.cni_path(&kit_ipam_config(fixture));
    let wanted = [
        MARK,
        ("CNI_CONTAINERID", "one-7f3e"),
        ("CNI_NETNS", netns),
        ("CNI_IFNAME", "eth0"),
        ("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAME=kit"),
        ("CNI_PATH", &path),
    ];
    for (name, value) in wanted {
        let said = seen.var(name);
        let expected = format!("{name}={value} in the environment of the delegated plugin");
        ensure(said == Some(value), seen.verb(), expected, format!("{name}: {said:?}"))?;
    }
    Ok(())
}

pub(super) fn configuration(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    let mut config = kit_ipam_config(fixture);
    set(&mut config, "ipam", json!({ "type": ipam::NAME, "of the kit": [1, { "two": null }] }));
    set(&mut config, "args", json!({ "cni": { "labels": [{ "key": "a", "value": "b" }] } }));
    let call = call(fixture, &container, &config);
    call.attach()?;
    reads(&config, &call_since(0, "ADD")?)?;
    call.del().succeeds()?;
    reads(&config, &call_since(0, "DEL")?)
}

pub(super) fn configuration_of_check(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    let mut config = kit_ipam_config(fixture);
    let call = call(fixture, &container, &config);
    let result = call.attach()?;
    call.check(&result).succeeds()?;
    set(&mut config, "prevResult", result);
    reads(&config, &call_since(0, "CHECK")?)
}

fn reads(config: &Value, seen: &IpamCall) -> TestResult {
    let same = serde_json::from_str(&seen.stdin).is_ok_and(|read: Value| read == *config);
    ensure(
        same,
        seen.verb(),
        format!("the delegated plugin reads {config}"),
        format!("it read {}", seen.stdin),
    )
}

pub(super) fn add_once(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    call(fixture, &container, &kit_ipam_config(fixture)).attach()?;
    let mut verbs: Vec<String> = ipam::calls().iter().map(|seen| seen.verb().to_owned()).collect();
    // A call of VERSION is harmless.
    verbs.retain(|verb| verb != "VERSION");
    ensure(
        verbs == ["ADD"],
        "ADD",
        "the delegated plugin is called with ADD once",
        format!("{verbs:?}"),
    )
}

pub(super) fn del(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    let call = call(fixture, &container, &kit_ipam_config(fixture));
    call.attach()?;
    let before = ipam::calls().len();
    call.del().succeeds()?;
    call_since(before, "DEL").map(drop)
}

pub(super) fn del_without_namespace(fixture: &Fixture) -> TestResult {
    let one = container(fixture, "one");
    let call = call(fixture, &one, &kit_ipam_config(fixture));
    call.attach()?;
    fixture.delete_namespace(&one);
    let before = ipam::calls().len();
    call.del().succeeds()?;
    call_since(before, "DEL")?;
    // The runtime may also pass no path.
    let other = container(fixture, "two");
    let call = super::call(fixture, &other, &kit_ipam_config(fixture));
    call.attach()?;
    fixture.delete_namespace(&other);
    let before = ipam::calls().len();
    call.with(|cni| cni.unset("CNI_NETNS")).del().succeeds()?;
    call_since(before, "DEL").map(drop)
}

pub(super) fn check(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    let call = call(fixture, &container, &kit_ipam_config(fixture));
    let result = call.attach()?;
    let before = ipam::calls().len();
    call.check(&result).succeeds()?;
    call_since(before, "CHECK").map(drop)
}

pub(super) fn gc(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    let call = call(fixture, &container, &kit_ipam_config(fixture));
    call.attach()?;
    let before = ipam::calls().len();
    call.gc(&[(&container.id, "eth0")]).succeeds()?;
    let seen = call_since(before, "GC")?;
    let read: Value = serde_json::from_str(&seen.stdin).unwrap_or_default();
    let valid = json!([{ "containerID": container.id, "ifname": "eth0" }]);
    let error = read.get("cni.dev/valid-attachments") == Some(&valid);
    ensure(
        error,
        "GC",
        "the delegated plugin reads the valid attachments",
        format!("it read {read}"),
    )
}

pub(super) fn status(fixture: &Fixture) -> TestResult {
    let before = ipam::calls().len();
    fixture.call_with(&kit_ipam_config(fixture)).status().succeeds()?;
    call_since(before, "STATUS").map(drop)
}

pub(super) fn standard_error(fixture: &Fixture) -> TestResult {
    script(LINKS, "kit-loud", "echo 'message of the kit' >&2");
    let mut config = kit_ipam_config(fixture);
    set(&mut config, "ipam", json!({ "type": "kit-loud" }));
    let container = container(fixture, "one");
    let outcome = call(fixture, &container, &config).add();
    outcome.succeeds()?;
    ensure(
        !calls_since(0, "ADD").is_empty(),
        "ADD",
        "the delegated plugin is called",
        "it was not",
    )?;
    let heard = outcome.stderr.contains("message of the kit");
    ensure(
        heard,
        "ADD",
        "the line of the delegated plugin on standard error",
        format!("{:?}", outcome.stderr),
    )
}
