//! Kernel settings that a container's configuration must not change.

use std::fs;

use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::json::set;
use crate::profile::Profile;
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::{NotPassed, TestResult, ensure};

/// Keys that contain a path, and values that contain a key.
pub(super) const KEYS: Requirement = Requirement {
    id: "CVE-2022-0811",
    source: "CVE-2022-0811 (CRI-O), its kind; containernetworking/cni, pull request 117",
    statement: "`sysctl` must set only settings of the container's network, and none of the \
        machine",
    level: Level::Expected,
    applies_to: AppliesTo::Where(sets_sysctls, "set sysctls in the container"),
    versions: Versions::Newest,
    test: keys,
};

/// A setting that does not belong to the network. Each UTS namespace, and so the test, has one of
/// its own.
const FOREIGN: &str = "/proc/sys/kernel/domainname";
/// Its value in the test.
const KEPT: &str = "kept.test";

fn sets_sysctls(profile: &Profile) -> bool {
    profile.config_with("sysctl").is_some()
}

fn keys(fixture: &Fixture) -> TestResult {
    let own = unshare(CloneFlags::CLONE_NEWUTS).map_err(|error| error.to_string());
    own.and_then(|()| fs::write(FOREIGN, KEPT).map_err(|error| error.to_string()))
        .map_err(|error| NotPassed::Untestable(format!("a setting of the test's own: {error}")))?;
    let container = fixture.container("a");
    let with = |key: &str, value: &str| {
        let mut config = fixture.profile.config_with("sysctl").unwrap_or_default();
        config = fixture.complete(config);
        set(&mut config, "sysctl", json!({ key: value }));
        let prev = container.prev.clone().unwrap_or(Value::Null);
        fixture.call_with(&config).with(|cni| {
            cni.container(&container.id).netns(&container.pod).ifname("eth0").prev(&prev)
        })
    };
    let somaxconn = || fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
    let host = fixture.host.enter(somaxconn);
    with("net.core.somaxconn", "623").attach()?;
    let done = "ADD with the sysctl net.core.somaxconn of 623";
    let inside = container.pod.enter(somaxconn);
    ensure(inside.trim() == "623", done, "623 in the container", inside.trim())?;
    let outside = fixture.host.enter(somaxconn);
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
