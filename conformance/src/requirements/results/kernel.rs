//! Results against the kernel: what is told of links is so.

use crate::bench::{Bench, Container};
use crate::requirement::{Judge, Stop, Verdict, ensure, failed};

use super::links::{Link, links, names};
use super::shape::{self, Interface};
use super::{added, container};

/// The link that an interface of a result is.
fn link(bench: &Bench, container: &Container, interface: &Interface) -> Result<Link, Stop> {
    let (pod, place) = match interface.sandbox.is_empty() {
        true => (&*bench.host, "on the host"),
        false => (&container.pod, "in the container"),
    };
    let found = links(pod);
    let names: Vec<&str> = found.iter().map(|link| link.name.as_str()).collect();
    let link = found.iter().find(|link| link.name == interface.name).cloned();
    link.ok_or_else(|| {
        failed("ADD", format!("a link {} {place}", interface.name), format!("{names:?}"))
    })
}

pub(super) fn where_they_are(bench: &Bench) -> Verdict {
    let (container, result) = added(bench, "one")?;
    let interfaces = shape::interfaces(&result)?;
    interfaces.iter().try_for_each(|interface| link(bench, &container, interface).map(drop))
}

/// What several attachments share is made by the first ADD: only the second one's links are surely its own.
pub(super) fn all_are_listed(bench: &Bench) -> Verdict {
    added(bench, "one")?;
    let container = container(bench, "two");
    let before = (names(&bench.host), names(&container.pod));
    let result = bench.call(&container).add();
    let result = result.succeeds()?;
    let after = (names(&bench.host), names(&container.pod));
    let interfaces = shape::interfaces(&result)?;
    let unlisted = |before: &[String], after: &[String], host: bool| {
        let listed = |name: &String| {
            interfaces.iter().any(|known| known.name == *name && known.sandbox.is_empty() == host)
        };
        let mut new = after.iter().filter(|name| !before.contains(name));
        new.find(|name| !listed(name)).cloned()
    };
    let missing = unlisted(&before.0, &after.0, true)
        .map(|name| format!("the host's link {name}"))
        .or_else(|| unlisted(&before.1, &after.1, false).map(|name| format!("the link {name}")));
    match missing {
        None => Ok(()),
        Some(link) => Err(failed("ADD", format!("{link} among `interfaces`"), result)),
    }
}

pub(super) fn macs(bench: &Bench) -> Verdict {
    let (container, result) = added(bench, "one")?;
    for interface in shape::interfaces(&result)? {
        let link = link(bench, &container, &interface)?;
        let plain = |mac: &str| mac.to_lowercase().replace('-', ":");
        // Where hardware addresses say nothing, there need not be one.
        let right = interface.mac.is_empty() || plain(&interface.mac) == plain(&link.mac);
        ensure(right, "ADD", format!("{} as the MAC of {}", link.mac, link.name), &result)?;
    }
    Ok(())
}

pub(super) fn addresses(bench: &Bench) -> Verdict {
    let (container, result) = added(bench, "one")?;
    let interfaces = shape::interfaces(&result)?;
    for ip in shape::ips(&result)? {
        let Some(interface) = ip.interface.and_then(|index| interfaces.get(index)) else {
            continue;
        };
        let link = link(bench, &container, interface)?;
        let (address, name) = (ip.address, &link.name);
        let there: Vec<String> = link.addresses.iter().map(ToString::to_string).collect();
        let seen = format!("{name} has {}; the result: {result}", there.join(", "));
        ensure(link.addresses.contains(&address), "ADD", format!("{address} on {name}"), seen)?;
    }
    Ok(())
}
