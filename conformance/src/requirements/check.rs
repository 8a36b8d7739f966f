//! CHECK: the attachment must be as ADD left it.

mod later;
mod undone;

use serde_json::{Value, json};

use super::steps::{attached, only_from, state, succeeds_without_output, unchanged, with_input};
use crate::fixture::{Container, Fixture, addresses, sandbox_interface};
use crate::requirement::{AppliesTo, Level, Requirement, Versions};
use crate::verdict::{NotPassed, OutcomeExt, TestResult};

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        id: "S2.CHECK.1",
        source: "CNI 0.4.0, Parameters, CHECK; CNI 1.1.0, section 2, CHECK",
        statement: "CHECK must succeed after ADD and print nothing, however often it is called",
        level: Level::Must,
        applies_to: AppliesTo::All,
        versions: Versions::From("0.4.0"),
        test: right_after_add,
    },
    Requirement {
        id: "S2.CHECK.2",
        source: "CNI 0.4.0, Parameters, CHECK: introduced with 0.4.0",
        statement: "CHECK must fail if the configuration's version is older than 0.4.0",
        level: Level::Expected,
        applies_to: AppliesTo::All,
        versions: Versions::Newest,
        test: not_before,
    },
    Requirement {
        id: "S2.CHECK.3",
        source: "CNI 1.1.0, section 2, CHECK: must consult `prevResult`",
        statement: "CHECK must fail without `prevResult`",
        level: Level::Must,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::NewestFrom("0.4.0"),
        test: needs_result,
    },
    Requirement {
        id: "S2.CHECK.4",
        source: "CNI 1.1.0, section 2, CHECK",
        statement: "CHECK should fail if the container's interface is gone or has another name",
        level: Level::Should,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::NewestFrom("0.4.0"),
        test: no_interface,
    },
    Requirement {
        id: "S2.CHECK.5",
        source: "CNI 1.1.0, section 2, CHECK",
        statement: "CHECK should fail if the container's interface is down",
        level: Level::Should,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::NewestFrom("0.4.0"),
        test: interface_down,
    },
    Requirement {
        id: "S2.CHECK.6",
        source: "CNI 1.1.0, section 2, CHECK",
        statement: "CHECK should fail if an IPv4 or IPv6 address of the result is missing",
        level: Level::Should,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::NewestFrom("0.4.0"),
        test: no_address,
    },
    Requirement {
        id: "S2.CHECK.7",
        source: "CNI 1.1.0, section 2, CHECK",
        statement: "CHECK should fail if an IPv4 or IPv6 route of the result is missing",
        level: Level::Should,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::NewestFrom("0.4.0"),
        test: no_route,
    },
    Requirement {
        id: "S2.CHECK.8",
        source: "CNI 1.1.0, section 2, CHECK",
        statement: "CHECK should fail if the MAC address of the interface differs from the result",
        level: Level::Should,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::NewestFrom("0.4.0"),
        test: other_mac,
    },
    Requirement {
        id: "S2.CHECK.9",
        source: "CNI 1.1.0, section 2, CHECK",
        statement: "CHECK should fail if the container's namespace no longer exists",
        level: Level::Should,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::NewestFrom("0.4.0"),
        test: no_namespace,
    },
    Requirement {
        id: "S2.CHECK.10",
        source: "CNI 1.1.0, section 2, CHECK: later plugins",
        statement: "CHECK must accept addresses and routes that a later plugin of the chain added",
        level: Level::Must,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::NewestFrom("0.4.0"),
        test: later::more_than_before,
    },
    Requirement {
        id: "S2.CHECK.11",
        source: "CNI 1.1.0, section 2, CHECK: later plugins; appendix, Check example",
        statement: "CHECK must accept a MAC address that a later plugin set, if `prevResult` has \
            it",
        level: Level::Must,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::NewestFrom("0.4.0"),
        test: later::later_mac,
    },
    Requirement {
        id: "S2.CHECK.12",
        source: "CNI 1.1.0, section 2, CHECK: later plugins",
        statement: "CHECK must accept that a route is missing if `prevResult` does not have it either",
        level: Level::Must,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::NewestFrom("0.4.0"),
        test: later::later_routes,
    },
    Requirement {
        id: "S2.CHECK.13",
        source: "CNI 1.1.0, section 2, CHECK: later plugins",
        statement: "CHECK must accept interfaces in `prevResult` that other plugins of the chain \
            made",
        level: Level::Must,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::NewestFrom("0.4.0"),
        test: later::later_interfaces,
    },
    Requirement {
        id: "S2.CHECK.14",
        source: "CNI 1.1.0, section 2, CHECK: it probes",
        statement: "CHECK must change nothing, whatever it finds",
        level: Level::Expected,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::NewestFrom("0.4.0"),
        test: changes_nothing,
    },
    Requirement {
        id: "S2.CHECK.15",
        source: "CNI 1.1.0, section 2, CHECK",
        statement: "CHECK of an attachment must succeed while other attachments are added and \
            deleted",
        level: Level::Must,
        applies_to: AppliesTo::Interfaces,
        versions: Versions::NewestFrom("0.4.0"),
        test: others_come_and_go,
    },
    Requirement {
        id: "S2.CHECK.16",
        source: "CNI 1.1.0, section 2, CHECK: firewall rules, traffic shaping controls",
        statement: "CHECK of a chained plugin should fail if what ADD changed in the kernel is \
            undone",
        level: Level::Should,
        applies_to: AppliesTo::Chained,
        versions: Versions::Newest,
        test: undone::undone,
    },
];

fn right_after_add(fixture: &Fixture) -> TestResult {
    let (container, result) = fixture.added("a")?;
    let call = fixture.call(&container);
    succeeds_without_output(&call.check(&result))?;
    with_input("again", succeeds_without_output(&call.check(&result)))
}

fn not_before(fixture: &Fixture) -> TestResult {
    let container = fixture.container("a");
    let call = fixture.call(&container).with(|cni| cni.key("cniVersion", "0.3.1"));
    // Not every plugin supports 0.3.1.
    let added = call.add();
    let result: Value = serde_json::from_str(&added.stdout).unwrap_or_default();
    let result = if added.status.success() { result } else { json!({ "cniVersion": "0.3.1" }) };
    with_input("cniVersion 0.3.1", call.check(&result).fails()).map(drop)
}

fn needs_result(fixture: &Fixture) -> TestResult {
    only_from(fixture, "0.4.0")?;
    let (container, _) = attached(fixture, "a")?;
    with_input("without prevResult", fixture.call(&container).verb("CHECK").fails()).map(drop)
}

/// CHECK must detect the damage that a shell command did in the container.
fn notices(fixture: &Fixture, container: &Container, result: &Value, damage: &str) -> TestResult {
    let call = fixture.call(container);
    with_input("before any damage", succeeds_without_output(&call.check(result)))?;
    let done = container.pod.try_run(&["sh", "-ec", damage]);
    if !done.status.success() {
        return Err(NotPassed::NotApplicable(format!(
            "`{damage}` cannot be done: {}",
            done.stderr.trim()
        )));
    }
    with_input(format!("after `{damage}` in the container"), call.check(result).fails()).map(drop)
}

/// The same check for an existing container.
fn noticed(fixture: &Fixture, damage: &str) -> TestResult {
    only_from(fixture, "0.4.0")?;
    let (container, result) = attached(fixture, "a")?;
    notices(fixture, &container, &result, damage)
}

fn no_interface(fixture: &Fixture) -> TestResult {
    noticed(fixture, "ip link del eth0")?;
    let (container, result) = attached(fixture, "b")?;
    let damage = "ip link set eth0 down; ip link set eth0 name eth9; ip link set eth9 up";
    notices(fixture, &container, &result, damage)
}

fn interface_down(fixture: &Fixture) -> TestResult {
    // The addresses stay, so that CHECK cannot fail because of missing addresses.
    noticed(fixture, "sysctl -qw net.ipv6.conf.eth0.keep_addr_on_down=1; ip link set eth0 down")
}

fn no_address(fixture: &Fixture) -> TestResult {
    only_from(fixture, "0.4.0")?;
    let (a, result) = attached(fixture, "a")?;
    let ips = addresses(&result);
    let [Some(first), last] = [ips.first(), ips.get(1)] else {
        return Err(NotPassed::NotApplicable("the result has no addresses".to_owned()));
    };
    let damage = |address: &str| format!("ip addr del {address} dev eth0");
    notices(fixture, &a, &result, &damage(first))?;
    if last.is_some() {
        let (b, result) = attached(fixture, "b")?;
        if let Some(address) = addresses(&result).get(1) {
            notices(fixture, &b, &result, &damage(address))?;
        }
    }
    Ok(())
}

/// The routes of a result by destination.
fn destinations(result: &Value) -> Vec<String> {
    let routes = result.get("routes").and_then(Value::as_array).into_iter().flatten();
    routes.filter_map(|route| route.get("dst").and_then(Value::as_str)).map(str::to_owned).collect()
}

/// A command that deletes the route to a destination.
fn without_route(destination: &str) -> String {
    let family = if destination.contains(':') { "-6" } else { "-4" };
    format!("ip {family} route del {destination}")
}

fn no_route(fixture: &Fixture) -> TestResult {
    only_from(fixture, "0.4.0")?;
    let (a, result) = attached(fixture, "a")?;
    let routes = destinations(&result);
    let Some(first) = routes.first() else {
        return Err(NotPassed::NotApplicable("the result has no routes".to_owned()));
    };
    notices(fixture, &a, &result, &without_route(first))?;
    if let Some(second) = routes.get(1) {
        let (b, result) = attached(fixture, "b")?;
        notices(fixture, &b, &result, &without_route(second))?;
    }
    Ok(())
}

fn other_mac(fixture: &Fixture) -> TestResult {
    only_from(fixture, "0.4.0")?;
    let (container, result) = attached(fixture, "a")?;
    if sandbox_interface(&result, "eth0")?.get("mac").is_none() {
        return Err(NotPassed::NotApplicable("the result has no MAC address".to_owned()));
    }
    notices(fixture, &container, &result, "ip link set eth0 address 02:00:5e:10:00:01")
}

fn no_namespace(fixture: &Fixture) -> TestResult {
    only_from(fixture, "0.4.0")?;
    let (container, result) = attached(fixture, "a")?;
    let call = fixture.call(&container);
    fixture.delete_namespace(&container);
    with_input("the container's namespace was deleted", call.check(&result).fails()).map(drop)
}

fn changes_nothing(fixture: &Fixture) -> TestResult {
    only_from(fixture, "0.4.0")?;
    let (container, result) = attached(fixture, "a")?;
    let call = fixture.call(&container);
    let before = state(fixture);
    succeeds_without_output(&call.check(&result))?;
    unchanged(fixture, &before, "CHECK of an unchanged attachment")?;
    container.pod.sh("ip addr flush dev eth0 scope global");
    let before = state(fixture);
    call.check(&result);
    unchanged(fixture, &before, "CHECK of an attachment without its addresses")
}

fn others_come_and_go(fixture: &Fixture) -> TestResult {
    only_from(fixture, "0.4.0")?;
    let (a, result) = attached(fixture, "a")?;
    let (b, second) = attached(fixture, "b")?;
    with_input(
        "with a second container",
        succeeds_without_output(&fixture.call(&a).check(&result)),
    )?;
    fixture.call(&b).with(|cni| cni.prev(&second)).del().succeeds()?;
    with_input("without it", succeeds_without_output(&fixture.call(&a).check(&result)))?;
    attached(fixture, "c")?;
    with_input("with a third one", succeeds_without_output(&fixture.call(&a).check(&result)))
}
