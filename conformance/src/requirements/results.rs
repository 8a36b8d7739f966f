//! Results: their shape in each version of the specification.

mod ipam;
mod kernel;
pub(super) mod links;
pub(super) mod shape;

use std::fs;

use serde_json::Value;

use crate::bench::{Bench, Container};
use crate::profile::{Kind, Profile};
use crate::requirement::{
    self, Judge, Level, Of, Requirement, Stop, Verdict, Versions, ensure, failed,
};

const SUCCESS: &str = "CNI 1.1.0, section 5, ADD success";
const DELEGATED: &str = "CNI 1.1.0, section 5, delegated plugins (IPAM)";
const OLD_RESULT: &str = "CNI 0.4.0, result";

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    must("S5.VERSION.1", "a result has the `cniVersion` of the configuration", Of::All, version),
    must(
        "S5.INTERFACES.1",
        "`interfaces` is a list of objects with a name, and a MAC and a sandbox where they have them",
        WITH_INTERFACES,
        interfaces,
    ),
    must(
        "S5.INTERFACES.2",
        "the sandbox of the container's interface is the path that the plugin was called with",
        Of::Interfaces,
        sandbox,
    ),
    Requirement {
        level: Level::Should,
        versions: Versions::From("1.0.0"),
        ..must(
            "S5.INTERFACES.3",
            "a sandbox is told as it was given, also if the path is a symbolic link",
            Of::Interfaces,
            sandbox_by_another_path,
        )
    },
    must(
        "S5.INTERFACES.4",
        "an interface with a sandbox is in the container, and one without is on the host",
        WITH_INTERFACES,
        kernel::where_they_are,
    ),
    must(
        "S5.INTERFACES.5",
        "each link that ADD makes, in the container or on the host, is among `interfaces`",
        WITH_INTERFACES,
        kernel::all_are_listed,
    ),
    must(
        "S5.INTERFACES.6",
        "the MAC addresses in a result are those of the links",
        WITH_INTERFACES,
        kernel::macs,
    ),
    must(
        "S5.IPS.1",
        "each of `ips` has an address in CIDR notation, and a gateway, if any, of the same family",
        Of::All,
        ips,
    ),
    Requirement {
        source: OLD_RESULT,
        ..must(
            "S5.IPS.2",
            "below version 1.0.0 each of `ips` has a `version`, \"4\" or \"6\", that is its address's",
            Of::All,
            family,
        )
    },
    must(
        "S5.IPS.3",
        "`interface` of an address is an index into `interfaces`",
        WITH_INTERFACES,
        index,
    ),
    must(
        "S5.IPS.4",
        "an address with an `interface` is on that link, with that prefix",
        Of::Interfaces,
        kernel::addresses,
    ),
    Requirement {
        level: Level::Should,
        ..must(
            "S5.IPS.5",
            "each address of the address management plugin points at the container's interface",
            Of::Delegating,
            ipam::index,
        )
    },
    must(
        "S5.IPS.6",
        "the addresses and gateways of the address management plugin are in the result, and no others",
        Of::Delegating,
        ipam::addresses,
    ),
    must(
        "S5.ROUTES.1",
        "each of `routes` has a destination in CIDR notation, and a next hop, if any, of the same family",
        Of::All,
        routes,
    ),
    must(
        "S5.ROUTES.2",
        "the routes of the address management plugin are in the result",
        Of::Delegating,
        ipam::routes,
    ),
    Requirement {
        versions: Versions::From("1.1.0"),
        ..must(
            "S5.ROUTES.3",
            "`mtu`, `advmss`, `priority`, `table` and `scope` of routes reach the result",
            Of::Delegating,
            ipam::route_attributes,
        )
    },
    must(
        "S5.DNS.1",
        "`dns` has lists of strings `nameservers`, `search`, `options` and a string `domain`",
        Of::All,
        dns,
    ),
    Requirement {
        level: Level::Should,
        source: OLD_RESULT,
        ..must(
            "S5.DNS.2",
            "the `dns` of the address management plugin is in the result, if the configuration has none",
            Of::Delegating,
            ipam::old_dns,
        )
    },
    Requirement {
        level: Level::Expected,
        versions: Versions::From("1.0.0"),
        ..must(
            "S5.DNS.3",
            "the `dns` of the address management plugin is in the result from 1.0.0 on too",
            Of::Delegating,
            ipam::dns,
        )
    },
    Requirement {
        level: Level::Expected,
        source: "CNI 1.1.0, section 1, well-known keys",
        ..must(
            "S5.DNS.4",
            "the `dns` of the configuration is in the result, if the address management plugin says none",
            Of::Delegating,
            ipam::configured_dns,
        )
    },
    Requirement {
        versions: Versions::From("1.1.0"),
        ..must(
            "S5.KEYS.1",
            "the keys of version 1.1.0 are numbers where they are numbers, and strings where they are strings",
            Of::All,
            types_of_new_keys,
        )
    },
    Requirement {
        level: Level::Should,
        ..must(
            "S5.KEYS.2",
            "what came with version 1.1.0 is not in the results of older versions",
            Of::All,
            no_new_keys,
        )
    },
    Requirement {
        source: DELEGATED,
        ..must(
            "S5.IPAM.1",
            "the result of an address management plugin has no `interfaces`, and no `interface` in `ips`",
            Of::Ipam,
            abbreviated,
        )
    },
];

/// Plugins whose results speak of interfaces.
pub(super) const WITH_INTERFACES: Of =
    Of::That(speaks_of_interfaces, "make an interface or come after one");

fn speaks_of_interfaces(profile: &Profile) -> bool {
    profile.kind != Kind::Ipam
}

const fn must(
    id: &'static str,
    says: &'static str,
    of: Of,
    test: fn(&Bench) -> Verdict,
) -> Requirement {
    Requirement { versions: Versions::Each, ..requirement::must(id, SUCCESS, says, of, test) }
}

/// A container in which nobody has to wait for duplicate address detection, which is no matter of these chapters.
pub(super) fn container(bench: &Bench, name: &str) -> Container {
    let container = bench.container(name);
    // Without IPv6 there is nothing to wait for.
    let _ = container.pod.enter(|| fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0"));
    container
}

/// Such a container that was added, and the result.
fn added(bench: &Bench, name: &str) -> Result<(Container, Value), Stop> {
    let container = container(bench, name);
    let result = bench.call(&container).add().succeeds()?;
    Ok((container, result))
}

/// The result of a first ADD.
fn result(bench: &Bench) -> Result<Value, Stop> {
    let (_, result) = added(bench, "one")?;
    match result.is_object() {
        true => Ok(result),
        false => Err(failed("ADD", "a result: an object", result)),
    }
}

fn version(bench: &Bench) -> Verdict {
    let result = result(bench)?;
    let version = bench.version();
    let same = result.get("cniVersion").is_some_and(|said| said == version);
    ensure(same, "ADD", format!("`cniVersion` {version:?}"), result)
}

fn interfaces(bench: &Bench) -> Verdict {
    let result = result(bench)?;
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

fn sandbox(bench: &Bench) -> Verdict {
    let (container, result) = added(bench, "one")?;
    is_sandbox(&result, &container.pod.path().display().to_string())
}

fn sandbox_by_another_path(bench: &Bench) -> Verdict {
    let container = container(bench, "one");
    let other = "/run/testbed/another-path";
    bench.host.run(&["ln", "-s", &container.pod.path().display().to_string(), other]);
    let call = bench.call(&container).with(|cni| cni.env("CNI_NETNS", other));
    is_sandbox(&call.add().succeeds()?, other)
}

/// All interfaces in a sandbox are in this one, and there is such an interface.
fn is_sandbox(result: &Value, path: &str) -> Verdict {
    let mut sandboxes: Vec<String> =
        shape::interfaces(result)?.into_iter().map(|interface| interface.sandbox).collect();
    sandboxes.retain(|sandbox| !sandbox.is_empty());
    let right = !sandboxes.is_empty() && sandboxes.iter().all(|sandbox| sandbox == path);
    ensure(right, "ADD", format!("an interface whose `sandbox` is {path}"), result)
}

fn ips(bench: &Bench) -> Verdict {
    let result = result(bench)?;
    let ips = shape::ips(&result)?;
    let right = ips.iter().all(|ip| ip.gateway.is_none_or(|gateway| ip.address.is_like(gateway)));
    ensure(right, "ADD", "gateways of the family of their address", result)
}

fn family(bench: &Bench) -> Verdict {
    if bench.is_from("1.0.0") {
        return Err(Stop::Absent("is about versions before 1.0.0".to_owned()));
    }
    let result = result(bench)?;
    let right = shape::ips(&result)?.iter().all(|ip| {
        let family = if ip.address.ip.is_ipv4() { "4" } else { "6" };
        ip.version.as_ref().is_some_and(|version| version == family)
    });
    ensure(right, "ADD", "`version` \"4\" or \"6\" in each of `ips`, as its address is", result)
}

fn index(bench: &Bench) -> Verdict {
    let result = result(bench)?;
    let count = shape::interfaces(&result)?.len();
    let right =
        shape::ips(&result)?.iter().all(|ip| ip.interface.is_none_or(|index| index < count));
    ensure(right, "ADD", format!("`interface` below {count} in each of `ips`"), result)
}

fn routes(bench: &Bench) -> Verdict {
    let result = result(bench)?;
    let routes = shape::routes(&result)?;
    let right = routes.iter().all(|route| route.gw.is_none_or(|gw| route.dst.is_like(gw)));
    ensure(right, "ADD", "next hops of the family of their destination", result)
}

fn dns(bench: &Bench) -> Verdict {
    shape::dns(&result(bench)?)
}

fn types_of_new_keys(bench: &Bench) -> Verdict {
    let result = result(bench)?;
    let wrong = shape::new_keys(&result).into_iter().find(|(path, value)| {
        let is_text = path.ends_with("socketPath") || path.ends_with("pciID");
        if is_text { !value.is_string() } else { !value.is_u64() }
    });
    match wrong {
        None => Ok(()),
        Some((path, _)) => Err(failed("ADD", format!("{path} of the right type"), result)),
    }
}

fn no_new_keys(bench: &Bench) -> Verdict {
    if bench.is_from("1.1.0") {
        return Err(Stop::Absent("is about versions before 1.1.0".to_owned()));
    }
    let result = result(bench)?;
    match shape::new_keys(&result).first() {
        None => Ok(()),
        Some((path, _)) => Err(failed("ADD", format!("no {path}"), &result)),
    }
}

fn abbreviated(bench: &Bench) -> Verdict {
    let result = result(bench)?;
    let none = result.get("interfaces").is_none_or(Value::is_null)
        && shape::ips(&result)?.iter().all(|ip| ip.interface.is_none());
    ensure(none, "ADD", "neither `interfaces` nor an `interface` in `ips`", result)
}
