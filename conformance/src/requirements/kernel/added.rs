//! After ADD: what the result says exists, and nothing else.

use std::collections::BTreeMap;
use std::net::UdpSocket;

use serde_json::{Value, json};
use testbed::Pod;

use super::same;
use crate::bench::{Bench, Container, broken, set};
use crate::ipam;
use crate::linux::{self, Cidr, Route, Said, hurried, hurried_added, number, text};
use crate::profile::{Profile, Variant};
use crate::requirement::{Judge, Stop, Verdict, ensure, failed};
use crate::runner;

/// A container that was added, and what the result says.
fn added(bench: &Bench) -> Result<(Container, Said), Stop> {
    let (container, result) = hurried_added(bench, "c1")?;
    Ok((container, Said::of(&result)?))
}

pub(super) fn interfaces(bench: &Bench) -> Verdict {
    let (container, said) = added(bench)?;
    ensure(!said.interfaces.is_empty(), "ADD", "interfaces in the result", "none")?;
    interfaces_exist(bench, &container.pod, &said)
}

pub(super) fn macs(bench: &Bench) -> Verdict {
    let (container, said) = added(bench)?;
    links_are_as_said(bench, &container.pod, &said)
}

pub(super) fn addresses(bench: &Bench) -> Verdict {
    let (container, said) = added(bench)?;
    addresses_exist(&container.pod, &said)
}

pub(super) fn usable(bench: &Bench) -> Verdict {
    let (container, result) = bench.added("c1")?;
    addresses_are_usable(&container.pod, &Said::of(&result)?)
}

pub(super) fn routes(bench: &Bench) -> Verdict {
    let (container, said) = added(bench)?;
    if said.routes.is_empty() {
        return Err(Stop::Absent("the result has no routes".to_owned()));
    }
    routes_exist(&container.pod, &said)
}

/// All that a result says, at once.
pub(super) fn as_said(bench: &Bench, pod: &Pod, result: &Value) -> Verdict {
    let said = Said::of(result)?;
    interfaces_exist(bench, pod, &said)?;
    links_are_as_said(bench, pod, &said)?;
    addresses_exist(pod, &said)?;
    addresses_are_usable(pod, &said)?;
    routes_exist(pod, &said)
}

/// The links of both sides: `(in the container, on the host)`.
fn both(bench: &Bench, pod: &Pod) -> (Vec<linux::Link>, Vec<linux::Link>) {
    (linux::links(pod), linux::links(&bench.host))
}

fn interfaces_exist(bench: &Bench, pod: &Pod, said: &Said) -> Verdict {
    let (inside, outside) = both(bench, pod);
    // A key of bridge, the one configuration that asks for links that are down.
    let asked_down = bench.profile.config.get("disableContainerInterface") == Some(&json!(true));
    for interface in &said.interfaces {
        let (links, place) = if interface.is_inside {
            (&inside, "in the container")
        } else {
            (&outside, "on the host")
        };
        let name = &interface.name;
        let link = links.iter().find(|link| link.name == *name);
        let expected = format!("{name} {place}, up, as the result says");
        let link =
            link.ok_or_else(|| failed("ADD", &expected, format!("there are {}", names(links))))?;
        ensure(link.is_up || asked_down, "ADD", expected, format!("{name} is down"))?;
    }
    Ok(())
}

fn links_are_as_said(bench: &Bench, pod: &Pod, said: &Said) -> Verdict {
    let (inside, outside) = both(bench, pod);
    for interface in &said.interfaces {
        let links = if interface.is_inside { &inside } else { &outside };
        let Some(link) = links.iter().find(|link| link.name == interface.name) else { continue };
        if let Some(mac) = &interface.mac {
            let expected = format!("{} with the MAC {mac} of the result", link.name);
            ensure(link.mac == *mac, "ADD", expected, &link.mac)?;
        }
        if let Some(mtu) = interface.mtu {
            let expected = format!("{} with the MTU {mtu} of the result", link.name);
            ensure(link.mtu == mtu, "ADD", expected, link.mtu)?;
        }
    }
    Ok(())
}

fn addresses_exist(pod: &Pod, said: &Said) -> Verdict {
    let there = linux::addresses(pod);
    for ip in &said.ips {
        let address = ip.address;
        let name = match said.interface_of(ip) {
            Some(interface) => interface.name.clone(),
            // Nothing is said of where it is.
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

/// A program can be a server at each address: the kernel lets nobody have one that may still turn out to be a duplicate.
fn addresses_are_usable(pod: &Pod, said: &Said) -> Verdict {
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

fn routes_exist(pod: &Pod, said: &Said) -> Verdict {
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

/// ADD with an IPAM plugin that wants these keys in one more route, and what came of it: the route, and all routes.
fn with_route(bench: &Bench, keys: &[(&str, u64)]) -> Result<(Option<Route>, String), Stop> {
    const DST: &str = "198.51.100.0/24";
    let mut route = json!({ "dst": DST, "gw": "10.1.2.1" });
    keys.iter().for_each(|(key, value)| set(&mut route, key, *value));
    let mut answer = json!({
        "cniVersion": bench.version(),
        "ips": [{ "address": "10.1.2.9/24", "gateway": "10.1.2.1" }],
        "routes": [route]
    });
    if !bench.is_from("1.0.0") {
        let ip = answer.pointer_mut("/ips/0");
        ip.into_iter().for_each(|ip| set(ip, "version", "4"));
    }
    ipam::answer("ADD", answer, 0).unwrap_or_else(|error| broken(&error));
    let container = hurried(bench, "c1");
    let with_ipam = json!({ "type": ipam::NAME });
    bench.call(&container).with(|cni| cni.key("ipam", with_ipam)).add().succeeds()?;
    let there = linux::routes(&container.pod);
    let dst = Cidr::parse(DST);
    Ok((there.iter().find(|route| Some(route.dst) == dst).cloned(), shown(&there)))
}

pub(super) fn places(bench: &Bench) -> Verdict {
    // The keys came with 1.1.0; a plugin of an older version has only a destination and a gateway to go by.
    if !bench.is_from("1.1.0") {
        return Err(Stop::Absent("routes have such keys from 1.1.0 on".to_owned()));
    }
    let (route, all) = with_route(bench, &[("priority", 77), ("table", 88), ("scope", 0)])?;
    let holds = route.is_some_and(|r| r.metric == 77 && r.table == 88 && r.scope == 0);
    ensure(holds, "ADD", "198.51.100.0/24 via 10.1.2.1 table 88 metric 77 scope 0", all)
}

pub(super) fn metrics(bench: &Bench) -> Verdict {
    let (route, all) = with_route(bench, &[("mtu", 1400), ("advmss", 1300)])?;
    let holds = route.is_some_and(|r| r.mtu == Some(1400) && r.advmss == Some(1300));
    ensure(holds, "ADD", "198.51.100.0/24 via 10.1.2.1 mtu 1400 advmss 1300", all)
}

pub(super) fn no_other_link(bench: &Bench) -> Verdict {
    let container = hurried(bench, "c1");
    let before = linux::links(&container.pod);
    let said = Said::of(&bench.call(&container).add().succeeds()?)?;
    let mut new = linux::links(&container.pod);
    new.retain(|link| !before.iter().any(|old| old.name == link.name));
    new.retain(|link| !said.interfaces.iter().any(|i| i.is_inside && i.name == link.name));
    ensure(new.is_empty(), "ADD", "each new link of the container in the result", names(&new))
}

pub(super) fn no_other_address(bench: &Bench) -> Verdict {
    let container = hurried(bench, "c1");
    let before = linux::addresses(&container.pod);
    let said = Said::of(&bench.call(&container).add().succeeds()?)?;
    let mut new = linux::addresses(&container.pod);
    // The kernel gives a `lo` that goes up its addresses.
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

pub(super) fn no_other_on_the_host(bench: &Bench) -> Verdict {
    let container = hurried(bench, "c1");
    let before = linux::links(&bench.host);
    let said = Said::of(&bench.call(&container).add().succeeds()?)?;
    let mut new = linux::links(&bench.host);
    new.retain(|link| !before.iter().any(|old| old.name == link.name));
    new.retain(|link| !said.interfaces.iter().any(|i| !i.is_inside && i.name == link.name));
    // What stays is the network's, not the attachment's.
    bench.call(&container).del().succeeds()?;
    let left = linux::links(&bench.host);
    new.retain(|link| !left.iter().any(|other| other.name == link.name));
    ensure(new.is_empty(), "ADD", "each new link of the host in the result", names(&new))
}

pub(super) fn lo_stays(bench: &Bench) -> Verdict {
    let container = hurried(bench, "c1");
    let lo = || container.pod.run(&["ip", "-o", "addr", "show", "lo"]) + &link_of(&container.pod);
    let before = lo();
    bench.call(&container).add().succeeds()?;
    let after = lo();
    ensure(before == after, "ADD", format!("lo as before: {before}"), after)
}

/// `lo` as a link.
fn link_of(pod: &Pod) -> String {
    linux::link(pod, "lo").map_or_else(String::new, |link| format!("{link:?}"))
}

pub(super) fn variants(bench: &Bench) -> Verdict {
    each_variant(bench, |bench, variant| {
        let container = hurried(bench, "c1");
        if variant.refused {
            let before = bench.host.state();
            bench.call(&container).add().fails()?;
            return same("ADD that is refused", "c1", &before, &bench.host.state());
        }
        let result = bench.call(&container).add().succeeds()?;
        as_said(bench, &container.pod, &result)?;
        let Some(mtu) = number(&bench.profile.config, "mtu") else { return Ok(()) };
        let link = linux::link(&container.pod, "eth0");
        let has = link.map_or(0, |link| link.mtu);
        ensure(has == mtu, "ADD", format!("eth0 with the configured MTU {mtu}"), has)
    })
}

/// A test with each configuration of the profile that the kernel can do, on a host of its own. The first that fails is
/// the failure, the others are notes.
pub(super) fn each_variant(bench: &Bench, test: fn(&Bench, &Variant) -> Verdict) -> Verdict {
    let needs: Vec<String> = bench.profile.variants.iter().flat_map(|v| v.needs.clone()).collect();
    let lacks = match needs.is_empty() {
        true => BTreeMap::new(),
        false => runner::lacks(needs).unwrap_or_else(|error| broken(&error)),
    };
    let mut verdict = Ok(());
    for variant in &bench.profile.variants {
        let name = &variant.name;
        if let Some(why) = variant.needs.iter().find_map(|kind| lacks.get(kind)) {
            bench.note(format!("\"{name}\" was not tested: {why}"));
            continue;
        }
        let mut setup = bench.profile.setup.clone();
        setup.extend(variant.setup.iter().cloned());
        let config = bench.profile.config_of(Some(variant));
        let mut profile = Profile { config, setup, ..bench.profile.clone() };
        profile.container_setup.extend(variant.container_setup.iter().cloned());
        match bench.elsewhere(profile, |bench| test(bench, variant)) {
            Err(Stop::Failed(finding)) if verdict.is_ok() => {
                let done = format!("{} with the configuration \"{name}\"", finding.done);
                verdict = Err(failed(done, finding.expected, finding.seen));
            }
            Err(Stop::Failed(finding)) => {
                bench.note(format!("\"{name}\" fails too: {}: {}", finding.done, finding.seen));
            }
            Ok(()) | Err(_) => {}
        }
    }
    verdict
}

fn names(links: &[linux::Link]) -> String {
    links.iter().map(|link| link.name.as_str()).collect::<Vec<_>>().join(", ")
}
