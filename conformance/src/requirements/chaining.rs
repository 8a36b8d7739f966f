//! Chains: a plugin that runs after another one, with its result.

use serde_json::{Value, json};

use crate::evidence::describe;
use crate::fixture::{Container, Fixture};
use crate::json::set;
use crate::requirement::{self, AppliesTo, Level, Requirement, Versions, expected};
use crate::verdict::{OutcomeExt, TestResult, ensure, failed};

use super::results::{WITH_INTERFACES, container, shape};

const ADD: &str = "CNI 1.1.0, section 2, ADD, and section 5";
const LISTS: &str = "CNI 1.1.0, section 3, attachment and deletion";
const OLD_LISTS: &str = "CNI 0.4.0, network configuration lists";

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    Requirement {
        source: ADD,
        versions: Versions::From("1.0.0"),
        ..must(
            "S3.CHAIN.1",
            "The result must contain the interfaces, addresses, routes and DNS of `prevResult`",
            AppliesTo::Chained,
            passed_through,
        )
    },
    Requirement {
        source: OLD_LISTS,
        versions: Versions::Each,
        ..must(
            "S3.CHAIN.2",
            "A plugin that makes an interface must accept a `prevResult`",
            AppliesTo::Interfaces,
            interface_after_another,
        )
    },
    expected("S3.CHAIN.3", "ADD must fail without `prevResult`", AppliesTo::Chained, add_without),
    Requirement {
        level: Level::Should,
        source: OLD_LISTS,
        versions: Versions::Each,
        ..must(
            "S3.CHAIN.4",
            "DEL should succeed without `prevResult`",
            WITH_INTERFACES,
            del_without,
        )
    },
    expected(
        "S3.CHAIN.5",
        "ADD must fail if `prevResult` is not a valid result",
        AppliesTo::Chained,
        malformed_is_an_error,
    ),
    expected(
        "S3.CHAIN.6",
        "With an invalid `prevResult`, ADD, CHECK and DEL must succeed or print an error, and \
         never crash",
        WITH_INTERFACES,
        malformed_is_no_crash,
    ),
    expected(
        "S3.CHAIN.7",
        "With a `prevResult` of another version, ADD must fail or print a result in the \
         configuration's version",
        AppliesTo::Chained,
        other_version,
    ),
    Requirement {
        versions: Versions::From("0.4.0"),
        ..must(
            "S3.CHAIN.8",
            "CHECK must accept the result of a whole chain, with interfaces of later plugins",
            WITH_INTERFACES,
            check_with_all,
        )
    },
    Requirement {
        versions: Versions::From("0.4.0"),
        ..expected(
            "S3.CHAIN.11",
            "CHECK must accept the result of a whole chain, with an address of a later plugin on \
             another interface",
            AppliesTo::Interfaces,
            check_with_addresses,
        )
    },
    Requirement {
        versions: Versions::NewestFrom("0.4.0"),
        ..must(
            "S3.CHAIN.9",
            "DEL must accept the result of a whole chain, with interfaces of later plugins",
            WITH_INTERFACES,
            del_with_all,
        )
    },
    Requirement {
        level: Level::Should,
        ..must(
            "S3.CHAIN.10",
            "DEL should succeed after the interface is gone, and after the namespace is gone",
            AppliesTo::Chained,
            del_after_the_interface,
        )
    },
];

const fn must(
    id: &'static str,
    statement: &'static str,
    applies_to: AppliesTo,
    test: fn(&Fixture) -> TestResult,
) -> Requirement {
    requirement::must(id, LISTS, statement, applies_to, test)
}

fn passed_through(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    let mut prev = container.prev.clone().unwrap_or_default();
    set(&mut prev, "dns", json!({ "nameservers": ["192.0.2.53"], "search": ["example.net"] }));
    // It holds for a plugin without an effect, too.
    let result = fixture.call(&container).with(|cni| cni.prev(&prev)).add().succeeds()?;
    let version = result.get("cniVersion").is_some_and(|said| said == fixture.version());
    ensure(version, "ADD", format!("`cniVersion` {:?}", fixture.version()), &result)?;
    for key in ["interfaces", "ips", "routes"] {
        let there = result.get(key).and_then(Value::as_array);
        for entry in prev.get(key).and_then(Value::as_array).into_iter().flatten() {
            let error = there.is_some_and(|there| there.iter().any(|other| is_like(other, entry)));
            ensure(error, "ADD", format!("{entry} of `prevResult` among `{key}`"), &result)?;
        }
    }
    shape::dns(&result)?;
    // A plugin may add servers and domains.
    let said = |result: &Value, path| {
        let entries = result.pointer(path).and_then(Value::as_array);
        entries.cloned().unwrap_or_default()
    };
    let lost = ["/dns/nameservers", "/dns/search"].into_iter().any(|path| {
        let there = said(&result, path);
        said(&prev, path).iter().any(|entry| !there.contains(entry))
    });
    ensure(!lost, "ADD", format!("the `dns` of {prev}"), result)
}

/// Whether an entry of a result corresponds to one of `prevResult`. A plugin may change what is its
/// purpose to change, such as a MAC address.
fn is_like(other: &Value, entry: &Value) -> bool {
    let keys = ["name", "sandbox", "address", "gateway", "interface", "version", "dst"];
    keys.iter().all(|key| other.get(*key) == entry.get(*key))
}

/// A result as of `loopback`, which runtimes call first.
fn of_loopback(fixture: &Fixture, container: &Container) -> Value {
    let mut ip = json!({ "address": "127.0.0.1/8", "interface": 0 });
    if !fixture.is_from("1.0.0") {
        set(&mut ip, "version", "4");
    }
    json!({
        "cniVersion": fixture.version(),
        "interfaces": [{ "name": "lo", "mac": "00:00:00:00:00:00", "sandbox": container.pod.path() }],
        "ips": [ip],
        "dns": {}
    })
}

fn interface_after_another(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    container.pod.sh("ip link set lo up");
    let prev = of_loopback(fixture, &container);
    let call = fixture.call(&container).with(|cni| cni.prev(&prev));
    let result = call.attach()?;
    let version = result.get("cniVersion").is_some_and(|said| said == fixture.version());
    ensure(version, "ADD", format!("`cniVersion` {:?}", fixture.version()), &result)?;
    let inside =
        shape::interfaces(&result)?.into_iter().any(|interface| !interface.sandbox.is_empty());
    ensure(inside, "ADD", "the container's interface among `interfaces`", &result)?;
    call.with(|cni| cni.prev(&result)).del().succeeds().map(drop)
}

fn add_without(fixture: &Fixture) -> TestResult {
    let container = Container { prev: None, ..container(fixture, "one") };
    fixture.call(&container).add().fails().map(drop)
}

fn del_without(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    fixture.call(&container).attach()?;
    let without = Container { prev: None, ..container };
    fixture.call(&without).del().succeeds().map(drop)
}

/// Invalid results, and whether their shape alone makes them invalid; in that case the plugin must
/// fail.
fn malformed(prev: &Value) -> Vec<(Value, bool)> {
    let with = |path: &str, value: Value| {
        let mut prev = prev.clone();
        if let Some(place) = prev.pointer_mut(path) {
            *place = value;
        }
        prev
    };
    vec![
        (json!("a result"), true),
        (json!([prev]), true),
        (json!(7), true),
        (with("/cniVersion", json!("9.9.9")), true),
        (with("/cniVersion", json!(1)), true),
        (with("/interfaces", json!("eth0")), true),
        (with("/interfaces/0", json!("eth0")), true),
        (with("/interfaces/0/name", json!(5)), true),
        (with("/ips", json!({})), true),
        (with("/ips/0/address", json!("10.9.2.500/24")), true),
        (with("/ips/0/gateway", json!("there")), true),
        (with("/ips/0/interface", json!("eth0")), true),
        (with("/routes/0/dst", json!("anywhere")), true),
        (with("/ips/0/interface", json!(77)), false),
        (with("/ips/0/interface", json!(-1)), false),
        (with("/interfaces", json!([])), false),
        (with("/interfaces", json!(null)), false),
        (with("/ips", json!([])), false),
        (with("/interfaces/1/sandbox", json!("/run/netns/another")), false),
        (json!({}), false),
        (json!({ "cniVersion": prev.get("cniVersion") }), false),
    ]
}

/// Values of `prevResult` for which the plugin may succeed or fail.
fn usual(fixture: &Fixture, container: &Container) -> Value {
    container.prev.clone().unwrap_or_else(|| {
        let mut prev = of_loopback(fixture, container);
        set(&mut prev, "routes", json!([{ "dst": "0.0.0.0/0" }]));
        prev
    })
}

fn malformed_is_an_error(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    for (prev, _) in malformed(&usual(fixture, &container)).into_iter().filter(|(_, wrong)| *wrong)
    {
        let outcome = fixture.call(&container).with(|cni| cni.prev(&prev)).add();
        let done = format!("ADD with the prevResult {prev}");
        ensure(!outcome.status.success(), done, "an error", describe(&outcome))?;
        outcome.fails()?;
    }
    Ok(())
}

fn malformed_is_no_crash(fixture: &Fixture) -> TestResult {
    fixture.added("valid")?;
    let container = container(fixture, "one");
    for (prev, _) in malformed(&usual(fixture, &container)) {
        let call = fixture.call(&container).with(|cni| cni.prev(&prev));
        for verb in ["ADD", "CHECK", "DEL"] {
            let outcome = call.verb(verb);
            let proper = match outcome.status.success() {
                true => outcome.succeeds().map(drop),
                false => outcome.fails().map(drop),
            };
            proper.map_err(|_| {
                let done = format!("{verb} with the prevResult {prev}");
                failed(
                    done,
                    "success, or an error as the specification defines it",
                    describe(&outcome),
                )
            })?;
        }
        // The next ADD gets a new container, because this one may have left something.
        fixture.call(&container).del();
    }
    Ok(())
}

fn other_version(fixture: &Fixture) -> TestResult {
    fixture.added("same")?;
    let container = container(fixture, "one");
    for version in ["0.3.1", "0.4.0", "1.0.0", "1.1.0", "0.2.0", ""] {
        let mut prev = container.prev.clone().unwrap_or_default();
        set(&mut prev, "cniVersion", version);
        let call = fixture.call(&container).with(|cni| cni.prev(&prev));
        let outcome = call.add();
        if outcome.status.success() {
            let result = outcome.succeeds()?;
            let same = result.get("cniVersion").is_some_and(|said| said == fixture.version());
            let done = format!("ADD with a prevResult of version {version:?}");
            ensure(same, done, format!("`cniVersion` {:?}", fixture.version()), result)?;
            call.del();
        } else {
            outcome.fails()?;
        }
    }
    Ok(())
}

/// The result of the plugin's ADD with interfaces that later plugins of a chain could have added.
fn of_a_whole_chain(fixture: &Fixture, container: &Container, mut result: Value) -> Value {
    fixture.host.sh("ip link add later type veth peer name later-peer");
    container.pod.sh("ip link add later0 type veth peer name later0-peer");
    let entries = result.get("interfaces").and_then(Value::as_array);
    let mut interfaces = entries.cloned().unwrap_or_default();
    interfaces.push(json!({ "name": "later" }));
    interfaces.push(json!({ "name": "later0", "sandbox": container.pod.path() }));
    set(&mut result, "interfaces", interfaces);
    result
}

/// The same result, with an address on the last of these interfaces.
fn with_an_address(fixture: &Fixture, container: &Container, mut result: Value) -> Value {
    container.pod.sh("ip addr add 192.0.2.77/32 dev later0");
    let count = result.get("interfaces").and_then(Value::as_array).map_or(0, Vec::len);
    let mut ip = json!({ "address": "192.0.2.77/32", "interface": count.saturating_sub(1) });
    if !fixture.is_from("1.0.0") {
        set(&mut ip, "version", "4");
    }
    let mut ips = result.get("ips").and_then(Value::as_array).cloned().unwrap_or_default();
    ips.push(ip);
    set(&mut result, "ips", ips);
    result
}

fn check_with_all(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    let call = fixture.call(&container);
    let result = call.attach()?;
    let result = of_a_whole_chain(fixture, &container, result);
    call.check(&result).succeeds().map(drop)
}

fn check_with_addresses(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    let call = fixture.call(&container);
    let result = call.attach()?;
    let result = of_a_whole_chain(fixture, &container, result);
    call.check(&with_an_address(fixture, &container, result)).succeeds().map(drop)
}

fn del_with_all(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    let call = fixture.call(&container);
    let result = call.attach()?;
    let result = of_a_whole_chain(fixture, &container, result);
    let result = with_an_address(fixture, &container, result);
    call.with(|cni| cni.prev(&result)).del().succeeds().map(drop)
}

fn del_after_the_interface(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    let call = fixture.call(&container);
    call.attach()?;
    container.pod.sh("ip link del eth0");
    call.del().succeeds()?;
    fixture.delete_namespace(&container);
    call.del().succeeds()?;
    call.with(|cni| cni.unset("CNI_NETNS")).del().succeeds().map(drop)
}
