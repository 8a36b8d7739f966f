//! Results compared with the kernel: the properties of links must be true.

use crate::fixture::{Container, Fixture};
use crate::place::Place;
use crate::verdict::{NotPassed, TestResult, ensure, failed};

use super::links::{Link, links, names};
use super::shape::{self, Interface};
use super::{added, container};

/// The link of an interface in a result. [`None`] if it is in no namespace, as those of a virtual
/// machine.
fn link(
    fixture: &Fixture,
    container: &Container,
    interface: &Interface,
) -> Result<Option<Link>, NotPassed> {
    let (pod, place) = match Place::of(&interface.sandbox) {
        Place::Host => (&*fixture.host, "on the host"),
        Place::Container => (&container.pod, "in the container"),
        Place::Elsewhere => return Ok(None),
    };
    let found = links(pod);
    let names: Vec<&str> = found.iter().map(|link| link.name.as_str()).collect();
    let link = found.iter().find(|link| link.name == interface.name).cloned();
    link.map(Some).ok_or_else(|| {
        failed("ADD", format!("a link {} {place}", interface.name), format!("{names:?}"))
    })
}

pub(super) fn where_they_are(fixture: &Fixture) -> TestResult {
    let (container, result) = added(fixture, "one")?;
    let interfaces = shape::interfaces(&result)?;
    interfaces.iter().try_for_each(|interface| link(fixture, &container, interface).map(drop))
}

/// The first ADD makes the shared objects. Only the links of the second ADD are certainly its own.
pub(super) fn all_are_listed(fixture: &Fixture) -> TestResult {
    added(fixture, "one")?;
    let container = container(fixture, "two");
    let before = (names(&fixture.host), names(&container.pod));
    let result = fixture.call(&container).attach()?;
    let after = (names(&fixture.host), names(&container.pod));
    let interfaces = shape::interfaces(&result)?;
    let unlisted = |before: &[String], after: &[String], place: Place| {
        let listed = |name: &String| {
            let is_it =
                |known: &Interface| known.name == *name && Place::of(&known.sandbox) == place;
            interfaces.iter().any(is_it)
        };
        let mut new = after.iter().filter(|name| !before.contains(name));
        new.find(|name| !listed(name)).cloned()
    };
    let missing = unlisted(&before.0, &after.0, Place::Host)
        .map(|name| format!("the host's link {name}"))
        .or_else(|| {
            unlisted(&before.1, &after.1, Place::Container).map(|name| format!("the link {name}"))
        });
    match missing {
        None => Ok(()),
        Some(link) => Err(failed("ADD", format!("{link} among `interfaces`"), result)),
    }
}

pub(super) fn macs(fixture: &Fixture) -> TestResult {
    let (container, result) = added(fixture, "one")?;
    for interface in shape::interfaces(&result)? {
        let Some(link) = link(fixture, &container, &interface)? else { continue };
        let plain = |mac: &str| mac.to_lowercase().replace('-', ":");
        // Where hardware addresses have no meaning, the result need not have one.
        let right = interface.mac.is_empty() || plain(&interface.mac) == plain(&link.mac);
        ensure(right, "ADD", format!("the MAC address {} on {}", link.mac, link.name), &result)?;
    }
    Ok(())
}

pub(super) fn addresses(fixture: &Fixture) -> TestResult {
    let (container, result) = added(fixture, "one")?;
    let interfaces = shape::interfaces(&result)?;
    for ip in shape::ips(&result)? {
        let Some(interface) = ip.interface.and_then(|index| interfaces.get(index)) else {
            continue;
        };
        let Some(link) = link(fixture, &container, interface)? else { continue };
        let (address, name) = (ip.address, &link.name);
        let there: Vec<String> = link.addresses.iter().map(ToString::to_string).collect();
        let seen = format!("{name} has {}; the result: {result}", there.join(", "));
        ensure(link.addresses.contains(&address), "ADD", format!("{address} on {name}"), seen)?;
    }
    Ok(())
}
