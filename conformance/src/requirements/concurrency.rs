//! Many concurrent calls.

mod crowd;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};
use testbed::diff;

use crate::fixture::{Call, Container, Fixture};
use crate::linux::{ParsedResult, added_without_dad, lasting, section, without_dad};
use crate::previous::HOST_END;
use crate::profile::{Kind, Reach};
use crate::requirement::{self, AppliesTo, Requirement};
use crate::verdict::{NotPassed, OutcomeExt, TestResult, ensure, failed};
use crowd::{Done, Task, at_once, tell};

/// The number of containers that are added at the same time.
const CROWD: usize = 24;

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    expected(
        "RACE.ADD.1",
        "Many concurrent ADDs on a fresh host must succeed, pass CHECK, and allocate different \
         addresses",
        many_adds,
    ),
    expected("RACE.MIX.1", "Concurrent ADDs and DELs must all succeed", adds_and_dels),
    expected(
        "RACE.DEL.1",
        "Many concurrent DELs must leave no more behind than a single one",
        many_dels,
    ),
    expected(
        "RACE.DEL.2",
        "Several concurrent DELs of one attachment must all succeed",
        one_del_often,
    ),
    expected(
        "RACE.SAME.1",
        "A further DEL must clean up after a concurrent ADD and DEL of one attachment",
        add_and_del_of_one,
    ),
    expected(
        "RACE.NET.1",
        "Concurrent ADDs on two networks must succeed, and DELs on one network must leave the \
         other unchanged",
        two_networks,
    ),
];

const fn expected(
    id: &'static str,
    statement: &'static str,
    test: fn(&Fixture) -> TestResult,
) -> Requirement {
    requirement::expected(id, statement, AppliesTo::All, test)
}

/// Makes several containers.
fn containers(fixture: &Fixture, name: &str, count: usize) -> Vec<Container> {
    (0..count).map(|number| without_dad(fixture, &format!("{name}{number}"))).collect()
}

/// The same command for each of these containers.
fn tasks(fixture: &Fixture, verb: &'static str, containers: &[Container]) -> Vec<Task> {
    let task = |container| Task { cni: fixture.call(container).cni, verb };
    containers.iter().map(task).collect()
}

/// Adds all of them concurrently, which must succeed. Returns the results.
fn add_all(fixture: &Fixture, containers: &[Container]) -> Result<Vec<Value>, NotPassed> {
    let done = at_once(fixture, tasks(fixture, "ADD", containers));
    tell(fixture, "ADD", &done);
    let attached = |(done, container): (&Done, &Container)| {
        let result = done.outcome.succeeds()?;
        fixture.call(container).has_attached(&result)?;
        Ok(result)
    };
    done.iter().zip(containers).map(attached).collect()
}

/// Deletes all of them concurrently, which must succeed.
fn del_all(fixture: &Fixture, containers: &[Container]) -> TestResult {
    let done = at_once(fixture, tasks(fixture, "DEL", containers));
    tell(fixture, "DEL", &done);
    done.iter().try_for_each(|done| done.outcome.succeeds().map(drop))
}

/// No two results may have the same address. Loopback addresses are the same in all containers, and
/// a chained plugin returns the addresses of another plugin.
fn are_distinct(fixture: &Fixture, results: &[Value]) -> TestResult {
    let mut owners: BTreeMap<IpAddr, usize> = BTreeMap::new();
    if fixture.profile.kind == Kind::Chained {
        return Ok(());
    }
    for (number, result) in results.iter().enumerate() {
        for ip in ParsedResult::of(result)?.ips.iter().map(|ip| ip.address.ip) {
            let other = owners.insert(ip, number).filter(|other| *other != number);
            if let Some(other) = other.filter(|_| !ip.is_loopback()) {
                let expected = "addresses of their own";
                let seen = format!("{ip} in the results of number {other} and of number {number}");
                return Err(failed(format!("{} concurrent ADDs", results.len()), expected, seen));
            }
        }
    }
    Ok(())
}

fn many_adds(fixture: &Fixture) -> TestResult {
    let containers = containers(fixture, "c", CROWD);
    let results = add_all(fixture, &containers)?;
    are_distinct(fixture, &results)?;
    for (container, result) in containers.iter().zip(&results) {
        if fixture.is_from("0.4.0") {
            fixture.call(container).check(result).succeeds()?;
        }
    }
    let reaches_host = fixture.profile.reaches.contains(&Reach::Host);
    for (container, result) in containers.iter().zip(&results).filter(|_| reaches_host) {
        // Other requirements test the first packet; IPv4 needs no wait.
        let gateways = ParsedResult::of(result)?.ips.into_iter().filter_map(|ip| ip.gateway);
        for gateway in gateways.filter(IpAddr::is_ipv4) {
            let done = format!("{CROWD} concurrent ADDs, then ping from {}", container.pod.name());
            let seen = "no answer within a second";
            ensure(container.pod.ping(gateway), done, format!("{gateway} answers"), seen)?;
        }
    }
    Ok(())
}

fn adds_and_dels(fixture: &Fixture) -> TestResult {
    let (go, come) = (containers(fixture, "old", CROWD / 4), containers(fixture, "new", CROWD / 4));
    add_all(fixture, &go)?;
    let mut both = Vec::new();
    for (del, add) in tasks(fixture, "DEL", &go).into_iter().zip(tasks(fixture, "ADD", &come)) {
        both.extend([del, add]);
    }
    let done = at_once(fixture, both);
    let mut results = Vec::new();
    for done in &done {
        let printed = done.outcome.succeeds()?;
        if done.verb == "ADD" {
            results.push(printed);
        }
    }
    are_distinct(fixture, &results)?;
    for (container, result) in come.iter().zip(&results).filter(|_| fixture.is_from("0.4.0")) {
        fixture.call(container).check(result).succeeds()?;
    }
    Ok(())
}

/// Makes ADD and DEL of one container.
fn once(fixture: &Fixture) -> TestResult {
    let (container, _) = added_without_dad(fixture, "once")?;
    fixture.call(&container).del().succeeds().map(drop)
}

/// The host and its files must be unchanged.
fn nothing_is_left(fixture: &Fixture, done: &str, before: &str) -> TestResult {
    // DEL of the plugin before a chained one removes the host's end of the veth pair, with its
    // queues and settings.
    let is_of_end = |line: &&str| {
        fixture.profile.kind == Kind::Chained
            && ["link ", "qdisc ", "sysctl "].iter().any(|kind| line.starts_with(kind))
            && line.contains(HOST_END)
    };
    let host = |state: &str| {
        let state = lasting(&["node", "files", "disk"].map(|name| section(state, name)).join("\n"));
        state.lines().filter(|line| !is_of_end(line)).map(|line| format!("{line}\n")).collect()
    };
    let (before, after): (String, String) = (host(before), host(&fixture.state()));
    let changes = diff(&before, &after);
    ensure(changes.is_empty(), done, "the host as after one ADD and DEL", changes)
}

fn many_dels(fixture: &Fixture) -> TestResult {
    let containers = containers(fixture, "c", CROWD / 2);
    once(fixture)?;
    let before = fixture.state();
    add_all(fixture, &containers)?;
    del_all(fixture, &containers)?;
    let done = format!("{0} concurrent ADDs, {0} concurrent DELs", containers.len());
    nothing_is_left(fixture, &done, &before)
}

fn one_del_often(fixture: &Fixture) -> TestResult {
    const TIMES: usize = 4;
    let container = without_dad(fixture, "c1");
    once(fixture)?;
    let before = fixture.state();
    fixture.call(&container).attach()?;
    let del = Task { cni: fixture.call(&container).cni, verb: "DEL" };
    for done in at_once(fixture, vec![del; TIMES]) {
        done.outcome.succeeds()?;
    }
    nothing_is_left(fixture, "ADD, DEL 4 times at once", &before)
}

fn add_and_del_of_one(fixture: &Fixture) -> TestResult {
    const ROUNDS: usize = 3;
    let container = without_dad(fixture, "c1");
    once(fixture)?;
    let before = fixture.state();
    for _ in 0..ROUNDS {
        let cni = fixture.call(&container).cni;
        let add = Task { cni: cni.clone(), verb: "ADD" };
        // Each call may fail because of the other, but neither may hang.
        for done in at_once(fixture, vec![add, Task { cni, verb: "DEL" }]) {
            ensure(
                !done.outcome.hung,
                "ADD and DEL at once",
                "both end",
                "one hung and was killed",
            )?;
        }
        fixture.call(&container).del().succeeds()?;
    }
    let done = "ADD and DEL of one attachment at once, then DEL";
    nothing_is_left(fixture, done, &before)?;
    let container = fixture.reconnected(container);
    fixture.call(&container).attach()?;
    fixture.call(&container).del().succeeds().map(drop)
}

/// The configuration for another network, with another name and other subnets, and whether it has
/// subnets that could be replaced.
fn another_network(fixture: &Fixture) -> (Value, bool) {
    let config = fixture.config();
    let text = config.to_string().replace("10.1.2.", "10.7.2.").replace("fd00:1:2:", "fd00:7:2:");
    let mut other: Value = serde_json::from_str(&text).unwrap_or_default();
    let has_other_subnets = other != config;
    fixture.profile.rename(&mut other, "judged-too", 1);
    (other, has_other_subnets)
}

fn two_networks(fixture: &Fixture) -> TestResult {
    let (other, has_other_subnets) = another_network(fixture);
    if fixture.is_numbered() {
        return Err(NotPassed::NotApplicable(
            "the configuration differs for each container".to_owned(),
        ));
    }
    if fixture.profile.on_bridge {
        let why = "the plugin before it has one bridge, which is that of one network";
        return Err(NotPassed::NotApplicable(why.to_owned()));
    }
    let is_kit_ipam =
        other.pointer("/ipam/type").is_some_and(|name| *name == json!(crate::ipam::NAME));
    if other.get("ipam").is_some() && !has_other_subnets && !is_kit_ipam {
        let why = "the configuration has subnets of its own, so that the test cannot use it for \
            two networks";
        return Err(NotPassed::NotApplicable(why.to_owned()));
    }
    let (ones, twos) = (containers(fixture, "a", 6), containers(fixture, "b", 6));
    let there = |container: &Container| -> Call<'_> {
        let call = fixture.call_with(&other);
        let call =
            call.with(|cni| cni.container(&container.id).netns(&container.pod).ifname("eth0"));
        match &container.prev {
            Some(prev) => call.with(|cni| cni.prev(prev)),
            None => call,
        }
    };
    // The first ADD makes the shared objects on the host, which stay.
    let mut all = tasks(fixture, "ADD", &ones);
    all.extend(twos.iter().map(|container| Task { cni: there(container).cni, verb: "ADD" }));
    let done = at_once(fixture, all);
    let results: Vec<Value> =
        done.iter().map(|done| done.outcome.succeeds()).collect::<Result<_, _>>()?;
    for (container, result) in ones.iter().chain(&twos).zip(&results) {
        fixture.call(container).has_attached(result)?;
    }
    let (of_one, of_other) = results.split_at(ones.len());
    are_distinct(fixture, of_one)?;
    are_distinct(fixture, of_other)?;
    // Two networks without subnets in their configuration may have the same addresses.
    if has_other_subnets || is_kit_ipam {
        are_distinct(fixture, &results)?;
    }
    let dels = twos.iter().map(|container| Task { cni: there(container).cni, verb: "DEL" });
    for done in at_once(fixture, dels.collect()) {
        done.outcome.succeeds()?;
    }
    for (container, result) in ones.iter().zip(&results).filter(|_| fixture.is_from("0.4.0")) {
        fixture.call(container).check(result).succeeds()?;
    }
    del_all(fixture, &ones)
}
