//! containerd 2.1 asks the plugins of a network of version 1.1.0 for their STATUS, whenever the kubelet asks it for its own,
//! and tells the kubelet what they say: a node whose network could serve no pod gets none.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests report by panicking"
)]

#[path = "status/asked.rs"]
mod asked;
#[path = "status/witness.rs"]
mod witness;

use std::time::{Duration, Instant};

use e2e::{Containerd, Machine, NetworkState, Release, Sandbox};
use serde_json::{Value, json};

/// A network of one plugin.
fn network(version: &str, plugin: Value) -> Value {
    json!({ "cniVersion": version, "name": "pods", "plugins": [plugin] })
}

/// Two addresses.
fn ipam() -> Value {
    json!({
        "type": "host-local", "subnet": "10.1.2.0/24",
        "rangeStart": "10.1.2.10", "rangeEnd": "10.1.2.11"
    })
}

fn ptp(ipam: Value) -> Value {
    json!({ "type": "ptp", "ipam": ipam })
}

/// Configures the network, and waits until containerd has read it.
fn configure(machine: &Machine, containerd: &Containerd, list: &Value) {
    machine.network(list.clone());
    let deadline = Instant::now() + Duration::from_secs(20);
    let is_read = |state: &NetworkState| {
        let networks = state.config["Networks"].as_array().into_iter().flatten();
        let mut sources = networks.filter_map(|network| network["Config"]["Source"].as_str());
        sources.any(|source| serde_json::from_str::<Value>(source).is_ok_and(|it| it == *list))
    };
    while !is_read(&containerd.network().unwrap()) {
        assert!(Instant::now() < deadline, "containerd does not read {list:#}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
fn assert_ready(containerd: &Containerd) {
    let state = containerd.network().unwrap();
    assert_eq!((state.is_ready, state.reason.as_str()), (true, ""));
}

/// containerd has to say what the plugin says, and all of it.
#[track_caller]
fn assert_unready(containerd: &Containerd, reason: &str) {
    let state = containerd.network().unwrap();
    let said = format!("Network plugin returns error: {reason}");
    assert_eq!((state.is_ready, state.reason), (false, said));
}

/// What is said of the network of [`ipam`].
const FULL: &str = "network pods, range set 0 (10.1.2.10-10.1.2.11): all 2 addresses are taken; \
    a container has to leave, or the set needs another range; \
    /var/lib/cni/networks/pods says who holds them";

#[test]
fn a_full_pool_takes_no_pods_and_keeps_those_it_has() {
    let machine = Machine::new();
    machine.network(network(
        "1.1.0",
        json!({
            "type": "bridge", "isGateway": true, "ipMasq": true, "ipam": ipam()
        }),
    ));
    let before = machine.state();
    let containerd = Containerd::start(&machine, Release::Newest);
    assert_ready(&containerd);
    let a = containerd.pod("a");
    assert_ready(&containerd);
    let b = containerd.pod("b");
    assert_unready(&containerd, FULL);

    // The pods do not mind: they talk, start containers and serve.
    assert!(a.ping(&b.addresses()[0]) && b.ping("10.1.2.1"));
    let (client, _server) = (a.start(&["sleep", "1000000"]), b.serve());
    let page = client.exec(&["wget", "-qO-", &format!("http://{}/", b.addresses()[0])]);
    assert_eq!(page, "served by a pod\n");

    // Who asks for one more all the same hears why not.
    let refused = containerd.run_sandbox(&Sandbox::new("c")).unwrap_err();
    let reason = "failed to allocate for range 0: no IP addresses available in range set: \
        10.1.2.10-10.1.2.11; all 2 addresses are taken";
    assert!(refused.ends_with(reason), "{refused}");
    assert_eq!(machine.reservations(), ["pods/10.1.2.10", "pods/10.1.2.11"]);
    assert_unready(&containerd, FULL);

    drop(b);
    assert_ready(&containerd);
    let c = containerd.pod("c");
    assert!(a.ping(&c.addresses()[0]));
    assert_unready(&containerd, FULL);
    drop((a, c));
    assert_ready(&containerd);
    containerd.stop();
    insta::assert_snapshot!(machine.changes(&before));
}

#[test]
fn networks_before_1_1_0_are_not_asked() {
    let machine = Machine::new();
    machine.network(network("1.0.0", ptp(ipam())));
    let containerd = Containerd::start(&machine, Release::Newest);
    let (a, b) = (containerd.pod("a"), containerd.pod("b"));
    assert_ready(&containerd);
    // The pods stay when the network says another version, which is asked at once.
    configure(&machine, &containerd, &network("1.1.0", ptp(ipam())));
    assert_unready(&containerd, FULL);
    drop(a);
    assert_ready(&containerd);
    drop(b);
    assert_eq!(machine.reservations(), Vec::<String>::new());
}

/// Something that a network needs, and how it goes and comes back.
struct Need {
    plugin: Value,
    goes: &'static str,
    comes: &'static str,
    reason: &'static str,
}

fn needs() -> [Need; 6] {
    let macvlan = json!({ "type": "macvlan", "master": "eth7", "ipam": ipam() });
    [
        Need {
            plugin: macvlan.clone(),
            goes: "ip link del eth7",
            comes: "ip link add eth7 index 700 type veth peer name eth8
                ip link set eth8 up; ip link set eth7 up",
            reason: "Link not found: eth7; \"master\" has to be a link of the host",
        },
        Need {
            plugin: macvlan,
            goes: "ip link set eth7 down",
            comes: "ip link set eth7 up",
            reason: "use eth7 as the parent of macvlan links: eth7 is down; ip link set eth7 up",
        },
        Need {
            plugin: json!({ "type": "bridge", "bridge": "pods0", "ipam": ipam() }),
            goes: "ip link del pods0; ip link add pods0 type veth peer name eth9",
            comes: "ip link del pods0",
            reason: "use the bridge pods0: \"pods0\" already exists but is not a bridge (it is veth); \
                choose another name for \"bridge\", or remove the interface: ip link del pods0",
        },
        Need {
            plugin: ptp(ipam()),
            goes: "mv /opt/cni/bin/host-local /opt/cni/host-local",
            comes: "mv /opt/cni/host-local /opt/cni/bin/host-local",
            reason: "failed to find plugin \"host-local\" in path [/opt/cni/bin]; \
                install it in one of these folders, or set CNI_PATH",
        },
        Need {
            plugin: ptp(ipam()),
            goes: "mount -o remount,ro /var/lib/cni",
            comes: "mount -o remount,rw /var/lib/cni",
            reason: "write reservations in /var/lib/cni/networks/pods: /var/lib/cni/networks/pods: \
                Read-only file system (os error 30)",
        },
        Need {
            plugin: json!({ "type": "ptp", "ipMasq": true, "ipMasqBackend": "iptables", "ipam": ipam() }),
            // A device is no program.
            goes: "mount --bind /dev/null $(readlink -f /usr/sbin/iptables-save)",
            comes: "umount /usr/sbin/iptables-save",
            reason: "masquerade with iptables: iptables-save is in no folder of PATH, \
                nor in /usr/sbin:/sbin:/usr/local/sbin (No such file or directory (os error 2)); \
                install iptables, or set \"ipMasqBackend\": \"nftables\", which needs no program",
        },
    ]
}

#[test]
fn what_a_network_needs_is_missed_and_seen_again() {
    let machine = Machine::new();
    machine.sh(needs()[0].comes);
    machine.network(network("1.1.0", ptp(ipam())));
    let containerd = Containerd::start(&machine, Release::Newest);
    for (number, need) in needs().into_iter().enumerate() {
        let list = network("1.1.0", need.plugin);
        configure(&machine, &containerd, &list);
        assert_ready(&containerd);
        drop(containerd.pod(&format!("before{number}")));
        machine.sh(need.goes);
        assert_unready(&containerd, need.reason);
        // It is true: no pod starts.
        let unlucky = Sandbox::new(&format!("between{number}"));
        let refused = containerd.run_sandbox(&unlucky).expect_err(need.reason);
        machine.sh(need.comes);
        assert_ready(&containerd);
        drop(containerd.pod(&format!("after{number}")));
        // What is left of the pod that did not start goes as well.
        for sandbox in containerd.sandboxes() {
            containerd.remove_sandbox(&sandbox).expect(&refused);
        }
        assert_eq!(machine.reservations(), Vec::<String>::new(), "{refused}");
        assert_eq!(machine.namespaces(), Vec::<String>::new(), "{refused}");
    }
}

#[test]
fn a_pod_lives_on_and_leaves_while_its_network_is_out_of_order() {
    let machine = Machine::new();
    let [missing, down, ..] = needs();
    machine.sh(missing.comes);
    machine.network(network("1.1.0", down.plugin));
    let containerd = Containerd::start(&machine, Release::Newest);
    let (a, b) = (containerd.pod("a"), containerd.pod("b"));
    assert!(a.ping(&b.addresses()[0]));
    machine.sh(down.goes);
    assert_unready(&containerd, down.reason);
    // Commands still run in the pod, and it can be stopped.
    let shell = a.start(&["sleep", "1000000"]);
    assert!(shell.exec(&["ip", "addr"]).contains(&a.addresses()[0]));
    drop(a);
    assert_eq!(machine.reservations(), ["pods/10.1.2.11"]);
    // The other one is where it was as soon as the parent is.
    machine.sh(down.comes);
    assert_ready(&containerd);
    let c = containerd.pod("c");
    assert!(b.ping(&c.addresses()[0]));
    // Without the parent its link is gone, and so is the pod's: it leaves all the same.
    drop(c);
    machine.sh(missing.goes);
    assert_unready(&containerd, missing.reason);
    drop(b);
    assert_eq!(machine.reservations(), Vec::<String>::new());
}
