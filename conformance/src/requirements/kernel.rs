//! Effects on the kernel: the content of a result exists, and DEL removes it.

mod added;
mod chained;
mod host;
mod names;
mod removed;

pub use chained::REQUIREMENTS as CHAINED;
use testbed::diff;

use super::results::WITH_INTERFACES;
use crate::fixture::{Container, Fixture};
use crate::linux::{lasting, section};
use crate::profile::Kind;
use crate::requirement::{self, AppliesTo, Level, Requirement, Versions};
use crate::verdict::{NotPassed, TestResult, ensure};

const RESULT: &str = "CNI 1.1.0, section 5, ADD Success";
const ADD: &str = "CNI 1.1.0, section 2, ADD";
const DEL: &str = "CNI 1.1.0, section 2, DEL";

/// Plugins that create interfaces, except those that move an existing link of the host.
const LEAVES_LINKS: AppliesTo = AppliesTo::Where(
    |profile| {
        let device = profile.config.get("device").and_then(serde_json::Value::as_str);
        profile.kind == Kind::Interface && !device.is_some_and(|name| name.contains("$NUMBER"))
    },
    "create an interface, and leave the interfaces of the host unchanged",
);

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    must(
        "LINUX.ADD.1",
        RESULT,
        "Each interface of the result must exist in its namespace and be up",
        added::interfaces,
    ),
    must(
        "LINUX.ADD.2",
        RESULT,
        "Each interface must have the MAC address and the MTU of the result",
        added::macs,
    ),
    must(
        "LINUX.ADD.3",
        RESULT,
        "Each address of the result must be on its interface, with its prefix length",
        added::addresses,
    ),
    Requirement {
        level: Level::Expected,
        ..must(
            "LINUX.ADD.4",
            RESULT,
            "Each address must be usable at once, without waiting for duplicate address detection",
            added::usable,
        )
    },
    must(
        "LINUX.ADD.5",
        RESULT,
        "Each route of the result must be in the container, with its gateway",
        added::routes,
    ),
    Requirement {
        level: Level::Should,
        applies_to: AppliesTo::Delegating,
        ..must(
            "LINUX.ADD.6",
            RESULT,
            "A route should have the metric, table and scope that the IPAM plugin returned",
            added::places,
        )
    },
    Requirement {
        level: Level::Should,
        applies_to: AppliesTo::Delegating,
        versions: Versions::From("1.1.0"),
        ..must(
            "LINUX.ADD.7",
            RESULT,
            "A route should have the MTU and `advmss` that the IPAM plugin returned",
            added::metrics,
        )
    },
    Requirement {
        versions: Versions::NewestFrom("1.0.0"),
        ..must(
            "LINUX.ADD.8",
            RESULT,
            "ADD must add no link to the container except those of the result",
            added::no_other_link,
        )
    },
    must(
        "LINUX.ADD.9",
        RESULT,
        "ADD must add no address to the container except those of the result",
        added::no_other_address,
    ),
    Requirement {
        versions: Versions::NewestFrom("1.0.0"),
        ..must(
            "LINUX.ADD.10",
            RESULT,
            "ADD must add no link to the host except those of the result",
            added::no_other_on_the_host,
        )
    },
    expected(
        "LINUX.ADD.11",
        "ADD must leave the container's loopback interface unchanged, but may set it up",
        added::lo_stays,
    ),
    Requirement {
        applies_to: AppliesTo::Where(
            |profile| profile.kind != Kind::Ipam && !profile.variants.is_empty(),
            "create or change interfaces, and have variants in their profile",
        ),
        ..expected(
            "LINUX.ADD.12",
            "With each common configuration, ADD must make what the result contains; it must \
             reject configurations that make no sense",
            added::variants,
        )
    },
    Requirement {
        level: Level::Should,
        ..must(
            "LINUX.DEL.1",
            DEL,
            "After DEL the container should be as it was before ADD",
            removed::container,
        )
    },
    Requirement {
        level: Level::Should,
        ..must(
            "LINUX.DEL.2",
            DEL,
            "DEL should remove everything that its ADD made, and leave another attachment unchanged",
            removed::one_of_two,
        )
    },
    expected(
        "LINUX.DEL.3",
        "What the last DEL leaves on the host must not grow with further rounds of ADD and DEL",
        removed::rounds,
    ),
    Requirement {
        applies_to: WITH_INTERFACES,
        ..expected(
            "LINUX.DEL.4",
            "DEL must remove as much from the host if the container's namespace no longer exists",
            removed::without_namespace,
        )
    },
    Requirement {
        applies_to: AppliesTo::Where(
            |profile| !profile.variants.is_empty(),
            "have variants in their profile",
        ),
        ..expected(
            "LINUX.DEL.5",
            "With each common configuration, DEL must remove everything that its ADD made",
            removed::variants,
        )
    },
    Requirement {
        applies_to: LEAVES_LINKS,
        ..expected(
            "LINUX.HOST.1",
            "ADD must change no setting of the host except forwarding",
            host::settings,
        )
    },
    Requirement {
        applies_to: LEAVES_LINKS,
        ..expected(
            "LINUX.HOST.2",
            "ADD and DEL must leave the host's own links, addresses, routes, rules and tables \
             unchanged",
            host::own_things,
        )
    },
    expected(
        "LINUX.HOST.3",
        "ADD and DEL must leave no file in directories that are not for state: /tmp, /etc, /root",
        host::files,
    ),
    expected("LINUX.HOST.4", "ADD and DEL must leave the mounts unchanged", host::mounts),
    expected("LINUX.HOST.5", "After DEL no process of the plugin must be running", host::processes),
    Requirement {
        level: Level::Should,
        ..must(
            "LINUX.NAME.1",
            ADD,
            "The plugin should be able to add a second interface of the network to a container, and \
             to delete one of them",
            names::second,
        )
    },
    Requirement {
        level: Level::Expected,
        ..must(
            "LINUX.NAME.2",
            ADD,
            "The plugin must accept an interface name of 15 bytes",
            names::long_interface,
        )
    },
    expected("LINUX.NAME.3", "The plugin must accept a container ID of 128 bytes", names::long_id),
    must(
        "LINUX.NAME.4",
        ADD,
        "The plugin must accept /proc/PID/ns/net as the namespace",
        names::namespace_of_process,
    ),
    expected(
        "LINUX.NAME.5",
        "ADD must succeed if the host has an interface of the same name",
        names::taken_on_host,
    ),
    expected(
        "LINUX.NAME.6",
        "The plugin must distinguish container IDs that differ only in their last byte",
        names::alike,
    ),
];

const fn must(
    id: &'static str,
    source: &'static str,
    statement: &'static str,
    test: fn(&Fixture) -> TestResult,
) -> Requirement {
    requirement::must(id, source, statement, AppliesTo::Interfaces, test)
}

const fn expected(
    id: &'static str,
    statement: &'static str,
    test: fn(&Fixture) -> TestResult,
) -> Requirement {
    requirement::expected(id, statement, AppliesTo::Interfaces, test)
}

/// A namespace must be in the same state as before.
fn same(fixture: &Fixture, done: &str, name: &str, before: &str, after: &str) -> TestResult {
    let part = |state| of_plugin(fixture, section(state, name));
    let changes = diff(&part(before), &part(after));
    let place = if name == "node" { "the host" } else { "the container" };
    ensure(changes.is_empty(), done, format!("{place} as before"), changes)
}

/// Everything must be in the same state as before, except what changes by itself.
fn all_same(fixture: &Fixture, done: &str, before: &str, after: &str) -> TestResult {
    let changes = diff(&of_plugin(fixture, before), &of_plugin(fixture, after));
    ensure(changes.is_empty(), done, "the same state as before", changes)
}

/// A state without what changes by itself, and without the container's `lo`, which belongs to the
/// container unless the plugin returns it: a plugin may set it up for the programs in the container.
fn of_plugin(fixture: &Fixture, state: &str) -> String {
    let is_lo = |line: &&str| line.starts_with("link lo ") || line.contains("route ::1 dev lo ");
    let lo_counts = fixture.was_returned("lo");
    let state = lasting(state);
    let lines = state.lines().filter(|line| lo_counts || !is_lo(line));
    lines.map(|line| format!("{line}\n")).collect()
}

/// A state without sysctls, if the configuration names any. Those end with the namespace. Plugins
/// that set them, such as the reference's `tuning`, do not restore them, because other attachments
/// of the container may rely on them.
fn without_asked_sysctls(fixture: &Fixture, state: &str) -> String {
    let sets_sysctls = fixture.profile.config.get("sysctl").is_some();
    let is_kept = |line: &&str| !(sets_sysctls && line.starts_with("sysctl "));
    state.lines().filter(is_kept).map(|line| format!("{line}\n")).collect()
}

/// Makes ADD and DEL of a container.
fn round(fixture: &Fixture, container: &Container) -> Result<(), NotPassed> {
    use crate::verdict::OutcomeExt;
    fixture.call(container).attach()?;
    fixture.call(container).del().succeeds().map(drop)
}
