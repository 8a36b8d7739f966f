//! containerd 2.1 calls STATUS of the plugins of a network of version 1.1.0, whenever the kubelet
//! requests its own status, and reports the outcome to the kubelet. A node whose network cannot
//! serve a pod then gets none.
#![cfg(test)]

mod asked;
mod witness;

use std::time::{Duration, Instant};

use e2e::{Containerd, Machine, NetworkState, Release, Sandbox};
use serde_json::{Value, json};

/// A network with one plugin.
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

/// As [`ipam`], but STATUS fails while both addresses are allocated.
fn strict() -> Value {
    let mut ipam = ipam();
    ipam["statusWhenFull"] = "unavailable".into();
    ipam
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

/// containerd must report the complete message of the plugin.
#[track_caller]
fn assert_unready(containerd: &Containerd, reason: &str) {
    let state = containerd.network().unwrap();
    let said = format!("Network plugin returns error: {reason}");
    assert_eq!((state.is_ready, state.reason), (false, said));
}

/// The message about the network of [`strict`].
const FULL: &str = "network pods, range set 0 (10.1.2.10-10.1.2.11): all 2 addresses are taken; \
                    Run \"cnitool ls pods\" to see who holds them; remove containers, or give the \
                    set another range";

/// The message for an ADD of one more pod.
const REFUSED: &str = "failed to allocate for range 0: no IP addresses available in range set: \
                       10.1.2.10-10.1.2.11; all 2 addresses are taken, and by /var/lib/cni/results \
                       none of them looks leaked. Run \"cnitool ls pods\" to see who holds them \
                       and how to release what is leaked";

/// A node that is not ready loses its pods. So it stays ready when its pool is full, and a pod
/// without an address waits for one.
#[test]
fn a_node_with_a_full_pool_stays_ready() {
    let machine = Machine::new();
    machine
        .network(network("1.1.0", json!({ "type": "bridge", "isGateway": true, "ipam": ipam() })));
    let containerd = Containerd::start(&machine, Release::Newest);
    assert_ready(&containerd);
    let (a, b) = (containerd.pod("a"), containerd.pod("b"));
    assert_ready(&containerd);
    let refused = containerd.run_sandbox(&Sandbox::new("c")).unwrap_err();
    assert!(refused.ends_with(REFUSED), "{refused}");
    assert_ready(&containerd);
    assert!(a.ping(&b.addresses()[0]) && b.ping("10.1.2.1"));
    drop(b);
    let c = containerd.pod("c");
    assert!(a.ping(&c.addresses()[0]));
    assert_ready(&containerd);
}

/// The opposite, for operators who configure it.
#[test]
fn a_full_pool_takes_no_pods_and_keeps_those_it_has() {
    let machine = Machine::new();
    machine.network(network(
        "1.1.0",
        json!({
            "type": "bridge", "isGateway": true, "ipMasq": true, "ipam": strict()
        }),
    ));
    let before = machine.state();
    let containerd = Containerd::start(&machine, Release::Newest);
    assert_ready(&containerd);
    let a = containerd.pod("a");
    assert_ready(&containerd);
    let b = containerd.pod("b");
    assert_unready(&containerd, FULL);

    // The pods are not affected: they communicate, start containers and serve.
    assert!(a.ping(&b.addresses()[0]) && b.ping("10.1.2.1"));
    let (client, _server) = (a.start(&["sleep", "1000000"]), b.serve());
    let page = client.exec(&["wget", "-qO-", &format!("http://{}/", b.addresses()[0])]);
    assert_eq!(page, "served by a pod\n");

    // A request for one more pod gets the reason.
    let refused = containerd.run_sandbox(&Sandbox::new("c")).unwrap_err();
    assert!(refused.ends_with(REFUSED), "{refused}");
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
    machine.network(network("1.0.0", ptp(strict())));
    let containerd = Containerd::start(&machine, Release::Newest);
    let (a, b) = (containerd.pod("a"), containerd.pod("b"));
    assert_ready(&containerd);
    // The pods stay when the network's configuration has another version, which containerd uses at
    // once.
    configure(&machine, &containerd, &network("1.1.0", ptp(strict())));
    assert_unready(&containerd, FULL);
    drop(a);
    assert_ready(&containerd);
    drop(b);
    assert_eq!(machine.reservations(), Vec::<String>::new());
}

/// A requirement of a network, and how it disappears and returns.
struct Need {
    plugin: Value,
    goes: &'static str,
    comes: &'static str,
    reason: &'static str,
}

fn needs() -> [Need; 5] {
    let macvlan = json!({ "type": "macvlan", "master": "eth7", "ipam": ipam() });
    [
        Need {
            plugin: macvlan,
            goes: "ip link del eth7",
            comes: "ip link add eth7 index 700 type veth peer name eth8
                ip link set eth8 up; ip link set eth7 up",
            reason: "Link not found: eth7; \"master\" has to be a link of the host",
        },
        Need {
            plugin: json!({ "type": "bridge", "bridge": "pods0", "ipam": ipam() }),
            goes: "ip link del pods0; ip link add pods0 type veth peer name eth9",
            comes: "ip link del pods0",
            reason: "use the bridge pods0: \"pods0\" already exists but is not a bridge (it is \
                     veth); set \"bridge\" to a name that no interface has",
        },
        Need {
            plugin: ptp(ipam()),
            goes: "mv /opt/cni/bin/host-local /opt/cni/host-local",
            comes: "mv /opt/cni/host-local /opt/cni/bin/host-local",
            reason: "failed to find plugin \"host-local\" in path [/opt/cni/bin]; install it in \
                     one of these folders, or set CNI_PATH",
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
            // A device is not a program.
            goes: "mount --bind /dev/null $(readlink -f /usr/sbin/iptables-save)",
            comes: "umount /usr/sbin/iptables-save",
            reason: "masquerade with iptables: iptables-save is in no directory of PATH, nor in \
                     /usr/sbin:/sbin:/usr/local/sbin (No such file or directory (os error 2)); \
                     install iptables, or set \"ipMasqBackend\": \"nftables\", which needs no \
                     program",
        },
    ]
}

#[test]
fn status_reports_missing_requirements_until_they_are_restored() {
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
        // STATUS is right: no pod starts.
        let unlucky = Sandbox::new(&format!("between{number}"));
        let refused = containerd.run_sandbox(&unlucky).expect_err(need.reason);
        machine.sh(need.comes);
        assert_ready(&containerd);
        drop(containerd.pod(&format!("after{number}")));
        // What is left of the pod that did not start is removed, too.
        for sandbox in containerd.sandboxes() {
            containerd.remove_sandbox(&sandbox).expect(&refused);
        }
        assert_eq!(machine.reservations(), Vec::<String>::new(), "{refused}");
        assert_eq!(machine.namespaces(), Vec::<String>::new(), "{refused}");
    }
}

/// A parent that is down does not fail STATUS: a node that is not ready starts no pod, and loses
/// its pods.
#[test]
fn pods_start_over_a_parent_that_is_down_and_reach_each_other_when_it_comes_up() {
    let machine = Machine::new();
    let [missing, ..] = needs();
    machine.sh(missing.comes);
    machine.network(network("1.1.0", missing.plugin));
    machine.sh("ip link set eth7 down");
    let containerd = Containerd::start(&machine, Release::Newest);
    assert_ready(&containerd);
    let (a, b) = (containerd.pod("a"), containerd.pod("b"));
    assert_ready(&containerd);
    // Commands run in the pod, and it can be stopped.
    let shell = a.start(&["sleep", "1000000"]);
    assert!(shell.exec(&["ip", "addr"]).contains(&a.addresses()[0]));
    drop(a);
    assert_eq!(machine.reservations(), ["pods/10.1.2.11"]);
    machine.sh("ip link set eth7 up");
    let c = containerd.pod("c");
    assert!(b.ping(&c.addresses()[0]) && c.ping(&b.addresses()[0]));
    // Without the parent its link is gone, and so is the pod's; DEL succeeds anyway.
    drop(c);
    machine.sh(missing.goes);
    assert_unready(&containerd, missing.reason);
    drop(b);
    assert_eq!(machine.reservations(), Vec::<String>::new());
}
