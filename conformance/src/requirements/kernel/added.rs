//! After ADD: exactly the content of the result exists.

use std::collections::BTreeMap;
use std::net::UdpSocket;

use serde_json::{Value, json};
use testbed::Pod;

use super::super::steps::{makes_interface, only_from};
use super::same;
use crate::fixture::{Container, Fixture};
use crate::ipam;
use crate::isolation::broken;
use crate::json::{number, set, text};
use crate::kernel_support;
use crate::linux::{self, Cidr, ParsedResult, Route, added_without_dad, without_dad};
use crate::place::Place;
use crate::profile::{Profile, Variant};
use crate::verdict::{NotPassed, OutcomeExt, TestResult, ensure, failed};

/// A container that was added, with the content of its result.
fn added(fixture: &Fixture) -> Result<(Container, ParsedResult), NotPassed> {
    let (container, result) = added_without_dad(fixture, "c1")?;
    Ok((container, ParsedResult::of(&result)?))
}

pub(super) fn interfaces(fixture: &Fixture) -> TestResult {
    let (container, said) = added(fixture)?;
    ensure(!said.interfaces.is_empty(), "ADD", "interfaces in the result", "none")?;
    interfaces_exist(fixture, &container.pod, &said)
}

pub(super) fn macs(fixture: &Fixture) -> TestResult {
    let (container, said) = added(fixture)?;
    links_are_as_said(fixture, &container.pod, &said)
}

pub(super) fn addresses(fixture: &Fixture) -> TestResult {
    let (container, said) = added(fixture)?;
    addresses_exist(&container.pod, &said)
}

pub(super) fn usable(fixture: &Fixture) -> TestResult {
    let (container, result) = fixture.added("c1")?;
    addresses_are_usable(&container.pod, &ParsedResult::of(&result)?)
}

pub(super) fn routes(fixture: &Fixture) -> TestResult {
    let (container, said) = added(fixture)?;
    if said.routes.is_empty() {
        return Err(NotPassed::NotApplicable("the result has no routes".to_owned()));
    }
    routes_exist(&container.pod, &said)
}

/// Checks the whole content of a result.
pub(super) fn as_said(fixture: &Fixture, pod: &Pod, result: &Value) -> TestResult {
    let said = ParsedResult::of(result)?;
    interfaces_exist(fixture, pod, &said)?;
    links_are_as_said(fixture, pod, &said)?;
    addresses_exist(pod, &said)?;
    addresses_are_usable(pod, &said)?;
    routes_exist(pod, &said)
}

/// The links in both namespaces: `(in the container, on the host)`.
fn both(fixture: &Fixture, pod: &Pod) -> (Vec<linux::Link>, Vec<linux::Link>) {
    (linux::links(pod), linux::links(&fixture.host))
}

fn interfaces_exist(fixture: &Fixture, pod: &Pod, said: &ParsedResult) -> TestResult {
    let (inside, outside) = both(fixture, pod);
    // A key of bridge, the only configuration that requests links that are down.
    let asked_down = fixture.profile.config.get("disableContainerInterface") == Some(&json!(true));
    for interface in &said.interfaces {
        let (links, place) = match interface.place {
            Place::Container => (&inside, "in the container"),
            Place::Host => (&outside, "on the host"),
            Place::Elsewhere => continue,
        };
        let name = &interface.name;
        let link = links.iter().find(|link| link.name == *name);
        let expected = format!("{name} {place}, up, as in the result");
        let link =
            link.ok_or_else(|| failed("ADD", &expected, format!("there are {}", names(links))))?;
        ensure(link.is_up || asked_down, "ADD", expected, format!("{name} is down"))?;
    }
    Ok(())
}

pub(super) fn links_are_as_said(fixture: &Fixture, pod: &Pod, said: &ParsedResult) -> TestResult {
    let (inside, outside) = both(fixture, pod);
    for interface in &said.interfaces {
        let links = match interface.place {
            Place::Container => &inside,
            Place::Host => &outside,
            Place::Elsewhere => continue,
        };
        let Some(link) = links.iter().find(|link| link.name == interface.name) else { continue };
        if let Some(mac) = &interface.mac {
            let expected = format!("{} with the MAC address {mac} of the result", link.name);
            ensure(link.mac == *mac, "ADD", expected, &link.mac)?;
        }
        if let Some(mtu) = interface.mtu {
            let expected = format!("{} with the MTU {mtu} of the result", link.name);
            ensure(link.mtu == mtu, "ADD", expected, link.mtu)?;
        }
    }
    Ok(())
}

pub(super) fn addresses_exist(pod: &Pod, said: &ParsedResult) -> TestResult {
    let there = linux::addresses(pod);
    for ip in &said.ips {
        let address = ip.address;
        let name = match said.interface_of(ip) {
            Some(interface) if interface.place == Place::Elsewhere => continue,
            Some(interface) => interface.name.clone(),
            // The result does not say where it is.
            None if ip.interface.is_none() => continue,
            None => {
                return Err(failed(
                    "ADD",
                    "an index of an interface of the result",
                    format!("{ip:?}"),
                ));
            }
        };
        let holds = there.iter().any(|(dev, cidr)| *dev == name && *cidr == address);
        let all: Vec<String> = there.iter().map(|(dev, cidr)| format!("{cidr} on {dev}")).collect();
        ensure(holds, "ADD", format!("{address} on {name} in the container"), all.join(", "))?;
    }
    Ok(())
}

/// A server can bind to each address. The kernel refuses that while an address may still be a
/// duplicate.
fn addresses_are_usable(pod: &Pod, said: &ParsedResult) -> TestResult {
    for ip in &said.ips {
        let bound = pod.enter(|| UdpSocket::bind((ip.address.ip, 0)));
        let shown = || pod.run(&["ip", "-o", "addr", "show", "to", &ip.address.ip.to_string()]);
        if let Err(error) = bound {
            let expected = format!("a program can bind to {} right after", ip.address.ip);
            return Err(failed("ADD", expected, format!("{error}; {}", shown())));
        }
    }
    Ok(())
}

pub(super) fn routes_exist(pod: &Pod, said: &ParsedResult) -> TestResult {
    let there = linux::routes(pod);
    for route in &said.routes {
        let Some(dst) = Cidr::parse(&text(route, "dst")) else {
            return Err(failed("ADD", "routes with a destination", route));
        };
        let via = text(route, "gw").parse().ok();
        let found = there.iter().any(|known| {
            let is = |key: &str, value: u64| number(route, key).is_none_or(|said| said == value);
            known.dst == dst.network()
                && via.is_none_or(|via| known.via.contains(&via))
                && is("priority", known.metric)
                && is("table", known.table)
        });
        ensure(found, "ADD", format!("the route {route} in the container"), shown(&there))?;
    }
    Ok(())
}

fn shown(routes: &[Route]) -> String {
    let route = |route: &Route| {
        let Route { dst, via, table, metric, scope, mtu, advmss } = route;
        let mut text = format!("{dst}");
        via.iter().for_each(|via| text += &format!(" via {via}"));
        text += &format!(" table {table} metric {metric} scope {scope}");
        mtu.iter().for_each(|mtu| text += &format!(" mtu {mtu}"));
        advmss.iter().for_each(|advmss| text += &format!(" advmss {advmss}"));
        text
    };
    routes.iter().map(route).collect::<Vec<_>>().join("; ")
}

/// ADD with an IPAM plugin that returns one more route with these keys. Returns the route and all
/// routes.
fn with_route(
    fixture: &Fixture,
    keys: &[(&str, u64)],
) -> Result<(Option<Route>, String), NotPassed> {
    const DST: &str = "198.51.100.0/24";
    let mut route = json!({ "dst": DST, "gw": "10.1.2.1" });
    keys.iter().for_each(|(key, value)| set(&mut route, key, *value));
    let mut answer = json!({
        "cniVersion": fixture.version(),
        "ips": [{ "address": "10.1.2.9/24", "gateway": "10.1.2.1" }],
        "routes": [route]
    });
    if !fixture.is_from("1.0.0") {
        let ip = answer.pointer_mut("/ips/0");
        ip.into_iter().for_each(|ip| set(ip, "version", "4"));
    }
    ipam::answer("ADD", answer, 0).unwrap_or_else(|error| broken(&error));
    let container = without_dad(fixture, "c1");
    let with_ipam = json!({ "type": ipam::NAME });
    fixture.call(&container).with(|cni| cni.key("ipam", with_ipam)).attach()?;
    let there = linux::routes(&container.pod);
    let dst = Cidr::parse(DST);
    Ok((there.iter().find(|route| Some(route.dst) == dst).cloned(), shown(&there)))
}

pub(super) fn places(fixture: &Fixture) -> TestResult {
    // Version 1.1.0 added these keys; older plugins see only destination and gateway.
    only_from(fixture, "1.1.0")?;
    let (route, all) = with_route(fixture, &[("priority", 77), ("table", 88), ("scope", 0)])?;
    let holds = route.is_some_and(|r| r.metric == 77 && r.table == 88 && r.scope == 0);
    ensure(holds, "ADD", "198.51.100.0/24 via 10.1.2.1 table 88 metric 77 scope 0", all)
}

pub(super) fn metrics(fixture: &Fixture) -> TestResult {
    let (route, all) = with_route(fixture, &[("mtu", 1400), ("advmss", 1300)])?;
    let holds = route.is_some_and(|r| r.mtu == Some(1400) && r.advmss == Some(1300));
    ensure(holds, "ADD", "198.51.100.0/24 via 10.1.2.1 mtu 1400 advmss 1300", all)
}

pub(super) fn no_other_link(fixture: &Fixture) -> TestResult {
    let container = without_dad(fixture, "c1");
    let before = linux::links(&container.pod);
    let said = ParsedResult::of(&fixture.call(&container).attach()?)?;
    let mut new = linux::links(&container.pod);
    new.retain(|link| !before.iter().any(|old| old.name == link.name));
    new.retain(|link| {
        !said.interfaces.iter().any(|i| i.place == Place::Container && i.name == link.name)
    });
    ensure(new.is_empty(), "ADD", "each new link of the container in the result", names(&new))
}

pub(super) fn no_other_address(fixture: &Fixture) -> TestResult {
    let container = without_dad(fixture, "c1");
    let before = linux::addresses(&container.pod);
    let said = ParsedResult::of(&fixture.call(&container).attach()?)?;
    let mut new = linux::addresses(&container.pod);
    // The kernel adds addresses to `lo` when it is set up.
    new.retain(|(_, cidr)| !cidr.ip.is_loopback());
    new.retain(|found| !before.contains(found));
    new.retain(|(_, cidr)| !said.ips.iter().any(|ip| ip.address == *cidr));
    let seen: Vec<String> = new.iter().map(|(dev, cidr)| format!("{cidr} on {dev}")).collect();
    ensure(
        new.is_empty(),
        "ADD",
        "each new address of the container in the result",
        seen.join(", "),
    )
}

pub(super) fn no_other_on_the_host(fixture: &Fixture) -> TestResult {
    let container = without_dad(fixture, "c1");
    let before = linux::links(&fixture.host);
    let said = ParsedResult::of(&fixture.call(&container).attach()?)?;
    let mut new = linux::links(&fixture.host);
    new.retain(|link| !before.iter().any(|old| old.name == link.name));
    new.retain(|link| {
        !said.interfaces.iter().any(|i| i.place == Place::Host && i.name == link.name)
    });
    // What stays belongs to the network, not to the attachment.
    fixture.call(&container).del().succeeds()?;
    let left = linux::links(&fixture.host);
    new.retain(|link| !left.iter().any(|other| other.name == link.name));
    ensure(new.is_empty(), "ADD", "each new link of the host in the result", names(&new))
}

pub(super) fn lo_stays(fixture: &Fixture) -> TestResult {
    let container = without_dad(fixture, "c1");
    let lo = || container.pod.run(&["ip", "-o", "addr", "show", "lo"]) + &link_of(&container.pod);
    container.pod.sh("ip link set lo up");
    let before = lo();
    makes_interface(&fixture.call(&container).attach()?)?;
    let after = lo();
    ensure(before == after, "ADD", format!("lo as before: {before}"), after)
}

/// `lo` as a link.
fn link_of(pod: &Pod) -> String {
    linux::link(pod, "lo").map_or_else(String::new, |link| format!("{link:?}"))
}

pub(super) fn variants(fixture: &Fixture) -> TestResult {
    each_variant(fixture, |fixture, variant| {
        let container = without_dad(fixture, "c1");
        if variant.refused {
            let before = fixture.host.state();
            fixture.call(&container).add().fails()?;
            return same(fixture, "ADD that is refused", "c1", &before, &fixture.host.state());
        }
        let result = match fixture.call(&container).attach() {
            Err(NotPassed::Failed(_)) if variant.optional => {
                let why = "the plugin does not know the configuration, which only newer ones do";
                return Err(NotPassed::NotApplicable(why.to_owned()));
            }
            other => other?,
        };
        as_said(fixture, &container.pod, &result)?;
        let Some(mtu) = number(&fixture.profile.config, "mtu") else { return Ok(()) };
        let link = linux::link(&container.pod, "eth0");
        let has = link.map_or(0, |link| link.mtu);
        ensure(has == mtu, "ADD", format!("eth0 with the configured MTU {mtu}"), has)
    })
}

/// Runs a test with each configuration of the profile that the kernel supports, each on a host of
/// its own. The first failure is the result; the others are notes.
pub(super) fn each_variant(
    fixture: &Fixture,
    test: fn(&Fixture, &Variant) -> TestResult,
) -> TestResult {
    let needs: Vec<String> =
        fixture.profile.variants.iter().flat_map(|v| v.needs.clone()).collect();
    let missing = match needs.is_empty() {
        true => BTreeMap::new(),
        false => kernel_support::missing(needs).unwrap_or_else(|error| broken(&error)),
    };
    let mut verdict = Ok(());
    let mut not_tested = None;
    let mut tested = 0;
    for variant in &fixture.profile.variants {
        let name = &variant.name;
        if let Some(why) = variant.needs.iter().find_map(|kind| missing.get(kind)) {
            fixture.record_untested(name, why);
            continue;
        }
        let mut setup = fixture.profile.setup.clone();
        setup.extend(variant.setup.iter().cloned());
        let config = fixture.profile.config_of(Some(variant));
        let mut profile = Profile { config, setup, ..fixture.profile.clone() };
        profile.container_setup.extend(variant.container_setup.iter().cloned());
        match fixture.on_another_host(profile, |fixture| test(fixture, variant)) {
            Err(NotPassed::Failed(finding)) if verdict.is_ok() => {
                let done = format!("{} with the configuration \"{name}\"", finding.done);
                verdict = Err(failed(done, finding.expected, finding.seen));
            }
            Err(NotPassed::Failed(finding)) => {
                fixture.note(format!("\"{name}\" fails too: {}: {}", finding.done, finding.seen));
            }
            Ok(()) => tested += 1,
            Err(NotPassed::NotApplicable(why)) if variant.optional => {
                fixture.record_untested(name, &why);
            }
            Err(other) => not_tested = Some(other),
        }
    }
    match not_tested {
        Some(why) if verdict.is_ok() && tested == 0 => Err(why),
        _ => verdict,
    }
}

fn names(links: &[linux::Link]) -> String {
    links.iter().map(|link| link.name.as_str()).collect::<Vec<_>>().join(", ")
}
