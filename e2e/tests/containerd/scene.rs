//! A machine on which containerd has started a pod, and what pods leave on it.

use e2e::{Containerd, Machine, Release};
use serde_json::Value;
use testbed::Outside;

use crate::networks::then;
use crate::witness::Witness;

/// A machine that has had a pod: it has the shared objects of the network, and nothing of a pod.
pub struct Scene {
    pub containerd: Containerd,
    pub witness: Witness,
    pub outside: Outside,
    clean: String,
    pub machine: Machine,
}

impl Scene {
    /// With this network.
    pub fn new(network: &Value) -> Scene {
        let machine = Machine::new();
        let outside = machine.outside();
        let witness = Witness::install(&machine);
        machine.network(network.clone());
        let containerd = Containerd::start(&machine, Release::asked());
        drop(containerd.pod("first"));
        let clean = state(&machine);
        Scene { containerd, witness, outside, clean, machine }
    }

    /// With this network, and the witness at the end of its chain.
    pub fn watched(network: Value) -> Scene {
        Scene::new(&then(network, Witness::plugin()))
    }

    /// Everything on the machine that belongs to pods.
    pub fn state(&self) -> String {
        state(&self.machine)
    }

    /// Nothing of any pod is on the machine.
    #[track_caller]
    pub fn is_clean(&self) {
        testbed::assert_same!(self.clean, self.state());
    }
}

/// The state of the machine, with the names of pods' namespaces and of cached results, but without
/// the last address of host-local, which changes.
fn state(machine: &Machine) -> String {
    let state = machine.state();
    let lasting = state.lines().filter(|line| !line.contains("/last_reserved_ip."));
    let mut lines: Vec<_> = lasting.map(str::to_owned).collect();
    lines.extend(machine.namespaces().iter().map(|name| format!("netns {name}")));
    lines.extend(results(machine).iter().map(|name| format!("result {name}")));
    lines.join("\n")
}

/// The results in the runtime's cache: one for `lo` and one for `eth0` of each pod.
pub fn results(machine: &Machine) -> Vec<String> {
    let names = machine.sh("cd /var/lib/cni/results 2>/dev/null && ls || true");
    names.lines().map(str::to_owned).collect()
}
