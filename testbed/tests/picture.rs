//! `scripts/picture` draws all that is there, and says so when it cannot.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests report by panicking"
)]

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use testbed::{Node, Output, Pod};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/picture");
const NAMES: [&str; 5] = ["left", "right", "one", "two", "three"];

/// Two nodes on a wire, the left one with containers on a bridge, on a routed wire and on the wire to the other node.
fn world() -> Node {
    let node = Node::new();
    let [left, right, one, two, three] = NAMES.map(|name| node.pod(name));
    left.sh("ip link add eth0 type veth peer name eth0 netns /run/netns/right
        ip addr add 192.0.2.1/24 dev eth0; ip addr add 2001:db8::1/64 dev eth0 nodad; ip link set eth0 up
        ip link add br0 mtu 1400 type bridge; ip addr add 10.1.1.1/24 dev br0; ip link set br0 up
        ip link add vethone master br0 type veth peer name eth0 netns /run/netns/one
        ip link set vethone up alias ferrocni:net/one/eth0
        ip link add vethtwo type veth peer name eth0 netns /run/netns/two
        ip link set vethtwo up; ip addr add 10.1.2.1/32 dev vethtwo; ip route add 10.1.2.2 dev vethtwo
        ip link add link eth0 name child netns /run/netns/three type macvlan mode bridge");
    right.sh("ip addr add 192.0.2.2/24 dev eth0; ip link set eth0 up
        ip route add 10.1.0.0/16 via 192.0.2.1 proto bird");
    one.sh(
        "ip addr add 10.1.1.2/24 dev eth0; ip link set eth0 up; ip route add default via 10.1.1.1",
    );
    two.sh(
        "ip addr add 10.1.2.2/32 dev eth0; ip link set eth0 up; ip addr add 203.0.113.1/32 dev lo",
    );
    three.sh("ip addr add '192.0.2.3/24' dev child; ip link set child name 'net<1>' up");
    node
}

fn picture(node: &Pod, arguments: &[&str]) -> Output {
    node.try_run(&[&["python3", SCRIPT], arguments].concat())
}

fn drawn(node: &Pod, arguments: &[&str]) -> String {
    let output = picture(node, arguments);
    assert!(output.status.success(), "{}", output.stderr);
    output.stdout
}

/// The elements of a class, as their text.
fn texts<'a>(svg: &'a str, class: &str) -> Vec<&'a str> {
    let start = format!("<text class=\"{class}\" ");
    let elements = svg.split(&start).skip(1);
    elements.map(|rest| rest.split_once('>').unwrap().1.split_once('<').unwrap().0).collect()
}

#[test]
fn every_link_address_and_wire_is_drawn_once() {
    let node = world();
    let svg = drawn(&node, &NAMES);
    // What the kernel says, without the script's eyes.
    let (mut links, mut addresses, mut wires) = (0, Vec::new(), 0);
    for name in NAMES {
        let shown = node.run(&["ip", "-n", name, "-j", "addr", "show", "up"]);
        let shown: Vec<Value> = serde_json::from_str(&shown).unwrap();
        // Of a link that is down it says nothing, in a pair of braces.
        for link in shown.iter().filter(|link| link["ifname"].is_string()) {
            let found = link["addr_info"].as_array().unwrap().iter();
            let found = found.filter(|address| matches!(address["scope"].as_str(), Some("global")));
            let found: Vec<String> = found
                .map(|a| format!("{}/{}", a["local"].as_str().unwrap(), a["prefixlen"]))
                .collect();
            let is_lo = link["ifname"] == "lo";
            links += usize::from(!is_lo);
            wires += usize::from(link["link_index"].is_u64() && link["ifname"] != "net<1>");
            addresses.extend(found);
        }
    }
    // The loopback interface that has an address of its own is down.
    addresses.push("203.0.113.1/32".to_owned());
    addresses.sort();
    let mut found = texts(&svg, "address");
    found.sort_unstable();
    assert_eq!(found, addresses);
    assert_eq!(svg.matches("<rect class=\"card\"").count(), links + 1);
    // Each veth pair once, the macvlan, and the bridge's port.
    assert_eq!(svg.matches("<path class=\"wire\"").count(), wires / 2 + 2);
    assert_eq!(texts(&svg, "title"), ["left", "right"], "the others are inside");
    let all: BTreeSet<&str> = texts(&svg, "name").into_iter().collect();
    assert!(all.contains("net&lt;1&gt;") && all.contains("three"), "{all:?}");
    let routes = texts(&svg, "text");
    for route in ["10.1.0.0/16 via 192.0.2.1 dev eth0 proto bird", "default via 10.1.1.1 dev eth0"]
    {
        assert!(routes.contains(&route), "{routes:?}");
    }
    assert!(!svg.contains("10.1.1.0/24"), "the kernel's own routes say nothing new");
    assert!(texts(&svg, "small").contains(&"ferrocni:net/one/eth0"));
}

#[test]
fn the_same_state_gives_the_same_picture() {
    let node = world();
    let svg = drawn(&node, &NAMES);
    assert_eq!(svg, drawn(&node, &["three", "two", "one", "right", "left"]));
    fs::write("/run/state.json", drawn(&node, &[&["--state"], &NAMES[..]].concat())).unwrap();
    assert_eq!(svg, drawn(&node, &["--from", "/run/state.json"]));
    drawn(&node, &[&["--out", "/run/picture.svg"], &NAMES[..]].concat());
    assert_eq!(svg, fs::read_to_string("/run/picture.svg").unwrap());
    // Without names it is this namespace and all others.
    let all = drawn(&node, &[]);
    assert_eq!(texts(&all, "title").len(), 3, "the node's own namespace too");
    node.sh("ip -n one addr add 10.1.1.9/24 dev eth0");
    assert_ne!(svg, drawn(&node, &NAMES));
}

#[test]
fn a_tunnel_joins_what_its_routes_lead_to() {
    let node = Node::new();
    let tunnel = |name: &str, address: &str, other: &str| {
        let link = |name: &str, kind: &str, addresses: Value, gateways: Value| {
            json!({ "name": name, "kind": kind, "up": true, "mtu": 1480, "addresses": addresses,
                "gateways": gateways, "alias": null, "master": null })
        };
        let links = [
            link("eth0", "physical", json!([address]), json!([])),
            link("tunl0", "ipip", json!([]), json!([other])),
        ];
        json!({ "name": name, "links": links, "routes": [], "services": [] })
    };
    let state = |to: &str| {
        let namespaces =
            [tunnel("a", "192.0.2.1/24", "192.0.2.2"), tunnel("b", "192.0.2.2/24", to)];
        fs::write("/run/state.json", json!({ "namespaces": namespaces }).to_string()).unwrap();
        drawn(&node, &["--from", "/run/state.json"])
    };
    assert_eq!(texts(&state("192.0.2.1"), "label"), ["ipip 192.0.2.1 – 192.0.2.2"]);
    // The other end does not know the way back.
    assert_eq!(texts(&state("192.0.2.9"), "label"), ["ipip ? – 192.0.2.2"]);
}

#[test]
fn what_cannot_be_drawn_is_an_error_that_says_why() {
    let node = world();
    let fails = |arguments: &[&str], why: &str| {
        let output = picture(&node, arguments);
        assert_eq!(output.status.code(), Some(1), "{}", output.stderr);
        assert!(output.stdout.is_empty());
        assert!(
            output.stderr.contains(why) && !output.stderr.contains("Traceback"),
            "{}",
            output.stderr
        );
    };
    fails(&["nowhere"], "nowhere: ip: Cannot open network namespace");
    fails(&["--from", "/run/nothing.json"], "No such file");
    let state: Value =
        serde_json::from_str(&drawn(&node, &[&["--state"], &NAMES[..]].concat())).unwrap();
    let broken = |pointer: &str, value: Value| {
        let mut state = state.clone();
        *state.pointer_mut(pointer).unwrap() = value;
        fs::write("/run/state.json", state.to_string()).unwrap();
    };
    // left: br0, eth0, vethone, vethtwo.
    broken("/namespaces/0/links/2/master", json!("br9"));
    fails(&["--from", "/run/state.json"], "left/vethone is joined to left/br9, which is not there");
    broken("/namespaces/0/links/1/peer", json!("right/eth9"));
    fails(&["--from", "/run/state.json"], "left/eth0 is joined to right/eth9, which is not there");
    broken("/namespaces/0/links/1", json!({ "name": "eth0" }));
    fails(&["--from", "/run/state.json"], "is not what --state prints");
    fs::write("/run/state.json", "{").unwrap();
    fails(&["--from", "/run/state.json"], "is not what --state prints");
}
