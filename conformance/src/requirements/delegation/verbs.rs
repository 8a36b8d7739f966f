//! Which verbs of the delegate are called, and with what.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use testbed::Cni;

use crate::bench::{Bench, broken, set};
use crate::ipam::{self, Seen};
use crate::requirement::{Judge, Verdict, ensure};

use super::{call, call_since, calls_since, config};
use crate::requirements::results::container;

/// A variable that has nothing to do with plugins.
const MARK: (&str, &str) = ("KIT_MARK", "as it was");

pub(super) fn found_in_order(bench: &Bench) -> Verdict {
    let folders = ["first", "second"].map(|name| format!("/run/testbed/kit/{name}"));
    for folder in &folders {
        script(folder, "kit-order", &format!("echo {folder} >> /run/testbed/kit/order"));
    }
    let mut config = config(bench);
    set(&mut config, "ipam", json!({ "type": "kit-order" }));
    let path = format!(
        "/nowhere:{}:{}:{}",
        bench.case.suite.search_path(),
        folders.join(":"),
        ipam::FOLDER
    );
    let container = container(bench, "one");
    call(bench, &container, &config).with(|cni| cni.env("CNI_PATH", &path)).add().succeeds()?;
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

/// A program that does something and then is the kit's plugin.
fn script(folder: &str, name: &str, line: &str) {
    let path = format!("{folder}/{name}");
    let text = format!("#!/bin/sh\n{line}\nexec {}/{}\n", ipam::FOLDER, ipam::NAME);
    let made = fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, text))
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
    made.unwrap_or_else(|error| broken(&format!("make {path}: {error}")));
}

pub(super) fn environment(bench: &Bench) -> Verdict {
    let container = container(bench, "one");
    let call = call(bench, &container, &config(bench)).with(marked);
    call.add().succeeds()?;
    has_environment(bench, &container.pod.path().display().to_string(), &call_since(0, "ADD")?)?;
    call.del().succeeds()?;
    has_environment(bench, &container.pod.path().display().to_string(), &call_since(0, "DEL")?)
}

pub(super) fn environment_of_check(bench: &Bench) -> Verdict {
    let container = container(bench, "one");
    let call = call(bench, &container, &config(bench)).with(marked);
    let result = call.add().succeeds()?;
    call.check(&result).succeeds()?;
    has_environment(bench, &container.pod.path().display().to_string(), &call_since(0, "CHECK")?)
}

fn marked(cni: Cni) -> Cni {
    cni.env(MARK.0, MARK.1).args("IgnoreUnknown=1;K8S_POD_NAME=kit")
}

fn has_environment(bench: &Bench, netns: &str, seen: &Seen) -> Verdict {
    let path = format!("{}:{}", bench.case.suite.search_path(), ipam::FOLDER);
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
        let expected = format!("{name}={value} in the delegate's environment");
        ensure(said == Some(value), seen.verb(), expected, format!("{name}: {said:?}"))?;
    }
    Ok(())
}

pub(super) fn configuration(bench: &Bench) -> Verdict {
    let container = container(bench, "one");
    let mut config = config(bench);
    set(&mut config, "ipam", json!({ "type": ipam::NAME, "of the kit": [1, { "two": null }] }));
    set(&mut config, "args", json!({ "cni": { "labels": [{ "key": "a", "value": "b" }] } }));
    let call = call(bench, &container, &config);
    call.add().succeeds()?;
    reads(&config, &call_since(0, "ADD")?)?;
    call.del().succeeds()?;
    reads(&config, &call_since(0, "DEL")?)
}

pub(super) fn configuration_of_check(bench: &Bench) -> Verdict {
    let container = container(bench, "one");
    let mut config = config(bench);
    let call = call(bench, &container, &config);
    let result = call.add().succeeds()?;
    call.check(&result).succeeds()?;
    set(&mut config, "prevResult", result);
    reads(&config, &call_since(0, "CHECK")?)
}

fn reads(config: &Value, seen: &Seen) -> Verdict {
    let same = serde_json::from_str(&seen.stdin).is_ok_and(|read: Value| read == *config);
    ensure(
        same,
        seen.verb(),
        format!("the delegate reads {config}"),
        format!("it read {}", seen.stdin),
    )
}

pub(super) fn add_once(bench: &Bench) -> Verdict {
    let container = container(bench, "one");
    call(bench, &container, &config(bench)).add().succeeds()?;
    let mut verbs: Vec<String> = ipam::seen().iter().map(|seen| seen.verb().to_owned()).collect();
    // To ask for the versions does no harm.
    verbs.retain(|verb| verb != "VERSION");
    ensure(verbs == ["ADD"], "ADD", "the delegate is called with ADD once", format!("{verbs:?}"))
}

pub(super) fn del(bench: &Bench) -> Verdict {
    let container = container(bench, "one");
    let call = call(bench, &container, &config(bench));
    call.add().succeeds()?;
    let before = ipam::seen().len();
    call.del().succeeds()?;
    call_since(before, "DEL").map(drop)
}

pub(super) fn del_without_namespace(bench: &Bench) -> Verdict {
    let one = container(bench, "one");
    let call = call(bench, &one, &config(bench));
    call.add().succeeds()?;
    bench.kill(&one);
    let before = ipam::seen().len();
    call.del().succeeds()?;
    call_since(before, "DEL")?;
    // The runtime may also say that it has no path any more.
    let other = container(bench, "two");
    let call = super::call(bench, &other, &config(bench));
    call.add().succeeds()?;
    bench.kill(&other);
    let before = ipam::seen().len();
    call.with(|cni| cni.unset("CNI_NETNS")).del().succeeds()?;
    call_since(before, "DEL").map(drop)
}

pub(super) fn check(bench: &Bench) -> Verdict {
    let container = container(bench, "one");
    let call = call(bench, &container, &config(bench));
    let result = call.add().succeeds()?;
    let before = ipam::seen().len();
    call.check(&result).succeeds()?;
    call_since(before, "CHECK").map(drop)
}

pub(super) fn gc(bench: &Bench) -> Verdict {
    let container = container(bench, "one");
    let call = call(bench, &container, &config(bench));
    call.add().succeeds()?;
    let before = ipam::seen().len();
    call.gc(&[(&container.id, "eth0")]).succeeds()?;
    let seen = call_since(before, "GC")?;
    let read: Value = serde_json::from_str(&seen.stdin).unwrap_or_default();
    let valid = json!([{ "containerID": container.id, "ifname": "eth0" }]);
    let told = read.get("cni.dev/valid-attachments") == Some(&valid);
    ensure(told, "GC", "the delegate reads the valid attachments", format!("it read {read}"))
}

pub(super) fn status(bench: &Bench) -> Verdict {
    let before = ipam::seen().len();
    bench.call_with(&config(bench)).status().succeeds()?;
    call_since(before, "STATUS").map(drop)
}

pub(super) fn standard_error(bench: &Bench) -> Verdict {
    let folder = "/run/testbed/kit/loud";
    script(folder, "kit-loud", "echo 'the kit was heard' >&2");
    let mut config = config(bench);
    set(&mut config, "ipam", json!({ "type": "kit-loud" }));
    let container = container(bench, "one");
    let path = format!("{}:{folder}", bench.case.suite.search_path());
    let outcome = call(bench, &container, &config).with(|cni| cni.env("CNI_PATH", path)).add();
    outcome.succeeds()?;
    ensure(!calls_since(0, "ADD").is_empty(), "ADD", "the delegate is called", "it was not")?;
    let heard = outcome.stderr.contains("the kit was heard");
    ensure(heard, "ADD", "the delegate's line on standard error", format!("{:?}", outcome.stderr))
}
