//! Floods of `bridge` calls, as at a node's start: more processes than the host has memory or
//! processors for, some of them killed. Nothing leaks, no address is in use twice, and a call fails
//! only if it is killed or the kernel refuses it memory.
//!
//! These tests run alone, as root, after the others: see `scripts/test`.
#![cfg(test)]

mod crowd;
mod memory;

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use crowd::{Crowd, Ended};
use memory::Limit;
use serde_json::{Value, json};
use testbed::{Cni, Node, Pod};

/// Everything at once: dual stack, gateway on the bridge, masquerade, spoof check.
fn config() -> Value {
    json!({
        "cniVersion": "1.1.0",
        "name": "pods",
        "type": "bridge",
        "bridge": "cbr0",
        "isDefaultGateway": true,
        "ipMasq": true,
        "macspoofchk": true,
        "ipam": {
            "type": "host-local",
            "ranges": [[{ "subnet": "10.1.0.0/20" }], [{ "subnet": "fd00:1:2::/64" }]]
        }
    })
}

/// The bridge has at most 1,023 ports (`BR_MAX_PORTS` of the kernel's net/bridge/br_private.h), so
/// one node takes 1,000.
const MANY: usize = 1000;

/// The memory limit of all calls together, in bytes.
const MEMORY: u64 = 256 << 20;

/// The kernel may kill calls when memory runs out, or refuse them memory: a link is allocated with
/// `__GFP_RETRY_MAYFAIL` (`alloc_netdev_mqs` in net/core/dev.c), for which nothing is killed. The
/// runtime then repeats them: a DEL unchanged, an ADD after a DEL.
#[test]
fn a_thousand_adds_in_little_memory_then_their_dels() {
    let node = Node::new();
    let limit = Limit::new("ferrocni-flood", MEMORY);
    let pods: Vec<Pod> = (0..MANY).map(|index| node.pod(&format!("p{index}"))).collect();
    let calls: Vec<Cni> = pods.iter().map(|pod| limit.around(call(&node, pod))).collect();
    let mut results: Vec<Option<Value>> = vec![None; MANY];
    let (mut killed, mut refused) = (0, 0);
    for tries in 1.. {
        assert!(tries <= TRIES, "ADDs do not get through");
        let left: Vec<usize> = (0..MANY).filter(|index| results[*index].is_none()).collect();
        if left.is_empty() {
            break;
        }
        if tries > 1 {
            del(&left, &calls);
        }
        let ended = Crowd::start(left.iter().map(|index| ("ADD", &calls[*index]))).end();
        for (index, ended) in left.iter().zip(ended) {
            if ended.is_killed() {
                killed += 1;
            } else if ended.lacked_memory() {
                refused += 1;
            } else {
                results[*index] = Some(ended.outcome().ok());
            }
        }
    }
    let addresses = addresses_of(results.iter().flatten());
    assert_eq!(addresses.len(), 2 * MANY, "an address was assigned twice");
    assert_eq!(reserved(), addresses);
    // Traffic of some of them only, because each ping takes a process.
    for pod in pods.iter().step_by(97) {
        for gateway in ["10.1.0.1", "fd00:1:2::1"] {
            assert!(reaches(pod, gateway), "{} does not reach {gateway}", pod.name());
        }
    }
    let killed_dels = del(&(0..MANY).collect::<Vec<_>>(), &calls);
    assert_eq!(owned(&node), Vec::<String>::new());
    println!(
        "{MANY} at once in {} MiB: {killed} ADDs and {killed_dels} DELs were killed, \
         {refused} ADDs were refused memory, and all were repeated",
        MEMORY >> 20
    );
}

/// Whether a ping succeeds as soon as the kernel can store one more neighbour. All namespaces of a
/// host share one table of 1,024 neighbours for each IP family, which this flood nearly fills, and
/// the kernel removes no entry that is younger than 5 s (`neigh_forced_gc` in
/// net/core/neighbour.c).
fn reaches(pod: &Pod, gateway: &str) -> bool {
    const YOUNG: Duration = Duration::from_secs(5);
    let started = Instant::now();
    while !pod.ping(gateway) {
        if started.elapsed() > 2 * YOUNG {
            return false;
        }
    }
    true
}

/// The maximum number of repetitions of a call when memory ran out.
const TRIES: usize = 20;

/// Runs concurrent DELs until memory suffices for each. Returns the number of failures.
fn del(which: &[usize], calls: &[Cni]) -> usize {
    let (mut left, mut killed) = (which.to_vec(), 0);
    for _ in 0..TRIES {
        let ended = Crowd::start(left.iter().map(|index| ("DEL", &calls[*index]))).end();
        let short = |ended: &Ended| ended.is_killed() || ended.lacked_memory();
        let again = left.iter().zip(&ended).filter(|(_, ended)| short(ended));
        let again: Vec<usize> = again.map(|(index, _)| *index).collect();
        for ended in ended.iter().filter(|ended| !short(ended)) {
            ended.outcome().ok();
        }
        if again.is_empty() {
            return killed;
        }
        killed += again.len();
        left = again;
    }
    panic!("{} DELs do not get through", left.len());
}

/// The number of calls in a round, and of rounds.
const MIXED: usize = 300;
const ROUNDS: usize = 4;

/// Half of the containers are added while the other half is deleted; every fifth call is killed.
/// The runtime then does what it does after a crash: in even rounds it calls DEL again, in odd ones
/// GC with the list of live containers.
#[test]
fn three_hundred_come_and_go_and_a_fifth_is_killed() {
    let node = Node::new();
    let pods: Vec<Pod> = (0..MIXED).map(|index| node.pod(&format!("p{index}"))).collect();
    let calls: Vec<Cni> = pods.iter().map(|pod| call(&node, pod)).collect();
    let mut chance = Chance(0x5eed);
    for round in 0..ROUNDS {
        let comes = |index: usize| index % 2 == round % 2;
        let verb = |index: usize| if comes(index) { "ADD" } else { "DEL" };
        let mut crowd =
            Crowd::start(calls.iter().enumerate().map(|(index, call)| (verb(index), call)));
        crowd.kill(
            (0..MIXED)
                .filter(|index| index % 5 == round)
                .map(|index| (index, Duration::from_millis(chance.below(1500)))),
        );
        let ended = crowd.end();
        for (index, ended) in ended.iter().enumerate() {
            assert!(ended.is_ok() || ended.was_killed(), "round {round}, call {index}:\n{ended}");
        }
        let lives = |index: usize| comes(index) && ended[index].is_ok();
        let living: Vec<usize> = (0..MIXED).filter(|index| lives(*index)).collect();
        let gone: Vec<usize> = (0..MIXED).filter(|index| !lives(*index)).collect();
        clean_up(&node, round, &calls, &pods, &living, &gone);
        let results: Vec<Value> = ended.iter().map(|ended| ended.outcome().json()).collect();
        let addresses = addresses_of(living.iter().map(|index| &results[*index]));
        assert_eq!(addresses.len(), 2 * living.len(), "an address is in use twice");
        assert_eq!(reserved(), addresses, "round {round}: reservations and attachments differ");
        let checks: Vec<Cni> =
            living.iter().map(|index| calls[*index].clone().prev(&results[*index])).collect();
        for checked in Crowd::start(checks.iter().map(|call| ("CHECK", call))).end() {
            assert!(checked.is_ok(), "round {round}:\n{checked}");
        }
        for index in living.iter().step_by(37) {
            assert!(pods[*index].ping("10.1.0.1") && pods[*index].ping("fd00:1:2::1"));
        }
    }
    for ended in Crowd::start(calls.iter().map(|call| ("DEL", call))).end() {
        assert!(ended.is_ok(), "{ended}");
    }
    assert_eq!(owned(&node), Vec::<String>::new());
}

fn call(node: &Node, pod: &Pod) -> Cni {
    node.plugin("bridge").conf(config()).container(pod.name()).netns(pod)
}

/// The cleanup by a runtime for attachments whose call was killed.
fn clean_up(
    node: &Node,
    round: usize,
    calls: &[Cni],
    pods: &[Pod],
    living: &[usize],
    gone: &[usize],
) {
    if round.is_multiple_of(2) {
        for ended in Crowd::start(gone.iter().map(|index| ("DEL", &calls[*index]))).end() {
            assert!(ended.is_ok(), "round {round}:\n{ended}");
        }
        return;
    }
    let valid: Vec<Value> = living
        .iter()
        .map(|index| json!({ "containerID": pods[*index].name(), "ifname": "eth0" }))
        .collect();
    let gc = node.plugin("bridge").conf(config()).key("cni.dev/valid-attachments", valid);
    gc.gc().ok();
}

/// The addresses in the results.
fn addresses_of<'a>(results: impl IntoIterator<Item = &'a Value>) -> BTreeSet<String> {
    let mut addresses = BTreeSet::new();
    for result in results {
        for ip in result["ips"].as_array().unwrap() {
            let address = ip["address"].as_str().unwrap().split('/').next().unwrap();
            addresses.insert(address.to_owned());
        }
    }
    addresses
}

/// The addresses that host-local has reserved for attachments.
fn reserved() -> BTreeSet<String> {
    let names = fs::read_dir("/var/lib/cni/networks/pods").unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.parse::<std::net::IpAddr>().is_ok()).collect()
}

/// The objects of attachments: links, rules and reservations.
fn owned(node: &Node) -> Vec<String> {
    let mut owned = node.sh("ip -o link; nft list ruleset; ip neigh");
    owned += &reserved().into_iter().collect::<Vec<_>>().join("\n");
    // The chains of subnets stay until GC, but no element leads to them any more.
    let is_shared =
        |line: &str| line.contains("chain masq_") || line.trim_end().ends_with(" return");
    let is_owned = |line: &&str| {
        let marks = ["veth", "ferrocni:", "10.1.", "fd00:"];
        !is_shared(line) && marks.iter().any(|mark| line.contains(mark))
    };
    owned.lines().filter(is_owned).map(str::to_owned).collect()
}

/// Pseudo-random numbers, the same in each run (an xorshift generator).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
