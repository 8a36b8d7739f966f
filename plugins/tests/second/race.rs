//! Concurrent ADDs of one attachment: one of them makes it.

use std::process::Stdio;
use std::thread;

use testbed::{Cni, Outcome, Pod};

use super::{Lab, PLUGINS, calls, ips, on_a_node, script};

const ROUNDS: usize = 12;

fn at_once(calls: &[Cni]) -> Vec<Outcome> {
    thread::scope(|scope| {
        let running = calls.iter().map(|call| scope.spawn(move || call.add()));
        running.collect::<Vec<_>>().into_iter().map(|call| call.join().unwrap()).collect()
    })
}

/// Races ADDs of c1/eth0 in the pods; the winner's attachment is live, and no other has its
/// address.
fn race(lab: &Lab, pods: &[Pod], other: &Pod) {
    let plugin = lab.plugin;
    for round in 0..ROUNDS {
        let contenders: Vec<Cni> = pods.iter().map(|pod| lab.call("c1", pod)).collect();
        let outcomes = at_once(&contenders);
        let won = |index: &usize| outcomes[*index].status.success();
        let winners: Vec<usize> = (0..pods.len()).filter(won).collect();
        assert_eq!(winners.len(), 1, "{plugin}, round {round}: {outcomes:#?}");
        let (winner, result) = (&pods[winners[0]], outcomes[winners[0]].ok());
        assert!(lab.works(winner), "{plugin}, round {round}");
        contenders[winners[0]].clone().prev(&result).check().ok();

        let second = lab.call("c2", other);
        assert_ne!(ips(&second.add().ok()), ips(&result), "{plugin}, round {round}");
        assert!(lab.works(winner) && lab.works(other), "{plugin}, round {round}");
        second.del().ok();
        contenders[winners[0]].del().ok();
        assert_eq!(lab.owned(), Vec::<String>::new(), "{plugin}, round {round}");
    }
}

fn in_different_namespaces(lab: &Lab) {
    let pods = ["a", "b", "c"].map(|name| lab.node.pod(name));
    race(lab, &pods, &lab.node.pod("other"));
}

fn in_one_namespace(lab: &Lab) {
    let pod = lab.node.pod("a");
    race(lab, &[pod.clone(), pod.clone(), pod], &lab.node.pod("other"));
}

#[test]
fn one_of_several_wins_in_different_namespaces() {
    PLUGINS.iter().for_each(|plugin| on_a_node(|| in_different_namespaces(&Lab::new(plugin))));
}

#[test]
fn one_of_several_wins_in_one_namespace() {
    PLUGINS.iter().for_each(|plugin| on_a_node(|| in_one_namespace(&Lab::new(plugin))));
}

#[test]
fn one_of_several_wins_with_a_host_local_apart() {
    PLUGINS.iter().for_each(|plugin| on_a_node(|| in_different_namespaces(&Lab::apart(plugin))));
    PLUGINS.iter().for_each(|plugin| on_a_node(|| in_one_namespace(&Lab::apart(plugin))));
}

/// An ADD that waits for one that finally fails succeeds then.
#[test]
fn an_add_that_waits_for_a_failing_one_succeeds() {
    let lab = Lab::new("bridge");
    let (a, b) = (lab.node.pod("a"), lab.node.pod("b"));
    let text = "[ $CNI_COMMAND = DEL ] || { echo >/run/asked; until [ -e /run/go ]; do sleep 0.01; \
                done; echo '{\"code\": 111, \"msg\": \"no\"}'; exit 1; }";
    let slow = lab.call("c1", &a).env("CNI_PATH", script("slow", text));
    let slow = slow.key("ipam", serde_json::json!({ "type": "slow" }));
    let next = lab.call("c1", &b);
    let (failed, made) = thread::scope(|scope| {
        let failing = scope.spawn(|| slow.add());
        wait_for("/run/asked");
        let waiting = scope.spawn(|| next.add());
        std::fs::write("/run/go", "").unwrap();
        (failing.join().unwrap(), waiting.join().unwrap())
    });
    assert_eq!(failed.err().1, "no");
    made.ok();
    assert!(lab.works(&b));
    // ADD made nothing, so the IPAM plugin was called to release what it may have reserved.
    assert_eq!(calls(), ["ADD", "DEL"]);
}

/// A killed ADD blocks no other call, even if a process that it started lives on.
#[test]
fn the_next_add_of_an_attachment_does_not_wait_for_a_killed_one() {
    let lab = Lab::new("bridge");
    let pod = lab.node.pod("a");
    let path = script("slow", "echo $$ >/run/pid; mv /run/pid /run/asked; exec sleep 1000");
    let hanging = lab.call("c1", &pod).env("CNI_PATH", path);
    let hanging = hanging.key("ipam", serde_json::json!({ "type": "slow" }));
    let (mut command, config) = hanging.prepared("ADD");
    let mut plugin = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut plugin.stdin.take().unwrap(), config).unwrap();
    wait_for("/run/asked");
    plugin.kill().unwrap();
    plugin.wait().unwrap();
    lab.call("c1", &pod).add().ok();
    assert!(lab.works(&pod));
    lab.node.sh("kill -9 $(cat /run/asked)");
}

fn wait_for(file: &str) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !std::path::Path::new(file).exists() {
        assert!(std::time::Instant::now() < deadline, "{file} does not come");
        thread::sleep(std::time::Duration::from_millis(2));
    }
}
