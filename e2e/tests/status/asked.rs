//! The calls that containerd makes, and how.

use e2e::{Containerd, Machine, Release};
use serde_json::{Value, json};

use crate::witness::{Seen, Witness};
use crate::{ipam, network, ptp};

/// A chain of two plugins.
fn chain(version: &str) -> Value {
    let mut list = network(version, ptp(ipam()));
    list["plugins"].as_array_mut().unwrap().push(json!({ "type": "last" }));
    list
}

/// The plugin must answer every call: containerd 2.1 makes ADD, DEL and STATUS, another release
/// perhaps GC or CHECK.
fn assert_served(seen: &[Seen]) {
    for call in seen {
        assert_eq!(call.status, 0, "{call:#?}");
    }
}

/// The calls with a command: plugins, and versions in their configurations.
fn asked<'a>(seen: &'a [Seen], verb: &str) -> Vec<(&'a str, &'a str)> {
    let calls = seen.iter().filter(|call| call.verb == verb);
    calls.map(|call| (call.plugin.as_str(), call.config["cniVersion"].as_str().unwrap())).collect()
}

const STATUS: [(&str, &str); 3] = [("host-local", "1.1.0"), ("ptp", "1.1.0"), ("last", "1.1.0")];

#[test]
fn each_plugin_is_asked_each_time() {
    let machine = Machine::new();
    machine.network(chain("1.1.0"));
    let witness = Witness::new(&machine);
    let mut containerd = Containerd::with_plugins(&machine, Release::Newest, &witness.folder);
    let mut known = witness.seen().len();
    for _ in 0..3 {
        assert!(containerd.network().unwrap().is_ready);
        let seen = witness.seen();
        assert_eq!(asked(&seen[known..], "STATUS"), STATUS);
        known = seen.len();
    }
    let last = witness.seen().pop().unwrap();
    assert_eq!(
        last.env.lines().collect::<Vec<_>>(),
        [
            "CNI_ARGS=",
            "CNI_COMMAND=STATUS",
            "CNI_CONTAINERID=",
            "CNI_IFNAME=",
            "CNI_NETNS=",
            "CNI_PATH=/run/testbed/witness"
        ]
    );
    assert_eq!(last.config, json!({ "cniVersion": "1.1.0", "name": "pods", "type": "last" }));

    // The rest of a pod's life, with a restart of containerd in the middle.
    let (a, b) = (containerd.pod("a"), containerd.pod("b"));
    drop(a);
    let id = b.id().to_owned();
    std::mem::forget(b);
    containerd.kill();
    containerd.restart();
    for _ in 0..2 {
        containerd.stop_sandbox(&id).unwrap();
    }
    containerd.remove_sandbox(&id).unwrap();
    let seen = witness.seen();
    assert_served(&seen);
    assert_eq!(asked(&seen, "ADD").len(), 2 * 4, "two pods, four plugins with loopback");
    assert_eq!(machine.reservations(), Vec::<String>::new());
}

/// A file for both releases: the older one reads `cniVersion`, the newer one the highest of
/// `cniVersions`.
fn with_versions() -> Value {
    let mut list = chain("1.0.0");
    list["cniVersions"] = json!(["0.4.0", "1.0.0", "1.1.0"]);
    list
}

#[test]
fn of_several_versions_the_highest_is_asked() {
    let machine = Machine::new();
    machine.network(with_versions());
    let witness = Witness::new(&machine);
    let containerd = Containerd::with_plugins(&machine, Release::Newest, &witness.folder);
    let a = containerd.pod("a");
    assert_eq!(a.addresses(), ["10.1.2.10"]);
    drop(a);
    let seen = witness.seen();
    assert_served(&seen);
    assert!(asked(&seen, "STATUS").starts_with(&STATUS));
    for verb in ["ADD", "DEL"] {
        let asked = asked(&seen, verb);
        let pods = asked.iter().filter(|(plugin, _)| *plugin != "loopback");
        assert!(pods.clone().count() > 0 && pods.clone().all(|(_, version)| *version == "1.1.0"));
    }
}

#[test]
fn the_older_containerd_takes_the_first_version() {
    let machine = Machine::new();
    machine.network(with_versions());
    let witness = Witness::new(&machine);
    let containerd = Containerd::with_plugins(&machine, Release::Stable, &witness.folder);
    let (a, b) = (containerd.pod("a"), containerd.pod("b"));
    // The pool is full, and the runtime does not call STATUS.
    assert!(containerd.network().unwrap().is_ready);
    drop((a, b));
    let seen = witness.seen();
    assert_served(&seen);
    assert_eq!(asked(&seen, "STATUS"), []);
    let asked = asked(&seen, "ADD");
    let mut pods = asked.iter().filter(|(plugin, _)| *plugin != "loopback");
    assert!(pods.all(|(_, version)| *version == "1.0.0"), "{asked:?}");
}
