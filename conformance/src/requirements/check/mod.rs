//! CHECK: whether everything is as ADD left it.

mod later;

use serde_json::{Value, json};

use super::steps::{naming, only_from, silent, state, unchanged};
use crate::bench::{Bench, Container, addresses};
use crate::requirement::{Judge, Level, Of, Requirement, Stop, Verdict, Versions};

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "S2.CHECK.1",
        source: "CNI 0.4.0, Parameters, CHECK; CNI 1.1.0, section 2, CHECK",
        says: "CHECK right after ADD succeeds and prints nothing, again and again",
        level: Level::Must,
        of: Of::All,
        versions: Versions::From("0.4.0"),
        test: right_after_add,
    },
    Requirement {
        id: "S2.CHECK.2",
        source: "CNI 0.4.0, Parameters, CHECK: introduced with 0.4.0",
        says: "CHECK with a configuration of a version before 0.4.0 is an error",
        level: Level::Must,
        of: Of::All,
        versions: Versions::Newest,
        test: not_before,
    },
    Requirement {
        id: "S2.CHECK.3",
        source: "CNI 1.1.0, section 2, CHECK: must consult `prevResult`",
        says: "CHECK without `prevResult` is an error",
        level: Level::Must,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: needs_result,
    },
    Requirement {
        id: "S2.CHECK.4",
        source: "CNI 1.1.0, section 2, CHECK",
        says: "CHECK is an error if the container's interface is gone, or has another name",
        level: Level::Should,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: no_interface,
    },
    Requirement {
        id: "S2.CHECK.5",
        source: "CNI 1.1.0, section 2, CHECK",
        says: "CHECK is an error if the container's interface is down",
        level: Level::Should,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: interface_down,
    },
    Requirement {
        id: "S2.CHECK.6",
        source: "CNI 1.1.0, section 2, CHECK",
        says: "CHECK is an error if an address of the result is missing, of either family",
        level: Level::Should,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: no_address,
    },
    Requirement {
        id: "S2.CHECK.7",
        source: "CNI 1.1.0, section 2, CHECK",
        says: "CHECK is an error if a route of the result is missing, of either family",
        level: Level::Should,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: no_route,
    },
    Requirement {
        id: "S2.CHECK.8",
        source: "CNI 1.1.0, section 2, CHECK",
        says: "CHECK is an error if the interface has another MAC address than in the result",
        level: Level::Should,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: other_mac,
    },
    Requirement {
        id: "S2.CHECK.9",
        source: "CNI 1.1.0, section 2, CHECK",
        says: "CHECK is an error if the container's namespace is gone",
        level: Level::Should,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: no_namespace,
    },
    Requirement {
        id: "S2.CHECK.10",
        source: "CNI 1.1.0, section 2, CHECK: later plugins",
        says: "CHECK allows addresses and routes that a later plugin has added",
        level: Level::Must,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: later::more_than_before,
    },
    Requirement {
        id: "S2.CHECK.11",
        source: "CNI 1.1.0, section 2, CHECK: later plugins; appendix, Check example",
        says: "CHECK allows the MAC address that a later plugin has set, if it is in `prevResult`",
        level: Level::Must,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: later::later_mac,
    },
    Requirement {
        id: "S2.CHECK.12",
        source: "CNI 1.1.0, section 2, CHECK: later plugins",
        says: "CHECK allows that a route is gone which is no longer in `prevResult` either",
        level: Level::Must,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: later::later_routes,
    },
    Requirement {
        id: "S2.CHECK.13",
        source: "CNI 1.1.0, section 2, CHECK: later plugins",
        says: "CHECK allows interfaces in `prevResult` that other plugins of the chain have made",
        level: Level::Must,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: later::later_interfaces,
    },
    Requirement {
        id: "S2.CHECK.14",
        source: "CNI 1.1.0, section 2, CHECK: it probes",
        says: "CHECK changes nothing, whatever it finds",
        level: Level::Expected,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: changes_nothing,
    },
    Requirement {
        id: "S2.CHECK.15",
        source: "CNI 1.1.0, section 2, CHECK",
        says: "CHECK of one attachment is not disturbed by others that come and go",
        level: Level::Must,
        of: Of::Delegating,
        versions: Versions::Newest,
        test: others_come_and_go,
    },
];

fn right_after_add(bench: &Bench) -> Verdict {
    let (container, result) = bench.added("a")?;
    let call = bench.call(&container);
    silent(&call.check(&result))?;
    naming("again", silent(&call.check(&result)))
}

fn not_before(bench: &Bench) -> Verdict {
    let container = bench.container("a");
    let call = bench.call(&container).with(|cni| cni.key("cniVersion", "0.3.1"));
    // Not every plugin speaks 0.3.1.
    let added = call.add();
    let result: Value = serde_json::from_str(&added.stdout).unwrap_or_default();
    let result = if added.status.success() { result } else { json!({ "cniVersion": "0.3.1" }) };
    naming("cniVersion 0.3.1", call.check(&result).fails()).map(drop)
}

fn needs_result(bench: &Bench) -> Verdict {
    only_from(bench, "0.4.0")?;
    let (container, _) = bench.added("a")?;
    naming("without prevResult", bench.call(&container).verb("CHECK").fails()).map(drop)
}

/// CHECK must notice what the shell did in the container.
fn notices(bench: &Bench, container: &Container, result: &Value, damage: &str) -> Verdict {
    let call = bench.call(container);
    naming("before any damage", silent(&call.check(result)))?;
    let done = container.pod.try_run(&["sh", "-ec", damage]);
    if !done.status.success() {
        return Err(Stop::Absent(format!("`{damage}` cannot be done: {}", done.stderr.trim())));
    }
    naming(format!("after `{damage}` in the container"), call.check(result).fails()).map(drop)
}

/// The same for a container of its own.
fn noticed(bench: &Bench, damage: &str) -> Verdict {
    only_from(bench, "0.4.0")?;
    let (container, result) = bench.added("a")?;
    notices(bench, &container, &result, damage)
}

fn no_interface(bench: &Bench) -> Verdict {
    noticed(bench, "ip link del eth0")?;
    let (container, result) = bench.added("b")?;
    let damage = "ip link set eth0 down; ip link set eth0 name eth9; ip link set eth9 up";
    notices(bench, &container, &result, damage)
}

fn interface_down(bench: &Bench) -> Verdict {
    // The addresses stay, so that it is not their absence that is noticed.
    noticed(bench, "sysctl -qw net.ipv6.conf.eth0.keep_addr_on_down=1; ip link set eth0 down")
}

fn no_address(bench: &Bench) -> Verdict {
    only_from(bench, "0.4.0")?;
    let (a, result) = bench.added("a")?;
    let ips = addresses(&result);
    let [Some(first), last] = [ips.first(), ips.get(1)] else {
        return Err(Stop::Absent("its result has no addresses".to_owned()));
    };
    let damage = |address: &str| format!("ip addr del {address} dev eth0");
    notices(bench, &a, &result, &damage(first))?;
    if last.is_some() {
        let (b, result) = bench.added("b")?;
        if let Some(address) = addresses(&result).get(1) {
            notices(bench, &b, &result, &damage(address))?;
        }
    }
    Ok(())
}

/// The routes of a result by their destination.
fn destinations(result: &Value) -> Vec<String> {
    let routes = result.get("routes").and_then(Value::as_array).into_iter().flatten();
    routes.filter_map(|route| route.get("dst").and_then(Value::as_str)).map(str::to_owned).collect()
}

/// A command that deletes the route to a destination.
fn without_route(destination: &str) -> String {
    let family = if destination.contains(':') { "-6" } else { "-4" };
    format!("ip {family} route del {destination}")
}

fn no_route(bench: &Bench) -> Verdict {
    only_from(bench, "0.4.0")?;
    let (a, result) = bench.added("a")?;
    let routes = destinations(&result);
    let Some(first) = routes.first() else {
        return Err(Stop::Absent("its result has no routes".to_owned()));
    };
    notices(bench, &a, &result, &without_route(first))?;
    if let Some(second) = routes.get(1) {
        let (b, result) = bench.added("b")?;
        notices(bench, &b, &result, &without_route(second))?;
    }
    Ok(())
}

fn other_mac(bench: &Bench) -> Verdict {
    noticed(bench, "ip link set eth0 address 02:00:5e:10:00:01")
}

fn no_namespace(bench: &Bench) -> Verdict {
    only_from(bench, "0.4.0")?;
    let (container, result) = bench.added("a")?;
    let call = bench.call(&container);
    bench.kill(&container);
    naming("the container's namespace was deleted", call.check(&result).fails()).map(drop)
}

fn changes_nothing(bench: &Bench) -> Verdict {
    only_from(bench, "0.4.0")?;
    let (container, result) = bench.added("a")?;
    let call = bench.call(&container);
    let before = state(bench);
    silent(&call.check(&result))?;
    unchanged(bench, &before, "CHECK of what is as it was")?;
    container.pod.sh("ip addr flush dev eth0 scope global");
    let before = state(bench);
    call.check(&result);
    unchanged(bench, &before, "CHECK of what has lost its addresses")
}

fn others_come_and_go(bench: &Bench) -> Verdict {
    only_from(bench, "0.4.0")?;
    let (a, result) = bench.added("a")?;
    let (b, second) = bench.added("b")?;
    naming("with a second container", silent(&bench.call(&a).check(&result)))?;
    bench.call(&b).with(|cni| cni.prev(&second)).del().succeeds()?;
    naming("without it again", silent(&bench.call(&a).check(&result)))?;
    bench.added("c")?;
    naming("with a third one", silent(&bench.call(&a).check(&result)))
}
