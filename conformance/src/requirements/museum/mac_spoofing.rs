//! Frames with a forged source address.

use serde_json::Value;

use crate::fixture::{Container, Fixture, addresses, sandbox_interface};
use crate::profile::Profile;
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::{NotPassed, TestResult, ensure};

/// The purpose of `macspoofchk`.
pub(super) const SPOOFED: Requirement = Requirement {
    id: "plugins-639",
    source: "containernetworking/plugins, pull request 639: `macspoofchk`",
    statement: "With `macspoofchk`, packets with the container's own source MAC address must \
        pass, and no others",
    level: Level::Expected,
    applies_to: AppliesTo::Where(checks_macs, "check source MAC addresses"),
    versions: Versions::Newest,
    test: spoofed,
};

/// An unused MAC address.
const FORGED: &str = "02:00:5e:00:53:01";

fn checks_macs(profile: &Profile) -> bool {
    profile
        .config_with("macspoofchk")
        .is_some_and(|config| config.get("macspoofchk").is_some_and(|it| it == true))
}

fn spoofed(fixture: &Fixture) -> TestResult {
    let (sender, result) = added(fixture, "sender")?;
    let (receiver, to) = added(fixture, "receiver")?;
    let mac = sandbox_interface(&result, "eth0")?.get("mac").and_then(Value::as_str);
    let mac = mac.unwrap_or_default().to_owned();
    let to = addresses(&to).into_iter().find(|address| address.contains('.'));
    let to = to.and_then(|address| Some(address.split_once('/')?.0.to_owned()));
    let to = to.ok_or_else(|| NotPassed::Untestable("no IPv4 address to send to".to_owned()))?;
    let own = count(&sender, &receiver, &mac, &to);
    let done = format!("sent with the container's own MAC address {mac}");
    ensure(own > 0, done, "frames arrive at another container", "none arrived")?;
    sender.pod.sh(&format!("ip link set eth0 address {FORGED}"));
    let forged = count(&sender, &receiver, FORGED, &to);
    ensure(
        forged == 0,
        format!("sent with the MAC address {FORGED} instead of {mac}"),
        "no frame arrives at another container",
        format!("{forged} arrived"),
    )
}

fn added(fixture: &Fixture, name: &str) -> Result<(Container, Value), NotPassed> {
    let container = fixture.container(name);
    let config = fixture.complete(fixture.profile.config_with("macspoofchk").unwrap_or_default());
    let call = fixture
        .call_with(&config)
        .with(|cni| cni.container(&container.id).netns(&container.pod).ifname("eth0"));
    let result = call.attach()?;
    Ok((container, result))
}

/// The number of frames with this source address that reach the receiver, for unicast and broadcast
/// requests.
fn count(sender: &Container, receiver: &Container, mac: &str, to: &str) -> u64 {
    receiver.pod.count("eth0", &format!("ether saddr {mac}"), || {
        sender.pod.try_run(&["ping", "-n", "-c1", "-W0.2", to]);
        sender.pod.try_run(&["ip", "neigh", "flush", "dev", "eth0"]);
        sender.pod.try_run(&["ping", "-n", "-c1", "-W0.2", to]);
    })
}
