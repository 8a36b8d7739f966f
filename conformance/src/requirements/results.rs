//! Results: their format in each version of the specification.

mod ipam;
mod kernel;
pub(super) mod links;
pub(super) mod shape;

use std::fs;

use serde_json::Value;

use crate::fixture::{Container, Fixture};
use crate::place::Place;
use crate::profile::{Kind, Profile};
use crate::requirement::{self, AppliesTo, Level, Requirement, Versions};
use crate::verdict::{NotPassed, TestResult, ensure, failed};

const SUCCESS: &str = "CNI 1.1.0, section 5, ADD success";
const DELEGATED: &str = "CNI 1.1.0, section 5, delegated plugins (IPAM)";
const OLD_RESULT: &str = "CNI 0.4.0, result";

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    must(
        "S5.VERSION.1",
        "A result must have the `cniVersion` of the configuration",
        AppliesTo::All,
        version,
    ),
    must(
        "S5.INTERFACES.1",
        "`interfaces` must be a list of objects that have a name, and a MAC address and a sandbox \
         if these exist",
        WITH_INTERFACES,
        interfaces,
    ),
    Requirement {
        level: Level::Should,
        ..must(
            "S5.INTERFACES.2",
            "The sandbox of the container's interface should be the path in CNI_NETNS",
            AppliesTo::Interfaces,
            sandbox,
        )
    },
    Requirement {
        level: Level::Should,
        versions: Versions::From("1.0.0"),
        ..must(
            "S5.INTERFACES.3",
            "The sandbox should be the path in CNI_NETNS even if that path is a symbolic link",
            AppliesTo::Interfaces,
            sandbox_by_another_path,
        )
    },
    must(
        "S5.INTERFACES.4",
        "An interface whose sandbox is the namespace must be in it, and one without a sandbox on \
         the host",
        WITH_INTERFACES,
        kernel::where_they_are,
    ),
    Requirement {
        versions: Versions::From("1.0.0"),
        ..must(
            "S5.INTERFACES.5",
            "`interfaces` must contain each link that ADD makes, in the container or on the host",
            WITH_INTERFACES,
            kernel::all_are_listed,
        )
    },
    must(
        "S5.INTERFACES.6",
        "The MAC addresses in a result must be those of the links",
        WITH_INTERFACES,
        kernel::macs,
    ),
    must(
        "S5.IPS.1",
        "Each entry of `ips` must have an address in CIDR notation; its gateway, if any, must be \
         of the same family",
        AppliesTo::All,
        ips,
    ),
    Requirement {
        source: OLD_RESULT,
        ..must(
            "S5.IPS.2",
            "Before version 1.0.0, each entry of `ips` must have the `version` of its address, \
             \"4\" or \"6\"",
            AppliesTo::All,
            family,
        )
    },
    must(
        "S5.IPS.3",
        "The `interface` of an address must be an index into `interfaces`",
        WITH_INTERFACES,
        index,
    ),
    must(
        "S5.IPS.4",
        "An address with an `interface` must be on that link, with the same prefix length",
        AppliesTo::Interfaces,
        kernel::addresses,
    ),
    Requirement {
        level: Level::Should,
        ..must(
            "S5.IPS.5",
            "Each address from the IPAM plugin should refer to the container's interface",
            AppliesTo::Delegating,
            ipam::index,
        )
    },
    Requirement {
        level: Level::Should,
        ..must(
            "S5.IPS.6",
            "The result should contain exactly the addresses and gateways from the IPAM plugin",
            AppliesTo::Delegating,
            ipam::addresses,
        )
    },
    must(
        "S5.ROUTES.1",
        "Each entry of `routes` must have a destination in CIDR notation; before version 1.0.0 its \
         next hop must be of the same family",
        AppliesTo::All,
        routes,
    ),
    Requirement {
        level: Level::Should,
        ..must(
            "S5.ROUTES.2",
            "The result should contain the routes from the IPAM plugin",
            AppliesTo::Delegating,
            ipam::routes,
        )
    },
    Requirement {
        level: Level::Should,
        versions: Versions::From("1.1.0"),
        ..must(
            "S5.ROUTES.3",
            "The result should contain the `mtu`, `advmss`, `priority`, `table` and `scope` of \
             routes",
            AppliesTo::Delegating,
            ipam::route_attributes,
        )
    },
    must(
        "S5.DNS.1",
        "`dns` must have lists of strings `nameservers`, `search`, `options` and a string `domain`",
        AppliesTo::All,
        dns,
    ),
    Requirement {
        level: Level::Should,
        source: OLD_RESULT,
        ..must(
            "S5.DNS.2",
            "The result should contain the `dns` from the IPAM plugin if the configuration has \
             none",
            AppliesTo::Delegating,
            ipam::old_dns,
        )
    },
    Requirement {
        level: Level::Expected,
        versions: Versions::From("1.0.0"),
        ..must(
            "S5.DNS.3",
            "The result must contain the `dns` from the IPAM plugin in version 1.0.0 and later too",
            AppliesTo::Delegating,
            ipam::dns,
        )
    },
    Requirement {
        level: Level::Expected,
        source: "CNI 1.1.0, section 1, well-known keys",
        ..must(
            "S5.DNS.4",
            "The result must contain the `dns` of the configuration if the IPAM plugin returns \
             none",
            AppliesTo::Delegating,
            ipam::configured_dns,
        )
    },
    Requirement {
        versions: Versions::From("1.1.0"),
        ..must(
            "S5.KEYS.1",
            "The keys that version 1.1.0 added must have the types of the specification: number \
             or string",
            AppliesTo::All,
            types_of_new_keys,
        )
    },
    Requirement {
        level: Level::Should,
        ..must(
            "S5.KEYS.2",
            "A result of an older version should not contain keys that version 1.1.0 added",
            AppliesTo::All,
            no_new_keys,
        )
    },
    Requirement {
        versions: Versions::NewestFrom("1.0.0"),
        source: DELEGATED,
        ..must(
            "S5.IPAM.1",
            "The result of an IPAM plugin must have no `interfaces`, and no `interface` in `ips`",
            AppliesTo::Ipam,
            abbreviated,
        )
    },
];

/// Plugins whose results have interfaces.
pub(super) const WITH_INTERFACES: AppliesTo = AppliesTo::Where(
    has_interfaces,
    "create an interface, or are chained after a plugin that does",
);

fn has_interfaces(profile: &Profile) -> bool {
    profile.kind != Kind::Ipam
}

const fn must(
    id: &'static str,
    statement: &'static str,
    applies_to: AppliesTo,
    test: fn(&Fixture) -> TestResult,
) -> Requirement {
    Requirement {
        versions: Versions::Each,
        ..requirement::must(id, SUCCESS, statement, applies_to, test)
    }
}

/// A container in which duplicate address detection is disabled, because it does not matter for
/// these chapters.
pub(super) fn container(fixture: &Fixture, name: &str) -> Container {
    let container = fixture.container(name);
    // Without IPv6 there is nothing to disable.
    let _ = container.pod.enter(|| fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0"));
    container
}

/// Makes such a container and adds it. Returns the container and the result.
fn added(fixture: &Fixture, name: &str) -> Result<(Container, Value), NotPassed> {
    let container = container(fixture, name);
    let result = fixture.call(&container).attach()?;
    Ok((container, result))
}

/// The result of a first ADD.
fn result(fixture: &Fixture) -> Result<Value, NotPassed> {
    let (_, result) = added(fixture, "one")?;
    match result.is_object() {
        true => Ok(result),
        false => Err(failed("ADD", "a result: an object", result)),
    }
}

fn version(fixture: &Fixture) -> TestResult {
    let result = result(fixture)?;
    let version = fixture.version();
    let same = result.get("cniVersion").is_some_and(|said| said == version);
    ensure(same, "ADD", format!("`cniVersion` {version:?}"), result)
}

fn interfaces(fixture: &Fixture) -> TestResult {
    let result = result(fixture)?;
    let interfaces = shape::interfaces(&result)?;
    ensure(!interfaces.is_empty(), "ADD", "at least one interface", &result)?;
    let is_mac = |mac: &str| {
        let bytes: Vec<&str> = mac.split([':', '-']).collect();
        let byte = |byte: &&str| byte.len() == 2 && u8::from_str_radix(byte, 16).is_ok();
        mac.is_empty() || (bytes.len() >= 6 && bytes.iter().all(byte))
    };
    let right = interfaces.iter().all(|interface| is_mac(&interface.mac));
    ensure(right, "ADD", "MAC addresses as two hexadecimal digits for each byte", result)
}

fn sandbox(fixture: &Fixture) -> TestResult {
    let (container, result) = added(fixture, "one")?;
    is_sandbox(&result, &container.pod.path().display().to_string())
}

fn sandbox_by_another_path(fixture: &Fixture) -> TestResult {
    let container = container(fixture, "one");
    let other = "/run/testbed/another-path";
    fixture.host.run(&["ln", "-s", &container.pod.path().display().to_string(), other]);
    let call = fixture.call(&container).with(|cni| cni.env("CNI_NETNS", other));
    is_sandbox(&call.attach()?, other)
}

/// The interfaces in a namespace must have this sandbox, and at least one interface must have it.
/// Others may be in a virtual machine.
fn is_sandbox(result: &Value, path: &str) -> TestResult {
    let mut sandboxes: Vec<String> =
        shape::interfaces(result)?.into_iter().map(|interface| interface.sandbox).collect();
    sandboxes.retain(|sandbox| Place::of(sandbox) == Place::Container);
    let right = !sandboxes.is_empty() && sandboxes.iter().all(|sandbox| sandbox == path);
    ensure(right, "ADD", format!("an interface whose `sandbox` is {path}"), result)
}

fn ips(fixture: &Fixture) -> TestResult {
    let result = result(fixture)?;
    let ips = shape::ips(&result)?;
    let right = ips.iter().all(|ip| ip.gateway.is_none_or(|gateway| ip.address.is_like(gateway)));
    ensure(right, "ADD", "gateways of the family of their address", result)
}

fn family(fixture: &Fixture) -> TestResult {
    if fixture.is_from("1.0.0") {
        return Err(NotPassed::NotApplicable("applies to versions before 1.0.0".to_owned()));
    }
    let result = result(fixture)?;
    let right = shape::ips(&result)?.iter().all(|ip| {
        let family = if ip.address.ip.is_ipv4() { "4" } else { "6" };
        ip.version.as_ref().is_some_and(|version| version == family)
    });
    ensure(right, "ADD", "`version` \"4\" or \"6\" in each of `ips`, as its address is", result)
}

fn index(fixture: &Fixture) -> TestResult {
    let result = result(fixture)?;
    let count = shape::interfaces(&result)?.len();
    let right =
        shape::ips(&result)?.iter().all(|ip| ip.interface.is_none_or(|index| index < count));
    ensure(right, "ADD", format!("`interface` below {count} in each of `ips`"), result)
}

fn routes(fixture: &Fixture) -> TestResult {
    let result = result(fixture)?;
    let routes = shape::routes(&result)?;
    // Later versions do not mention the family, and Linux accepts an IPv6 next hop for IPv4.
    let right = fixture.is_from("1.0.0")
        || routes.iter().all(|route| route.gw.is_none_or(|gw| route.dst.is_like(gw)));
    ensure(right, "ADD", "next hops of the family of their destination", result)
}

fn dns(fixture: &Fixture) -> TestResult {
    shape::dns(&result(fixture)?)
}

fn types_of_new_keys(fixture: &Fixture) -> TestResult {
    let result = result(fixture)?;
    let wrong = shape::new_keys(&result).into_iter().find(|(path, value)| {
        let is_text = path.ends_with("socketPath") || path.ends_with("pciID");
        if is_text { !value.is_string() } else { !value.is_u64() }
    });
    match wrong {
        None => Ok(()),
        Some((path, _)) => Err(failed("ADD", format!("{path} of the correct type"), result)),
    }
}

fn no_new_keys(fixture: &Fixture) -> TestResult {
    if fixture.is_from("1.1.0") {
        return Err(NotPassed::NotApplicable("applies to versions before 1.1.0".to_owned()));
    }
    let result = result(fixture)?;
    match shape::new_keys(&result).first() {
        None => Ok(()),
        Some((path, _)) => Err(failed("ADD", format!("no {path}"), &result)),
    }
}

fn abbreviated(fixture: &Fixture) -> TestResult {
    let result = result(fixture)?;
    let none = result.get("interfaces").is_none_or(Value::is_null)
        && shape::ips(&result)?.iter().all(|ip| ip.interface.is_none());
    ensure(none, "ADD", "no `interfaces`, and no `interface` in `ips`", result)
}
