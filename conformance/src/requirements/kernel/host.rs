//! Properties of the host, which plugins must not change.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use testbed::diff;

use super::round;
use crate::fixture::Fixture;
use crate::linux::{section, without_dad};
use crate::sysctl;
use crate::verdict::{OutcomeExt, TestResult, ensure, failed};

pub(super) fn settings(fixture: &Fixture) -> TestResult {
    // A new namespace copies the setting of the machine. If it is already loose there, a change
    // cannot be detected.
    fixture.host.sh("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0
        sysctl -qw net.ipv4.conf.all.route_localnet=0 net.ipv4.conf.all.rp_filter=0");
    let container = without_dad(fixture, "c1");
    let before = sysctl::all(&fixture.host);
    fixture.call(&container).attach()?;
    let mut changed = Vec::new();
    for (path, value) in &before {
        let now = fs::read_to_string(path).unwrap_or_default();
        let is_forwarding = path.ends_with("ip_forward") || path.ends_with("forwarding");
        // The kernel disables this setting itself when it starts to forward.
        let follows = path.ends_with("accept_redirects");
        let may_change = (is_forwarding && now.trim() == "1") || follows;
        if now != *value && !may_change {
            changed.push(format!("{}: {} -> {}", path.display(), value.trim(), now.trim()));
        }
    }
    ensure(
        changed.is_empty(),
        "ADD",
        "the host's settings as before, but for forwarding",
        changed.join("; "),
    )
}

pub(super) fn own_things(fixture: &Fixture) -> TestResult {
    fixture.host.sh("ip link add own0 index 2000 type veth peer name own0-peer
        ip addr add 203.0.113.1/24 dev own0; ip addr add 2001:db8:113::1/64 dev own0 nodad
        ip link set own0 up; ip link set own0-peer up
        ip route add 198.51.100.0/24 via 203.0.113.2; ip route add 198.51.100.0/24 via 203.0.113.3 metric 7
        ip route add default via 203.0.113.2; ip -6 route add default via 2001:db8:113::2
        ip route add 198.51.100.0/25 dev own0 table 99; ip rule add from 203.0.113.9 table 99
        ip neigh add 203.0.113.2 lladdr 02:00:00:00:00:02 dev own0 nud permanent
        nft add table inet operator
        nft add chain inet operator c '{ type filter hook forward priority 0; }'
        nft add rule inet operator c ip saddr 203.0.113.77 drop");
    let container = without_dad(fixture, "c1");
    let before = fixture.host.state();
    let lost = |done: &str| -> TestResult {
        let after = fixture.host.state();
        let changes = diff(section(&before, "node"), section(&after, "node"));
        let gone = changes.lines().filter(|line| {
            let forwarding = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"];
            line.starts_with("- ") && !forwarding.iter().any(|name| line.contains(name))
        });
        let gone: Vec<&str> = gone.collect();
        ensure(gone.is_empty(), done, "everything that the host had before", gone.join("\n"))
    };
    fixture.call(&container).attach()?;
    lost("ADD")?;
    fixture.call(&container).del().succeeds()?;
    lost("ADD, then DEL")
}

/// Directories that are not for the state of plugins.
const NOT_FOR_STATE: [&str; 4] = ["/tmp", "/var/tmp", "/etc", "/root"];

pub(super) fn files(fixture: &Fixture) -> TestResult {
    for folder in fixture.disk.shared() {
        fixture.note(format!("{} was not checked: the kernel allows no overlay", folder.display()));
    }
    let before = fixture.disk.changes();
    round(fixture, &without_dad(fixture, "c1"))?;
    let mut left = fixture.disk.changes();
    left.retain(|line| !before.contains(line));
    let is_wrong = |line: &String| {
        let path = line.split_once('/').map(|(_, path)| format!("/{path}")).unwrap_or_default();
        NOT_FOR_STATE.iter().any(|folder| Path::new(&path).starts_with(folder))
    };
    let (wrong, others): (Vec<_>, Vec<_>) = left.into_iter().partition(is_wrong);
    if !others.is_empty() {
        fixture.note(format!("after DEL there is left: {}", others.join(", ")));
    }
    let done = format!("ADD, then DEL; looked at {}", NOT_FOR_STATE.join(", "));
    ensure(wrong.is_empty(), done, "no new or changed files", wrong.join(", "))
}

pub(super) fn mounts(fixture: &Fixture) -> TestResult {
    let container = without_dad(fixture, "c1");
    let mounts = || fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
    let before = mounts();
    fixture.call(&container).attach()?;
    let added = diff(&before, &mounts());
    ensure(added.is_empty(), "ADD", "the mounts as before", added)?;
    fixture.call(&container).del().succeeds()?;
    let left = diff(&before, &mounts());
    ensure(left.is_empty(), "ADD, then DEL", "the mounts as before", left)
}

pub(super) fn processes(fixture: &Fixture) -> TestResult {
    const PATIENCE: Duration = Duration::from_secs(1);
    let container = without_dad(fixture, "c1");
    let before = running();
    round(fixture, &container)?;
    let end = Instant::now() + PATIENCE;
    loop {
        let mut left = running();
        left.retain(|pid, _| !before.contains_key(pid));
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            let seen: Vec<String> = left.into_values().collect();
            return Err(failed("ADD, then DEL", "no further process", seen.join(", ")));
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// The running processes of this case, which has a process namespace of its own, with their names.
fn running() -> BTreeMap<u32, String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let of = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = |key: &str| status.lines().find_map(|line| line.strip_prefix(key));
        let has_ended = line("State:")?.trim().starts_with(['Z', 'X']);
        (!has_ended).then(|| (pid, format!("{} ({pid})", line("Name:").unwrap_or_default().trim())))
    };
    pids.filter_map(of).collect()
}
