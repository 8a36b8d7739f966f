//! Names of interfaces, containers and namespaces.

use std::io::Read;
use std::process::Stdio;

use serde_json::Value;
use testbed::{Pod, diff};

use super::super::steps::{delegates, makes_interface};
use super::added::as_said;
use super::{all_same, same};
use crate::fixture::{Call, Container, Fixture, sandbox_interface};
use crate::isolation::broken;
use crate::linux::{self, section, without_dad};
use crate::verdict::{NotPassed, OutcomeExt, TestResult, ensure};

pub(super) fn second(fixture: &Fixture) -> TestResult {
    fixture.has_second_interface()?;
    let container = without_dad(fixture, "c1");
    let pod = &container.pod;
    let before = fixture.host.state();
    let call = |name: &str| fixture.call(&container).with(|cni| cni.ifname(name));
    let mut result = Value::Null;
    for name in ["eth0", "net1"] {
        let outcome = call(name).add();
        if name == "net1" && !delegates(fixture) && !outcome.status.success() {
            // A plugin that manages its addresses itself may know one interface for a container.
            let why = "the plugin does not attach a container twice";
            return Err(NotPassed::NotApplicable(why.to_owned()));
        }
        result = outcome.succeeds()?;
        call(name).has_attached(&result)?;
        makes_interface(&result)?;
        sandbox_interface(&result, name)?;
        as_said(fixture, pod, &result)?;
    }
    call("eth0").del().succeeds()?;
    as_said(fixture, pod, &result)?;
    let left = about(pod, &fixture.host.state(), "eth0");
    ensure(left.is_empty(), "DEL of eth0, while net1 is there", "nothing of eth0", left)?;
    call("net1").del().succeeds()?;
    same(fixture, "DEL of eth0, then of net1", pod.name(), &before, &fixture.host.state())
}

/// The lines on one interface in the state of a container.
fn about(pod: &Pod, state: &str, name: &str) -> String {
    let lines = section(state, pod.name()).lines();
    let about = lines.filter(|line| line.split([' ', '/']).any(|word| word == name));
    about.map(|line| format!("{line}\n")).collect()
}

pub(super) fn long_interface(fixture: &Fixture) -> TestResult {
    const NAME: &str = "fifteen-bytes-x";
    let container = without_dad(fixture, "c1");
    makes_and_works(fixture, &container, &fixture.call(&container).with(|cni| cni.ifname(NAME)))
}

pub(super) fn long_id(fixture: &Fixture) -> TestResult {
    let id = "0123456789abcdef".repeat(8);
    let container = Container { id, ..without_dad(fixture, "c1") };
    works(fixture, &container, &fixture.call(&container))
}

/// ADD, CHECK if the version has it, and DEL. Afterwards the container must be as before.
fn works(fixture: &Fixture, container: &Container, call: &Call<'_>) -> TestResult {
    let before = fixture.host.state();
    let result = call.attach()?;
    lasts(fixture, container, call, &before, &result)
}

/// The same for a plugin that makes an interface.
fn makes_and_works(fixture: &Fixture, container: &Container, call: &Call<'_>) -> TestResult {
    let before = fixture.host.state();
    let result = call.attach()?;
    makes_interface(&result)?;
    lasts(fixture, container, call, &before, &result)
}

/// What follows an ADD with this result: CHECK if the version has it, and DEL.
fn lasts(
    fixture: &Fixture,
    container: &Container,
    call: &Call<'_>,
    before: &str,
    result: &Value,
) -> TestResult {
    as_said(fixture, &container.pod, result)?;
    if fixture.is_from("0.4.0") {
        call.check(result).succeeds()?;
    }
    call.del().succeeds()?;
    same(fixture, "ADD, then DEL", container.pod.name(), before, &fixture.host.state())
}

pub(super) fn namespace_of_process(fixture: &Fixture) -> TestResult {
    let container = without_dad(fixture, "c1");
    // It prints a line when it runs, and exits at the end of its input.
    let mut command = container.pod.command("sh");
    command.args(["-c", "echo ready; read end"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().unwrap_or_else(|error| broken(&format!("start sh: {error}")));
    let mut ready = [0; 5];
    let said = process.stdout.take().map(|mut stdout| stdout.read_exact(&mut ready));
    if said.is_none_or(|read| read.is_err()) {
        broken("a process in the container's namespace did not start");
    }
    let path = format!("/proc/{}/ns/net", process.id());
    let ended = works(
        fixture,
        &container,
        &fixture.call(&container).with(|cni| cni.env("CNI_NETNS", &path)),
    );
    drop(process.stdin.take());
    let _ = process.wait();
    ended
}

pub(super) fn taken_on_host(fixture: &Fixture) -> TestResult {
    fixture.host.sh("ip link add eth0 index 2000 type veth peer name eth0-peer
        ip addr add 203.0.113.1/24 dev eth0; ip link set eth0 up; ip link set eth0-peer up");
    let container = without_dad(fixture, "c1");
    let own = || fixture.host.run(&["ip", "-d", "addr", "show", "eth0"]);
    let before = fixture.host.state();
    let link = linux::link(&fixture.host, "eth0");
    makes_and_works(fixture, &container, &fixture.call(&container))?;
    ensure(
        linux::link(&fixture.host, "eth0") == link,
        "ADD, then DEL",
        "the host's eth0 as before",
        own(),
    )?;
    let lost = diff(section(&before, "node"), section(&fixture.host.state(), "node"));
    let lost: Vec<&str> =
        lost.lines().filter(|line| line.starts_with("- ") && line.contains("eth0")).collect();
    ensure(lost.is_empty(), "ADD, then DEL", "the host's eth0 as before", lost.join("\n"))
}

pub(super) fn alike(fixture: &Fixture) -> TestResult {
    let stem = "0123456789abcdef".repeat(4);
    let one = Container { id: format!("{stem}a"), ..without_dad(fixture, "c1") };
    let two = Container { id: format!("{stem}b"), ..without_dad(fixture, "c2") };
    fixture.call(&one).attach()?;
    let before = fixture.state();
    let result = fixture.call(&two).attach()?;
    as_said(fixture, &two.pod, &result)?;
    fixture.call(&two).del().succeeds()?;
    all_same(fixture, "ADD and DEL of the second", &before, &fixture.state())?;
    fixture.call(&one).del().succeeds().map(drop)
}
