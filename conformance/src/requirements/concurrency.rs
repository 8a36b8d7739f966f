//! Many calls at once, in each other's way.

mod crowd;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Value, json};
use testbed::diff;

use crate::bench::{Bench, Call, Container};
use crate::linux::{Said, hurried, hurried_added, lasting, section};
use crate::profile::{Kind, Reach};
use crate::requirement::{self, Judge, Of, Requirement, Stop, Verdict, ensure, failed};
use crowd::{Task, at_once, tell};

/// How many containers come at once.
const CROWD: usize = 24;

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[
    expected(
        "RACE.ADD.1",
        "many ADDs at once on a fresh host succeed, pass CHECK, and get addresses of their own",
        many_adds,
    ),
    expected("RACE.MIX.1", "ADDs succeed while DELs run, and the other way round", adds_and_dels),
    expected("RACE.DEL.1", "many DELs at once leave no more behind than one", many_dels),
    expected(
        "RACE.DEL.2",
        "DEL of one attachment, called several times at once, succeeds each time",
        one_del_often,
    ),
    expected(
        "RACE.SAME.1",
        "ADD and DEL of one attachment at once end in what a further DEL cleans up",
        add_and_del_of_one,
    ),
    expected(
        "RACE.NET.1",
        "ADDs at once on two networks succeed, and DELs of one leave the other alone",
        two_networks,
    ),
];

const fn expected(
    id: &'static str,
    says: &'static str,
    test: fn(&Bench) -> Verdict,
) -> Requirement {
    requirement::expected(id, says, Of::All, test)
}

/// Some new containers.
fn containers(bench: &Bench, name: &str, count: usize) -> Vec<Container> {
    (0..count).map(|number| hurried(bench, &format!("{name}{number}"))).collect()
}

/// One verb for each of these containers.
fn tasks(bench: &Bench, verb: &'static str, containers: &[Container]) -> Vec<Task> {
    let task = |container| Task { cni: bench.call(container).cni, verb };
    containers.iter().map(task).collect()
}

/// ADD of all of them at once, which must succeed; their results.
fn add_all(bench: &Bench, containers: &[Container]) -> Result<Vec<Value>, Stop> {
    let done = at_once(bench, tasks(bench, "ADD", containers));
    tell(bench, "ADD", &done);
    done.iter().map(|done| done.outcome.succeeds()).collect()
}

/// DEL of all of them at once, which must succeed.
fn del_all(bench: &Bench, containers: &[Container]) -> Verdict {
    let done = at_once(bench, tasks(bench, "DEL", containers));
    tell(bench, "DEL", &done);
    done.iter().try_for_each(|done| done.outcome.succeeds().map(drop))
}

/// No address is in two results. Those of a loopback everybody has, and a plugin after another one tells of the other's.
fn are_distinct(bench: &Bench, results: &[Value]) -> Verdict {
    let mut owners: BTreeMap<IpAddr, usize> = BTreeMap::new();
    if bench.profile.kind == Kind::Chained {
        return Ok(());
    }
    for (number, result) in results.iter().enumerate() {
        for ip in Said::of(result)?.ips.iter().map(|ip| ip.address.ip) {
            let other = owners.insert(ip, number).filter(|other| *other != number);
            if let Some(other) = other.filter(|_| !ip.is_loopback()) {
                let expected = "addresses of their own";
                let seen = format!("{ip} in the results of number {other} and of number {number}");
                return Err(failed(format!("{} ADDs at once", results.len()), expected, seen));
            }
        }
    }
    Ok(())
}

fn many_adds(bench: &Bench) -> Verdict {
    let containers = containers(bench, "c", CROWD);
    let results = add_all(bench, &containers)?;
    are_distinct(bench, &results)?;
    for (container, result) in containers.iter().zip(&results) {
        if bench.is_from("0.4.0") {
            bench.call(container).check(result).succeeds()?;
        }
    }
    let reaches_host = bench.profile.reaches.contains(&Reach::Host);
    for (container, result) in containers.iter().zip(&results).filter(|_| reaches_host) {
        // The first packet is asked about elsewhere; IPv4 does not wait for anything.
        let gateways = Said::of(result)?.ips.into_iter().filter_map(|ip| ip.gateway);
        for gateway in gateways.filter(IpAddr::is_ipv4) {
            let done = format!("{CROWD} ADDs at once, then ping from {}", container.pod.name());
            let seen = "no answer within a second";
            ensure(container.pod.ping(gateway), done, format!("{gateway} answers"), seen)?;
        }
    }
    Ok(())
}

fn adds_and_dels(bench: &Bench) -> Verdict {
    let (go, come) = (containers(bench, "old", CROWD / 4), containers(bench, "new", CROWD / 4));
    add_all(bench, &go)?;
    let mut both = Vec::new();
    for (del, add) in tasks(bench, "DEL", &go).into_iter().zip(tasks(bench, "ADD", &come)) {
        both.extend([del, add]);
    }
    let done = at_once(bench, both);
    let mut results = Vec::new();
    for done in &done {
        let printed = done.outcome.succeeds()?;
        if done.verb == "ADD" {
            results.push(printed);
        }
    }
    are_distinct(bench, &results)?;
    for (container, result) in come.iter().zip(&results).filter(|_| bench.is_from("0.4.0")) {
        bench.call(container).check(result).succeeds()?;
    }
    Ok(())
}

/// ADD and DEL of a container alone.
fn once(bench: &Bench) -> Verdict {
    let (container, _) = hurried_added(bench, "once")?;
    bench.call(&container).del().succeeds().map(drop)
}

/// The host and its files are as they were.
fn nothing_is_left(done: &str, before: &str, after: &str) -> Verdict {
    let host =
        |state: &str| lasting(&format!("{}\n{}", section(state, "node"), section(state, "files")));
    let changes = diff(&host(before), &host(after));
    ensure(changes.is_empty(), done, "the host as after one ADD and DEL", changes)
}

fn many_dels(bench: &Bench) -> Verdict {
    let containers = containers(bench, "c", CROWD / 2);
    once(bench)?;
    let before = bench.host.state();
    add_all(bench, &containers)?;
    del_all(bench, &containers)?;
    let done = format!("{0} ADDs at once, {0} DELs at once", containers.len());
    nothing_is_left(&done, &before, &bench.host.state())
}

fn one_del_often(bench: &Bench) -> Verdict {
    const TIMES: usize = 4;
    let container = hurried(bench, "c1");
    once(bench)?;
    let before = bench.host.state();
    bench.call(&container).add().succeeds()?;
    let del = Task { cni: bench.call(&container).cni, verb: "DEL" };
    for done in at_once(bench, vec![del; TIMES]) {
        done.outcome.succeeds()?;
    }
    nothing_is_left("ADD, DEL 4 times at once", &before, &bench.host.state())
}

fn add_and_del_of_one(bench: &Bench) -> Verdict {
    const ROUNDS: usize = 3;
    let container = hurried(bench, "c1");
    once(bench)?;
    let before = bench.host.state();
    for _ in 0..ROUNDS {
        let cni = bench.call(&container).cni;
        let add = Task { cni: cni.clone(), verb: "ADD" };
        // Each may fail, because of the other; neither may hang.
        for done in at_once(bench, vec![add, Task { cni, verb: "DEL" }]) {
            ensure(
                !done.outcome.hung,
                "ADD and DEL at once",
                "both end",
                "one hung, and was ended",
            )?;
        }
        bench.call(&container).del().succeeds()?;
    }
    let done = "ADD and DEL of one attachment at once, then DEL";
    nothing_is_left(done, &before, &bench.host.state())?;
    bench.call(&container).add().succeeds()?;
    bench.call(&container).del().succeeds().map(drop)
}

/// The same configuration for another network: another name, other subnets.
fn elsewhere(bench: &Bench) -> Value {
    let config = bench.config();
    let text = config.to_string().replace("10.1.2.", "10.7.2.").replace("fd00:1:2:", "fd00:7:2:");
    let mut other: Value = serde_json::from_str(&text).unwrap_or(config);
    bench.profile.rename(&mut other, "judged-too", 1);
    other
}

fn two_networks(bench: &Bench) -> Verdict {
    let other = elsewhere(bench);
    if bench.is_numbered() {
        return Err(Stop::Absent("the configuration is another one for each container".to_owned()));
    }
    let has_kit_subnets = other.get("ipam") != bench.config().get("ipam");
    let is_kit_ipam =
        other.pointer("/ipam/type").is_some_and(|name| *name == json!(crate::ipam::NAME));
    if other.get("ipam").is_some() && !has_kit_subnets && !is_kit_ipam {
        let why = "the configuration's subnets are not the kit's, so it cannot be had twice";
        return Err(Stop::Absent(why.to_owned()));
    }
    let (ones, twos) = (containers(bench, "a", 6), containers(bench, "b", 6));
    let there = |container: &Container| -> Call<'_> {
        let call = bench.call_with(&other);
        let call =
            call.with(|cni| cni.container(&container.id).netns(&container.pod).ifname("eth0"));
        match &container.prev {
            Some(prev) => call.with(|cni| cni.prev(prev)),
            None => call,
        }
    };
    // What they share on the host comes with the first and stays.
    let mut all = tasks(bench, "ADD", &ones);
    all.extend(twos.iter().map(|container| Task { cni: there(container).cni, verb: "ADD" }));
    let done = at_once(bench, all);
    let results: Vec<Value> =
        done.iter().map(|done| done.outcome.succeeds()).collect::<Result<_, _>>()?;
    are_distinct(bench, &results)?;
    let dels = twos.iter().map(|container| Task { cni: there(container).cni, verb: "DEL" });
    for done in at_once(bench, dels.collect()) {
        done.outcome.succeeds()?;
    }
    for (container, result) in ones.iter().zip(&results).filter(|_| bench.is_from("0.4.0")) {
        bench.call(container).check(result).succeeds()?;
    }
    del_all(bench, &ones)
}
