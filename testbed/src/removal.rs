//! Waiting until the kernel has removed deleted network namespaces.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getpid, gettid};

use crate::pod::remedy;

/// The link that disappears with its peer's namespace.
const NEAR: &str = "near";

/// Waits until the kernel has removed the links of all network namespaces that were deleted
/// before this call. Returns whether it has within `limit`.
///
/// The kernel removes namespaces in the background, in the order of their deletion, and takes
/// seconds if many are deleted on a busy machine. So this function deletes one more and waits for
/// its link.
///
/// # Panics
///
/// Without root privileges, or without the program `ip`.
pub fn await_deleted_namespaces(limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    let waited = thread::scope(|scope| scope.spawn(move || in_a_new_one(deadline)).join());
    waited.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn in_a_new_one(deadline: Instant) -> bool {
    enter_a_new_one();
    let here = format!("/proc/{}/task/{}/ns/net", getpid(), gettid());
    // The other namespace ends with the thread that made it.
    thread::scope(|scope| {
        scope.spawn(|| {
            enter_a_new_one();
            let made = Command::new("ip")
                .args(["link", "add", "far", "type", "veth", "peer", "name", NEAR, "netns", &here])
                .stdin(Stdio::null())
                .status();
            let status = made.unwrap_or_else(|error| panic!("ip: {error}{}", remedy("ip", &error)));
            assert!(status.success(), "make a veth pair between two namespaces: {status}");
        });
    });
    while links().iter().any(|link| link == NEAR) {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

fn enter_a_new_one() {
    unshare(CloneFlags::CLONE_NEWNET)
        .unwrap_or_else(|error| panic!("make a network namespace: {error}"));
}

/// The links of this thread's namespace.
fn links() -> Vec<String> {
    let table = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let names = table.lines().filter_map(|line| line.split_once(':'));
    names.map(|(name, _)| name.trim().to_owned()).collect()
}
