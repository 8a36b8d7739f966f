//! Names: of interfaces, of containers, of namespaces.

use std::io::Read;
use std::process::Stdio;

use serde_json::Value;
use testbed::{Pod, diff};

use super::added::as_said;
use super::{all_same, same};
use crate::bench::{Bench, Call, Container, broken, sandbox_interface};
use crate::linux::{self, hurried, section};
use crate::requirement::{Judge, Verdict, ensure};

pub(super) fn second(bench: &Bench) -> Verdict {
    let container = hurried(bench, "c1");
    let pod = &container.pod;
    let before = bench.host.state();
    let call = |name: &str| bench.call(&container).with(|cni| cni.ifname(name));
    let mut result = Value::Null;
    for name in ["eth0", "net1"] {
        result = call(name).add().succeeds()?;
        sandbox_interface(&result, name)?;
        as_said(bench, pod, &result)?;
    }
    call("eth0").del().succeeds()?;
    as_said(bench, pod, &result)?;
    let left = about(pod, &bench.host.state(), "eth0");
    ensure(left.is_empty(), "DEL of eth0, while net1 is there", "nothing of eth0", left)?;
    call("net1").del().succeeds()?;
    same("DEL of eth0, then of net1", pod.name(), &before, &bench.host.state())
}

/// The lines of a container's state that are about one interface.
fn about(pod: &Pod, state: &str, name: &str) -> String {
    let lines = section(state, pod.name()).lines();
    let about = lines.filter(|line| line.split([' ', '/']).any(|word| word == name));
    about.map(|line| format!("{line}\n")).collect()
}

pub(super) fn long_interface(bench: &Bench) -> Verdict {
    const NAME: &str = "fifteen-bytes-x";
    let container = hurried(bench, "c1");
    works(bench, &container, &bench.call(&container).with(|cni| cni.ifname(NAME)))?;
    Ok(())
}

pub(super) fn long_id(bench: &Bench) -> Verdict {
    let id = "0123456789abcdef".repeat(8);
    let container = Container { id, ..hurried(bench, "c1") };
    works(bench, &container, &bench.call(&container))
}

/// ADD, CHECK where there is one, and DEL, after which the container is as before.
fn works(bench: &Bench, container: &Container, call: &Call<'_>) -> Verdict {
    let before = bench.host.state();
    let result = call.add().succeeds()?;
    as_said(bench, &container.pod, &result)?;
    if bench.is_from("0.4.0") {
        call.check(&result).succeeds()?;
    }
    call.del().succeeds()?;
    same("ADD, then DEL", container.pod.name(), &before, &bench.host.state())
}

pub(super) fn namespace_of_process(bench: &Bench) -> Verdict {
    let container = hurried(bench, "c1");
    // It says when it is there, and ends when its input does.
    let mut command = container.pod.command("sh");
    command.args(["-c", "echo ready; read end"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.spawn().unwrap_or_else(|error| broken(&format!("start sh: {error}")));
    let mut ready = [0; 5];
    let said = process.stdout.take().map(|mut stdout| stdout.read_exact(&mut ready));
    if said.is_none_or(|read| read.is_err()) {
        broken("a process in the container's namespace did not start");
    }
    let path = format!("/proc/{}/ns/net", process.id());
    let ended =
        works(bench, &container, &bench.call(&container).with(|cni| cni.env("CNI_NETNS", &path)));
    drop(process.stdin.take());
    let _ = process.wait();
    ended
}

pub(super) fn taken_on_host(bench: &Bench) -> Verdict {
    bench.host.sh("ip link add eth0 index 2000 type veth peer name eth0-peer
        ip addr add 203.0.113.1/24 dev eth0; ip link set eth0 up; ip link set eth0-peer up");
    let container = hurried(bench, "c1");
    let own = || bench.host.run(&["ip", "-d", "addr", "show", "eth0"]);
    let before = bench.host.state();
    let link = linux::link(&bench.host, "eth0");
    works(bench, &container, &bench.call(&container))?;
    ensure(
        linux::link(&bench.host, "eth0") == link,
        "ADD, then DEL",
        "the host's eth0 as before",
        own(),
    )?;
    let lost = diff(section(&before, "node"), section(&bench.host.state(), "node"));
    let lost: Vec<&str> =
        lost.lines().filter(|line| line.starts_with("- ") && line.contains("eth0")).collect();
    ensure(lost.is_empty(), "ADD, then DEL", "the host's eth0 as before", lost.join("\n"))
}

pub(super) fn alike(bench: &Bench) -> Verdict {
    let stem = "0123456789abcdef".repeat(4);
    let one = Container { id: format!("{stem}a"), ..hurried(bench, "c1") };
    let two = Container { id: format!("{stem}b"), ..hurried(bench, "c2") };
    bench.call(&one).add().succeeds()?;
    let before = bench.host.state();
    let result = bench.call(&two).add().succeeds()?;
    as_said(bench, &two.pod, &result)?;
    bench.call(&two).del().succeeds()?;
    all_same("ADD and DEL of the second", &before, &bench.host.state())?;
    bench.call(&one).del().succeeds().map(drop)
}
