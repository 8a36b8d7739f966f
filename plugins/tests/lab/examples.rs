//! The network of `docs/examples` that needs a tunnel works unchanged.

use std::fs;
use std::path::Path;

use serde_json::Value;

#[test]
fn bridge_and_ipip_as_in_the_examples() {
    let node = crate::node();
    let (peer, a, b) = (node.pod("peer"), node.pod("a"), node.pod("b"));
    node.sh("ip link add eth0 index 1000 type veth peer name eth0 netns /run/netns/peer
        ip addr add 192.0.2.1/24 dev eth0
        ip link set eth0 up
        ip route add default via 192.0.2.2
        mkdir -p /etc/cni/net.d");
    // The peer on the same link is a router too, and the other peer is behind it.
    peer.sh("ip addr add 192.0.2.2/24 dev eth0
        ip addr add 198.51.100.3/32 dev lo
        ip addr add 10.246.2.1/32 dev lo
        ip link set eth0 up; ip link set lo up
        ip link add probe type ipip local 192.0.2.2 && ip link del probe
        ip link set tunl0 up; ip addr add 10.246.3.1/32 dev tunl0
        ip route add 10.246.1.0/24 via 192.0.2.1");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
    let file = "10-bridge-ipip.conflist";
    fs::copy(examples.join(file), Path::new("/etc/cni/net.d").join(file)).unwrap();
    let path = format!("CNI_PATH={}", testbed::bin().display());
    let cnitool = testbed::binary("cnitool");
    let cnitool = |args: &[&str]| {
        let command = ["env", "-u", "NETCONFPATH", &path, cnitool.to_str().unwrap()];
        node.run(&[&command[..], args].concat())
    };
    cnitool(&["status", "cluster"]);
    let addresses = ["a", "b"].map(|pod| {
        let result: Value = serde_json::from_str(&cnitool(&["add", "cluster", pod])).unwrap();
        result["ips"][0]["address"].as_str().unwrap().to_owned()
    });
    assert_eq!(addresses, ["10.246.1.2/24", "10.246.1.3/24"]);
    assert!(a.ping(&addresses[1]) && b.ping(&addresses[0]) && node.ping(&addresses[0]));
    // Directly to the peer on the link, through the tunnel to the other one.
    let tunnelled = peer.count("eth0", "ip protocol 4", || assert!(a.ping("10.246.2.1")));
    assert_eq!(tunnelled, 0);
    let tunnelled = peer.count("eth0", "ip protocol 4", || assert!(a.ping("10.246.3.1")));
    assert!(tunnelled > 0);
    for pod in ["a", "b"] {
        cnitool(&["check", "cluster", pod]);
        cnitool(&["del", "cluster", pod]);
    }
    // GC, which this version added, removes the network's own objects.
    node.sh(&format!("sed -i s/1.0.0/1.1.0/ /etc/cni/net.d/{file}"));
    cnitool(&["gc", "cluster"]);
    let left = node.sh("ip -o link; ip route; ls /var/lib/cni/results");
    assert!(!left.contains("ferrocni:") && !left.contains("10.246.3.0"), "{left}");
}
