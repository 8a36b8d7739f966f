//! Kernel settings that a container's configuration must not reach.

use std::fs;

use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};

use crate::bench::{Bench, set};
use crate::profile::Profile;
use crate::requirement::{Judge, Level, Of, Requirement, Stop, Verdict, Versions, ensure};

/// Keys with a path in them, and values with a key in them.
pub(super) const KEYS: Requirement = Requirement {
    id: "CVE-2022-0811",
    source: "CVE-2022-0811 (CRI-O), its kind; containernetworking/cni, pull request 117",
    says: "`sysctl` sets what belongs to the container's network, and nothing of the machine's",
    level: Level::Must,
    of: Of::That(sets_sysctls, "set sysctls in the container"),
    versions: Versions::Newest,
    test: keys,
};

/// A setting that is none of the network's. The test has one of its own, like each UTS namespace.
const FOREIGN: &str = "/proc/sys/kernel/domainname";
/// What it is in the test.
const KEPT: &str = "kept.test";

fn sets_sysctls(profile: &Profile) -> bool {
    profile.config_with("sysctl").is_some()
}

fn keys(bench: &Bench) -> Verdict {
    let own = unshare(CloneFlags::CLONE_NEWUTS).map_err(|error| error.to_string());
    own.and_then(|()| fs::write(FOREIGN, KEPT).map_err(|error| error.to_string()))
        .map_err(|error| Stop::Untestable(format!("a setting of the test's own: {error}")))?;
    let container = bench.container("a");
    let with = |key: &str, value: &str| {
        let mut config = bench.profile.config_with("sysctl").unwrap_or_default();
        config = bench.complete(config);
        set(&mut config, "sysctl", json!({ key: value }));
        let prev = container.prev.clone().unwrap_or(Value::Null);
        bench.call_with(&config).with(|cni| {
            cni.container(&container.id).netns(&container.pod).ifname("eth0").prev(&prev)
        })
    };
    let somaxconn = || fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
    let host = bench.host.enter(somaxconn);
    with("net.core.somaxconn", "623").add().succeeds()?;
    let done = "ADD with the sysctl net.core.somaxconn of 623";
    let inside = container.pod.enter(somaxconn);
    ensure(inside.trim() == "623", done, "623 in the container", inside.trim())?;
    let outside = bench.host.enter(somaxconn);
    ensure(outside == host, done, format!("{} on the host", host.trim()), outside.trim())?;
    for (key, value) in [
        ("kernel.domainname", "broken"),
        ("kernel/domainname", "broken"),
        ("../kernel/domainname", "broken"),
        ("net/../kernel/domainname", "broken"),
        ("net/ipv4/../../kernel/domainname", "broken"),
        ("net.ipv4./../../kernel.domainname", "broken"),
        ("net/./../kernel/domainname", "broken"),
        ("/proc/sys/kernel/domainname", "broken"),
        ("net.core.somaxconn", "624+kernel.domainname=broken"),
        ("net.core.somaxconn", "624\nkernel.domainname = broken"),
    ] {
        with(key, value).add();
        let seen = fs::read_to_string(FOREIGN).unwrap_or_default();
        ensure(
            seen.trim() == KEPT,
            format!("ADD with the sysctl {key:?} of {value:?}"),
            format!("{FOREIGN} stays {KEPT}"),
            format!("it is {}", seen.trim()),
        )?;
    }
    Ok(())
}
