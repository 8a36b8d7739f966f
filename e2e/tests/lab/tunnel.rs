//! Two nodes behind a router, each with its own containerd, whose pods reach each other through
//! IP-in-IP tunnels.

use std::fs;
use std::net::Ipv4Addr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use e2e::{Containerd, Machine, Pod, Release};
use serde_json::{Value, json};

/// One end of the channel between the threads of the two nodes.
struct Other {
    tell: Sender<String>,
    hear: Receiver<String>,
}

impl Other {
    fn both() -> [Other; 2] {
        let (tell_second, second_hears) = channel();
        let (tell_first, first_hears) = channel();
        [
            Other { tell: tell_second, hear: first_hears },
            Other { tell: tell_first, hear: second_hears },
        ]
    }

    /// Waits until the other node arrives here, and returns its message.
    fn meet(&self, text: &str) -> String {
        self.tell.send(text.to_owned()).expect("the other node has failed");
        self.hear.recv().expect("the other node has failed")
    }
}

fn node_address(number: u8) -> String {
    format!("172.18.{number}.10")
}

/// The list that both nodes have.
fn network(number: u8) -> Value {
    let peer = |n| json!({ "node": node_address(n), "podCIDRs": [format!("10.244.{n}.0/24")] });
    let bridge = json!({
        "type": "bridge", "bridge": "cni0", "isDefaultGateway": true,
        "ipMasq": true, "ipMasqBeyond": ["10.244.0.0/16"],
        "ipam": { "type": "host-local", "subnet": format!("10.244.{number}.0/24") }
    });
    let ipip = json!({ "type": "ipip", "peers": [peer(1), peer(2)] });
    // containerd 1.6 reads only the first key; cnitool uses the best version, which has GC.
    json!({
        "cniVersion": "1.0.0", "cniVersions": ["1.0.0", "1.1.0"], "name": "pods",
        "plugins": [bridge, ipip]
    })
}

/// Connects the machine to the router, which belongs to the first node.
fn wire(machine: &Machine, number: u8, other: &Other) -> testbed::Pod {
    if number == 1 {
        machine.pod("router").sh("ip link set lo up; sysctl -qw net.ipv4.ip_forward=1");
    }
    // Files in the other node's mount namespace are visible through its thread.
    let thread = fs::read_link("/proc/thread-self").unwrap();
    let others = other.meet(&format!("/proc/{}/root", thread.display()));
    let root = if number == 1 { "" } else { &others };
    let router = testbed::Pod::at("router", format!("{root}/run/netns/router"));
    let (path, address) = (router.path().display(), node_address(number));
    // One segment in a packet, as between real machines.
    machine.sh(&format!(
        "ip link add uplink index 1000 type veth peer name node{number} netns {path}
         ip addr add {address}/24 dev uplink; ip link set uplink up gso_max_segs 1"
    ));
    router.sh(&format!(
        "ip addr add 172.18.{number}.1/24 dev node{number}; ip link set node{number} up"
    ));
    machine.sh(&format!("ip route add default via 172.18.{number}.1"));
    other.meet("wired");
    router
}

/// Packets of the tunnel whose inner packets are from a pod to a pod.
fn tunnelled(number: u8, from: &str, to: &str) -> String {
    let bits = |address: &str| u32::from(address.parse::<Ipv4Addr>().unwrap());
    let (node, other) = (node_address(number), node_address(3 - number));
    let (from, to) = (bits(from), bits(to));
    format!("ip protocol 4 ip saddr {node} ip daddr {other} @th,96,32 {from} @th,128,32 {to}")
}

/// Whether a ping with an IP packet of this size succeeds. Fragmentation is allowed if `df` is
/// `dont`.
fn ping_of(pod: &Pod<'_>, bytes: u32, df: &str, to: &str) -> bool {
    let size = (bytes - 28).to_string();
    let ping = ["ping", "-n", "-c1", "-W1", "-M", df, "-s", &size, to];
    pod.try_run(&ping).status.success()
}

/// The steps on each of the two nodes. Returns what is left after the pod is gone, and after GC.
fn node(number: u8, other: &Other) -> [String; 2] {
    let machine = Machine::new();
    let router = wire(&machine, number, other);
    machine.network(network(number));
    let before = machine.state();
    let containerd = Containerd::start(&machine, Release::Stable);
    let pod = containerd.pod(&format!("pod{number}"));
    let server = pod.serve();
    let own = pod.addresses()[0].clone();
    let theirs = other.meet(&own);

    let port = format!("node{number}");
    let talk = || {
        assert!(pod.ping(&theirs), "{own} to {theirs}");
        let page = server.exec(&["wget", "-qO-", &format!("http://{theirs}/")]);
        assert_eq!(page, "served by a pod\n");
    };
    if number == 1 {
        // The first of them is the first packet between the nodes.
        let through = router.count(&port, &tunnelled(number, &own, &theirs), talk);
        assert!(through > 5, "{through} packets in the tunnel");
        let around = router.count(&port, "ip saddr 10.244.0.0/16", talk);
        assert_eq!(around, 0, "packets around the tunnel");
        other.meet("");
    } else {
        other.meet("");
        talk();
    }
    assert!(ping_of(&pod, 1480, "do", &theirs), "what fits");
    assert!(!ping_of(&pod, 1481, "do", &theirs), "what does not fit");
    assert!(ping_of(&pod, 4000, "dont", &theirs), "what may be broken up");
    assert!(machine.ping(&theirs), "from the node to the other's pod");

    let cnitool = testbed::binary("cnitool").display().to_string();
    let gc = || machine.run(&[&cnitool, "gc", "pods"]);
    // The runtime's cache tells which pods exist.
    assert_eq!(gc(), "");
    assert!(pod.ping(&theirs), "after a GC, {own} to {theirs}");
    other.meet("");
    drop(pod);
    containerd.stop();
    let left = machine.changes(&before);
    gc();
    let after_gc = machine.changes(&before);
    // The router belongs to the first node, and ends with it.
    other.meet("");
    [left, after_gc]
}

#[test]
fn pods_of_two_nodes_meet() {
    let [first, second] = Other::both();
    let left = thread::scope(|scope| {
        let second = thread::Builder::new()
            .name("node 2".to_owned())
            .spawn_scoped(scope, move || node(2, &second))
            .unwrap();
        let left = node(1, &first);
        drop(first);
        second.join().unwrap();
        left
    });
    let [left, after_gc] = left;
    insta::assert_snapshot!("a_pod_is_gone", left);
    insta::assert_snapshot!("after_gc", after_gc);
}
