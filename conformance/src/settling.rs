//! The kernel's work in the background, such as the removal of a deleted namespace.

use std::thread;
use std::time::{Duration, Instant};

use crate::isolation::broken;
use crate::timeout::scaled;

/// The time for changes that take moments.
const MOMENTS: Duration = Duration::from_secs(1);
/// The time for the removal of deleted namespaces, on a machine that does nothing else.
const REMOVAL: Duration = Duration::from_secs(30);

/// Reads repeatedly until the value is as expected. A value that stays different is returned only
/// after the kernel has removed the deleted namespaces.
pub fn eventually<T>(read: impl Fn() -> T, is_expected: impl Fn(&T) -> bool) -> T {
    let early = within_moments(&read, &is_expected);
    if is_expected(&early) {
        return early;
    }
    after_removal();
    within_moments(&read, &is_expected)
}

/// Waits until the kernel has removed the deleted namespaces. They have links on the host.
pub fn after_removal() {
    if !testbed::await_deleted_namespaces(scaled(REMOVAL)) {
        broken("the kernel does not remove deleted network namespaces");
    }
}

fn within_moments<T>(read: impl Fn() -> T, is_expected: impl Fn(&T) -> bool) -> T {
    let deadline = Instant::now() + MOMENTS;
    loop {
        let value = read();
        if is_expected(&value) || Instant::now() > deadline {
            return value;
        }
        thread::sleep(Duration::from_millis(20));
    }
}
