//! Pods reach each other, the machine and the outside, over IPv4 and IPv6 and from the first packet
//! on; and nothing else.

use std::net::IpAddr;

use e2e::{Containerd, Machine, Pod, Release};
use serde_json::{Value, json};
use testbed::Outside;

use crate::networks::{self, with};
use crate::scene::{Scene, results};

/// The machine's addresses on the link to the outside.
const MACHINE: [&str; 2] = ["192.0.2.1", "2001:db8:ffff::1"];

#[test]
fn over_a_bridge() {
    insta::assert_snapshot!(behind_the_machine(networks::bridge()));
}

#[test]
fn over_routed_veth_pairs() {
    insta::assert_snapshot!(behind_the_machine(networks::ptp()));
}

/// Two pods of a network with the machine as the default gateway. Returns what stays behind.
fn behind_the_machine(network: Value) -> String {
    let machine = Machine::new();
    let outside = machine.outside();
    machine.network(network);
    let before = machine.state();
    let containerd = Containerd::start(&machine, Release::asked());
    let (a, b) = (containerd.pod("a"), containerd.pod("b"));
    reach_each_other(&machine, &a, &b);
    are_masqueraded(&machine, &outside, &a);
    are_reached_from_outside(&outside, &b);
    drop((a, b));
    stays(&machine, containerd, &before)
}

#[test]
fn on_the_network_of_the_machine() {
    let machine = Machine::new();
    let outside = machine.outside();
    machine.network(networks::macvlan());
    let before = machine.state();
    let containerd = Containerd::start(&machine, Release::asked());
    let (a, b) = (containerd.pod("a"), containerd.pod("b"));
    for (address, outside_address) in b.addresses().iter().zip([outside.v4, outside.v6]) {
        assert!(a.ping(address), "from pod to pod, {address}");
        assert!(outside.ping(address), "from the wire to the pod, {address}");
        let seen = b.tcp(&outside, ip(outside_address), 10_000).unwrap();
        assert_eq!(seen.from.ip(), ip(address), "nothing is translated");
        assert!(!machine.ping(address), "a parent does not reach its own children, {address}");
    }
    drop((a, b));
    insta::assert_snapshot!(stays(&machine, containerd, &before));
}

#[test]
fn on_the_network_of_the_machine_and_the_machine_too() {
    let machine = Machine::new();
    let outside = machine.outside();
    machine.network(with(networks::macvlan(), json!({ "hostAccess": true })));
    let before = machine.state();
    let containerd = Containerd::start(&machine, Release::asked());
    let (a, b) = (containerd.pod("a"), containerd.pod("b"));
    reach_each_other(&machine, &a, &b);
    for (own, theirs) in MACHINE.iter().zip([outside.v4, outside.v6]) {
        assert!(a.ping(own), "from the pod to the machine, {own}");
        assert!(a.ping(theirs), "from the pod to the wire, {theirs}");
    }
    drop((a, b));
    insta::assert_snapshot!(stays(&machine, containerd, &before));
}

#[test]
fn without_masquerade_other_hosts_have_no_route_back() {
    let scene = Scene::new(&with(networks::bridge(), json!({ "ipMasq": false })));
    let Scene { containerd, outside, .. } = &scene;
    let pod = containerd.pod("a");
    assert!(!pod.ping(outside.v4) && !pod.ping(outside.v6));
    the_way(outside, "add", &pod);
    for (address, outside_address) in pod.addresses().iter().zip([outside.v4, outside.v6]) {
        let seen = pod.tcp(outside, ip(outside_address), 10_000).unwrap();
        assert_eq!(seen.from.ip(), ip(address), "nothing is translated");
    }
    the_way(outside, "del", &pod);
    drop(pod);
    scene.is_clean();
}

#[test]
fn a_stopped_pod_does_not_answer() {
    let scene = Scene::new(&networks::bridge());
    let Scene { containerd, machine, .. } = &scene;
    let (stopped, other) = (containerd.pod("stopped"), containerd.pod("other"));
    assert!(stopped.addresses().iter().all(|address| machine.ping(address) && other.ping(address)));
    containerd.stop_sandbox(stopped.id()).unwrap();
    for address in stopped.addresses() {
        assert!(!machine.ping(address), "{address}");
        assert!(!other.ping(address), "{address}");
    }
    assert!(other.addresses().iter().all(|address| machine.ping(address)));
    drop((stopped, other));
    scene.is_clean();
}

/// Two bridges without a gateway and with the same addresses: no route leads from one to the other.
#[test]
fn networks_without_a_gateway_do_not_mix() {
    let machine = Machine::new();
    machine.outside();
    let before = machine.state();
    let containerd = Containerd::start(&machine, Release::asked());
    let network = |name: &str, first: &str| {
        let range = json!({ "subnet": "10.99.0.0/24", "rangeStart": first });
        json!({ "cniVersion": "1.0.0", "name": name, "plugins": [{
            "type": "bridge", "bridge": name, "ipam": { "type": "host-local", "ranges": [[range]] }
        }]})
    };
    let (red, blue) = (network("red", "10.99.0.10"), network("blue", "10.99.0.20"));
    containerd.network_on(&machine, &red);
    let reds = [containerd.pod("red1"), containerd.pod("red2")];
    machine.forget("red");
    containerd.network_on(&machine, &blue);
    let blues = [containerd.pod("blue1"), containerd.pod("blue2")];
    for [one, other] in [&reds, &blues] {
        assert!(one.ping(&other.addresses()[0]), "within a network");
    }
    assert!(!reds[0].ping(&blues[0].addresses()[0]) && !blues[0].ping(&reds[0].addresses()[0]));
    drop(blues);
    machine.forget("blue");
    // containerd detaches a pod from the network that is configured at that time.
    containerd.network_on(&machine, &red);
    drop(reds);
    insta::assert_snapshot!(stays(&machine, containerd, &before));
}

/// What stays of a network when all its pods are gone; nothing of the pods stays.
fn stays(machine: &Machine, containerd: Containerd, before: &str) -> String {
    containerd.stop();
    assert_eq!(machine.namespaces(), ["outside"]);
    assert_eq!(results(machine), [""; 0]);
    machine.changes(before)
}

/// Pods reach each other and their servers, and so does the machine.
fn reach_each_other(machine: &Machine, a: &Pod<'_>, b: &Pod<'_>) {
    assert_eq!([a.addresses().len(), b.addresses().len()], [2, 2], "one of each family");
    for address in b.addresses() {
        assert!(a.ping(address), "from pod to pod, {address}");
        assert!(machine.ping(address), "from the machine, {address}");
    }
    for (address, machines) in a.addresses().iter().zip(MACHINE) {
        let seen = a.tcp(machine, ip(machines), 10_000).unwrap();
        assert_eq!(seen.from.ip(), ip(address), "the machine sees the pod's own address");
    }
    let (client, _server) = (a.start(&["sleep", "1000000"]), b.serve());
    for url in urls(b) {
        assert_eq!(client.exec(&["wget", "-qO-", &url]), "served by a pod\n", "{url}");
        assert_eq!(machine.run(&["busybox", "wget", "-qO-", &url]), "served by a pod\n", "{url}");
    }
}

/// An outside machine without a route to pods sees the machine's address.
fn are_masqueraded(machine: &Machine, outside: &Outside, pod: &Pod<'_>) {
    for (theirs, machines) in [outside.v4, outside.v6].iter().zip(MACHINE) {
        assert!(pod.ping(theirs), "to the outside, {theirs}");
        let seen = pod.tcp(outside, ip(theirs), 10_000).unwrap();
        assert_eq!(seen.from.ip(), ip(machines), "the outside sees the machine's address");
    }
    let server = "busybox httpd -p 8080 -h /run/testbed/www";
    machine.sh("mkdir /run/testbed/www; echo served outside >/run/testbed/www/index.html");
    outside.sh(server);
    let client = pod.start(&["sleep", "1000001"]);
    for authority in [outside.v4.to_owned(), format!("[{}]", outside.v6)] {
        let page = client.exec(&["wget", "-qO-", &format!("http://{authority}:8080/")]);
        assert_eq!(page, "served outside\n");
    }
}

/// An outside machine with a route to a pod reaches its server.
fn are_reached_from_outside(outside: &Outside, pod: &Pod<'_>) {
    the_way(outside, "add", pod);
    for (address, url) in pod.addresses().iter().zip(urls(pod)) {
        assert!(outside.ping(address), "from outside, {address}");
        assert_eq!(outside.run(&["busybox", "wget", "-qO-", &url]), "served by a pod\n", "{url}");
    }
    the_way(outside, "del", pod);
}

/// Adds or removes a route to the pod on an outside machine.
fn the_way(outside: &Outside, verb: &str, pod: &Pod<'_>) {
    for (address, machines) in pod.addresses().iter().zip(MACHINE) {
        outside.run(&["ip", "route", verb, address, "via", machines]);
    }
}

/// The pages of a pod, at each of its addresses.
fn urls(pod: &Pod<'_>) -> Vec<String> {
    let url = |address: &String| match ip(address) {
        IpAddr::V4(address) => format!("http://{address}/"),
        IpAddr::V6(address) => format!("http://[{address}]/"),
    };
    pod.addresses().iter().map(url).collect()
}

fn ip(address: &str) -> IpAddr {
    address.parse().unwrap()
}
