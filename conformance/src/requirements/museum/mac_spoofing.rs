//! Frames with somebody else's source address.

use serde_json::Value;

use crate::bench::{Bench, Container, addresses, sandbox_interface};
use crate::profile::Profile;
use crate::requirement::{Judge, Level, Of, Requirement, Stop, Verdict, Versions, ensure};

/// The promise of `macspoofchk`.
pub(super) const SPOOFED: Requirement = Requirement {
    id: "plugins-639",
    source: "containernetworking/plugins, pull request 639: `macspoofchk`",
    says: "With `macspoofchk`, what a container sends with its own MAC address gets out, and nothing with another one",
    level: Level::Must,
    of: Of::That(checks_macs, "check source MAC addresses"),
    versions: Versions::Newest,
    test: spoofed,
};

/// A MAC address that nobody has.
const FORGED: &str = "02:00:5e:00:53:01";

fn checks_macs(profile: &Profile) -> bool {
    profile
        .config_with("macspoofchk")
        .is_some_and(|config| config.get("macspoofchk").is_some_and(|it| it == true))
}

fn spoofed(bench: &Bench) -> Verdict {
    let (sender, result) = added(bench, "sender")?;
    let (receiver, to) = added(bench, "receiver")?;
    let mac = sandbox_interface(&result, "eth0")?.get("mac").and_then(Value::as_str);
    let mac = mac.unwrap_or_default().to_owned();
    let to = addresses(&to).into_iter().find(|address| address.contains('.'));
    let to = to.and_then(|address| Some(address.split_once('/')?.0.to_owned()));
    let to = to.ok_or_else(|| Stop::Untestable("no IPv4 address to send to".to_owned()))?;
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

fn added(bench: &Bench, name: &str) -> Result<(Container, Value), Stop> {
    let container = bench.container(name);
    let config = bench.complete(bench.profile.config_with("macspoofchk").unwrap_or_default());
    let call = bench
        .call_with(&config)
        .with(|cni| cni.container(&container.id).netns(&container.pod).ifname("eth0"));
    let result = call.add().succeeds()?;
    Ok((container, result))
}

/// How many frames with that source get to the receiver, with requests and with a question to all.
fn count(sender: &Container, receiver: &Container, mac: &str, to: &str) -> u64 {
    receiver.pod.count("eth0", &format!("ether saddr {mac}"), || {
        sender.pod.try_run(&["ping", "-n", "-c1", "-W0.2", to]);
        sender.pod.try_run(&["ip", "neigh", "flush", "dev", "eth0"]);
        sender.pod.try_run(&["ping", "-n", "-c1", "-W0.2", to]);
    })
}
