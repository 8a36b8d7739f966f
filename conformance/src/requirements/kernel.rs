//! Effects on the kernel: what a result says exists does, and after DEL it does not.

mod added;
mod host;
mod names;
mod removed;

use testbed::diff;

use crate::bench::{Bench, Container};
use crate::linux::{lasting, section};
use crate::profile::Kind;
use crate::requirement::{self, Of, Requirement, Stop, Verdict, Versions, ensure};

const RESULT: &str = "CNI 1.1.0, section 5, ADD Success";
const ADD: &str = "CNI 1.1.0, section 2, ADD";
const DEL: &str = "CNI 1.1.0, section 2, DEL";

/// Plugins that make interfaces, but not those that are told to take a link of the host for each container.
const LEAVES_LINKS: Of = Of::That(
    |profile| {
        let device = profile.config.get("device").and_then(serde_json::Value::as_str);
        profile.kind == Kind::Interface && !device.is_some_and(|name| name.contains("$NUMBER"))
    },
    "make an interface, and leave the host its own",
);

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    must(
        "LINUX.ADD.1",
        RESULT,
        "each interface of the result exists in its place, and is up",
        added::interfaces,
    ),
    must(
        "LINUX.ADD.2",
        RESULT,
        "each interface has the MAC, and the MTU, that the result says",
        added::macs,
    ),
    must(
        "LINUX.ADD.3",
        RESULT,
        "each address is on its interface, with its prefix",
        added::addresses,
    ),
    must(
        "LINUX.ADD.4",
        RESULT,
        "each address can be used at once: nothing waits for duplicate address detection",
        added::usable,
    ),
    must(
        "LINUX.ADD.5",
        RESULT,
        "each route of the result is in the container, with its gateway",
        added::routes,
    ),
    Requirement {
        of: Of::Delegating,
        ..must(
            "LINUX.ADD.6",
            RESULT,
            "a route has the metric, table and scope that its IPAM plugin said",
            added::places,
        )
    },
    Requirement {
        of: Of::Delegating,
        versions: Versions::From("1.1.0"),
        ..must(
            "LINUX.ADD.7",
            RESULT,
            "a route has the mtu and advmss that its IPAM plugin said",
            added::metrics,
        )
    },
    must(
        "LINUX.ADD.8",
        RESULT,
        "no link appears in the container but those of the result",
        added::no_other_link,
    ),
    must(
        "LINUX.ADD.9",
        RESULT,
        "no address appears in the container but those of the result",
        added::no_other_address,
    ),
    must(
        "LINUX.ADD.10",
        RESULT,
        "no link appears on the host but those of the result",
        added::no_other_on_the_host,
    ),
    Requirement {
        of: Of::That(
            |profile| profile.config.get("ipam").is_some(),
            "make an interface of their own",
        ),
        ..expected("LINUX.ADD.11", "the container's lo stays as it was", added::lo_stays)
    },
    Requirement {
        of: Of::That(
            |profile| profile.kind != Kind::Ipam && !profile.variants.is_empty(),
            "make interfaces or change them, and have variants in their profile",
        ),
        ..expected(
            "LINUX.ADD.12",
            "what the result says exists does with each usual configuration, and those that make no sense are refused",
            added::variants,
        )
    },
    must("LINUX.DEL.1", DEL, "after DEL the container is as before ADD", removed::container),
    must(
        "LINUX.DEL.2",
        DEL,
        "DEL takes away all that its ADD made, and leaves another attachment as it was",
        removed::one_of_two,
    ),
    expected(
        "LINUX.DEL.3",
        "what the last DEL leaves on the host does not grow with further rounds",
        removed::rounds,
    ),
    expected(
        "LINUX.DEL.4",
        "DEL takes as much from the host if the container's namespace is gone",
        removed::without_namespace,
    ),
    Requirement {
        of: Of::That(|profile| !profile.variants.is_empty(), "have variants in their profile"),
        ..expected(
            "LINUX.DEL.5",
            "DEL takes away all that its ADD made with each usual configuration",
            removed::variants,
        )
    },
    Requirement {
        of: LEAVES_LINKS,
        ..expected(
            "LINUX.HOST.1",
            "ADD changes no setting of the host but forwarding",
            host::settings,
        )
    },
    Requirement {
        of: LEAVES_LINKS,
        ..expected(
            "LINUX.HOST.2",
            "ADD and DEL leave the host's own links, addresses, routes, rules and tables alone",
            host::own_things,
        )
    },
    expected(
        "LINUX.HOST.3",
        "ADD and DEL leave no files but in /run and /var/lib/cni",
        host::files,
    ),
    expected("LINUX.HOST.4", "ADD and DEL leave the mounts as they were", host::mounts),
    expected("LINUX.HOST.5", "after DEL no process of the plugin runs", host::processes),
    Requirement {
        of: Of::Delegating,
        ..must(
            "LINUX.NAME.1",
            ADD,
            "a container can have a second interface of the same network, and lose one of them",
            names::second,
        )
    },
    Requirement {
        of: Of::Delegating,
        ..must("LINUX.NAME.2", ADD, "an interface's name may have 15 bytes", names::long_interface)
    },
    expected("LINUX.NAME.3", "a container's id may have 128 bytes", names::long_id),
    must("LINUX.NAME.4", ADD, "the namespace may be /proc/PID/ns/net", names::namespace_of_process),
    Requirement {
        of: Of::Delegating,
        ..expected(
            "LINUX.NAME.5",
            "the host may have an interface of the same name",
            names::taken_on_host,
        )
    },
    expected(
        "LINUX.NAME.6",
        "ids that are the same up to their last byte are different containers",
        names::alike,
    ),
];

const fn must(
    id: &'static str,
    source: &'static str,
    says: &'static str,
    test: fn(&Bench) -> Verdict,
) -> Requirement {
    requirement::must(id, source, says, Of::Interfaces, test)
}

const fn expected(
    id: &'static str,
    says: &'static str,
    test: fn(&Bench) -> Verdict,
) -> Requirement {
    requirement::expected(id, says, Of::Interfaces, test)
}

/// Whether a namespace is in the same state as before.
fn same(done: &str, name: &str, before: &str, after: &str) -> Verdict {
    let changes = diff(&lasting(section(before, name)), &lasting(section(after, name)));
    let place = if name == "node" { "the host" } else { "the container" };
    ensure(changes.is_empty(), done, format!("{place} as before"), changes)
}

/// Whether everything is in the same state as before, but for what changes by itself.
fn all_same(done: &str, before: &str, after: &str) -> Verdict {
    let changes = diff(&lasting(before), &lasting(after));
    ensure(changes.is_empty(), done, "the same state as before", changes)
}

/// ADD and DEL of a container.
fn round(bench: &Bench, container: &Container) -> Result<(), Stop> {
    use crate::requirement::Judge;
    bench.call(container).add().succeeds()?;
    bench.call(container).del().succeeds().map(drop)
}
