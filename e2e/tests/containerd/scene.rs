//! A machine on which containerd has started a pod, and what pods leave on it.

use e2e::{Containerd, Machine, Release};
use serde_json::Value;
use testbed::Outside;

use crate::networks::then;
use crate::witness::Witness;

/// A machine that has had a pod: with what its network has for all pods, and nothing of any.
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

    /// With this network, and the witness as the last of its chain.
    pub fn watched(network: Value) -> Scene {
        Scene::new(&then(network, Witness::plugin()))
    }

    /// All that pods have on the machine.
    pub fn state(&self) -> String {
        state(&self.machine)
    }

    /// Nothing of any pod is on the machine.
    #[track_caller]
    pub fn is_clean(&self) {
        testbed::assert_same!(self.clean, self.state());
    }
}

/// The machine's state, with the names of pods' namespaces and of the results that the runtime remembers. Not the last address
/// that host-local gave, which counts on.
fn state(machine: &Machine) -> String {
    let state = machine.state();
    let lasting = state.lines().filter(|line| !line.contains("/last_reserved_ip."));
    let mut lines: Vec<_> = lasting.map(str::to_owned).collect();
    lines.extend(machine.namespaces().iter().map(|name| format!("netns {name}")));
    lines.extend(results(machine).iter().map(|name| format!("result {name}")));
    lines.join("\n")
}

/// The results that the runtime remembers: of each pod one for `lo` and one for `eth0`.
pub fn results(machine: &Machine) -> Vec<String> {
    let names = machine.sh("cd /var/lib/cni/results 2>/dev/null && ls || true");
    names.lines().map(str::to_owned).collect()
}
