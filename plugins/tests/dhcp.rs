//! The reference's `dhcp` requests addresses over the container's interface, so the interface must
//! exist before. Tested with its daemon and a real server on the network.
#![cfg(test)]

use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::{Cni, Node, Outside, Pod};

const SOCKET: &str = "/run/dhcp.sock";

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn start(mut command: Command) -> Running {
    Running(command.spawn().unwrap())
}

/// A node with the daemon, and a server on its network with one free address.
fn network() -> (Node, Outside, [Running; 2]) {
    let node = Node::new();
    let outside = node.outside();
    fs::write(
        "/run/udhcpd.conf",
        "start 192.0.2.50\nend 192.0.2.50\ninterface eth0\nlease_file /run/udhcpd.leases\npidfile \
         /run/udhcpd.pid\noption subnet 255.255.255.0\noption router 192.0.2.2\noption lease 600\n",
    )
    .unwrap();
    fs::write("/run/udhcpd.leases", "").unwrap();
    let mut server = outside.command("busybox");
    server.args(["udhcpd", "-f", "/run/udhcpd.conf"]);
    let mut daemon = node.command(testbed::reference().join("dhcp").to_str().unwrap());
    daemon.args(["daemon", "-socketpath", SOCKET, "-timeout", "2s", "-resendmax", "2s"]);
    let running = [start(server), start(daemon)];
    let deadline = Instant::now() + Duration::from_secs(10);
    while !Path::new(SOCKET).exists() {
        assert!(Instant::now() < deadline, "the daemon does not start");
        std::thread::yield_now();
    }
    (node, outside, running)
}

fn call(node: &Node, keys: Value, pod: &Pod) -> Cni {
    let mut config = json!({
        "cniVersion": "1.0.0", "name": "lan", "ipam": { "type": "dhcp", "daemonSocketPath": SOCKET }
    });
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    let plugin = config["type"].as_str().unwrap().to_owned();
    let call = node.plugin(&plugin).conf(config).container(pod.name()).netns(pod);
    call.env("CNI_PATH", testbed::reference())
}

fn leased_by(node: &Node, outside: &Outside, keys: &Value) {
    let pod = node.pod("a");
    let before = node.state();
    let call = call(node, keys.clone(), &pod);
    let result = call.add().ok();
    assert_eq!(result["ips"][0]["address"], "192.0.2.50/24", "{result}");
    assert!(pod.sh("ip -4 addr show dev eth0").contains("192.0.2.50/24"));
    assert!(pod.ping(outside.v4) && outside.ping("192.0.2.50"));
    assert!(pod.sh("ip route").contains("default via 192.0.2.2 dev eth0"));
    let call = call.prev(&result);
    call.check().ok();
    call.del().ok();
    testbed::assert_same!(wires(&before), wires(&node.state()));
    node.delete(&pod);
}

/// The links of a state, without shared ones.
fn wires(state: &str) -> String {
    let lines = state.lines().filter(|line| line.starts_with("link ") && !line.contains("cni0"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn addresses_come_from_a_server_on_the_network() {
    let (node, outside, _running) = network();
    leased_by(&node, &outside, &json!({ "type": "macvlan", "master": "uplink" }));
    // The server gives the same address again, because it was released.
    leased_by(&node, &outside, &json!({ "type": "macvlan", "master": "uplink" }));
    node.sh("ip link add cni0 type bridge; ip link set cni0 up; ip link set uplink master cni0");
    leased_by(&node, &outside, &json!({ "type": "bridge" }));
}

#[test]
fn without_a_server_nothing_is_left() {
    let (node, _outside, running) = network();
    let [server, _daemon] = running;
    drop(server);
    let pod = node.pod("a");
    let before = node.state();
    let failed = call(&node, json!({ "type": "macvlan", "master": "uplink" }), &pod);
    let (_, msg, _) = failed.add().err();
    assert!(msg.contains("DHCP"), "{msg}");
    testbed::assert_same!(wires(&before), wires(&node.state()));
}

/// The MAC address differs, so that the kernel accepts it: the daemon would forget the first lease.
#[test]
fn a_second_add_leaves_the_lease_alone() {
    let (node, outside, _running) = network();
    let (a, b) = (node.pod("a"), node.pod("b"));
    let first = call(&node, json!({ "type": "macvlan", "master": "uplink" }), &a);
    let result = first.add().ok();
    let before = node.state();
    let mac = json!({ "type": "macvlan", "master": "uplink", "mac": "02:00:5e:10:00:07" });
    let (_, msg, _) = call(&node, mac, &b).container(a.name()).add().err();
    assert_eq!(msg, "container a is attached as eth0 to network lan already");
    testbed::assert_same!(before, node.state());
    assert!(a.ping(outside.v4) && outside.ping("192.0.2.50"));
    first.clone().prev(&result).check().ok();
    first.prev(&result).del().ok();
}
