//! Concurrent calls with `hostAccess`: their shared shim is neither lost nor left over.

use std::thread;

use serde_json::{Value, json};
use testbed::{Cni, Outcome, Pod};

use super::{HOST, Lan, config};

/// Makes all calls at the same time.
fn at_once(calls: &[(&str, Cni)]) -> Vec<Outcome> {
    thread::scope(|scope| {
        let running = calls.iter().map(|(verb, call)| scope.spawn(move || call.raw(verb)));
        running.collect::<Vec<_>>().into_iter().map(|call| call.join().unwrap()).collect()
    })
}

/// Half of the containers are added while the other half is deleted, then the reverse.
#[test]
fn containers_come_and_go() {
    let lan = Lan::new();
    let access: Value = config(json!({ "hostAccess": true, "hostRoutes": ["10.96.0.0/12"] }));
    lan.node.sh("sysctl -qw net.ipv4.ip_forward=1");
    let before = super::lasting(&lan.node.state());
    let pods: Vec<Pod> = (0..32).map(|index| lan.node.pod(&format!("p{index}"))).collect();
    for coming in [0, 1, 0, 1] {
        let verb = |index: usize| if index % 2 == coming { "ADD" } else { "DEL" };
        let calls: Vec<_> = pods
            .iter()
            .enumerate()
            .map(|(index, pod)| (verb(index), lan.call(&access, pod)))
            .collect();
        let outcomes = at_once(&calls);
        for ((verb, call), outcome) in calls.iter().zip(&outcomes) {
            let result = outcome.ok();
            if *verb == "ADD" {
                call.clone().prev(&result).check().ok();
            }
        }
        assert_eq!(lan.shims().len(), 1, "round {coming}");
        for pod in pods.iter().skip(coming).step_by(2) {
            assert!(pod.ping(HOST[0]) && pod.ping(HOST[1]), "{} in round {coming}", pod.name());
        }
    }
    let last: Vec<_> = pods.iter().map(|pod| ("DEL", lan.call(&access, pod))).collect();
    at_once(&last).iter().for_each(|outcome| drop(outcome.ok()));
    assert_eq!(lan.shims(), Vec::<String>::new());
    pods.iter().for_each(|pod| lan.node.delete(pod));
    testbed::assert_same!(before, super::lasting(&lan.node.state()));
}

/// One container is added while the last one is deleted: each ADD may find the shim right before
/// its deletion.
#[test]
fn the_last_one_goes_while_the_next_one_comes() {
    let lan = Lan::new();
    let access: Value = config(json!({ "hostAccess": true }));
    let pods = [lan.node.pod("a"), lan.node.pod("b")];
    lan.call(&access, &pods[0]).add().ok();
    for round in 0..30 {
        let (goes, comes) = (&pods[round % 2], &pods[(round + 1) % 2]);
        let calls = [("DEL", lan.call(&access, goes)), ("ADD", lan.call(&access, comes))];
        at_once(&calls).iter().for_each(|outcome| drop(outcome.ok()));
        assert!(comes.ping(HOST[0]) && comes.ping(HOST[1]), "round {round}");
    }
}
