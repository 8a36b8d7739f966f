//! `scripts/picture` draws all objects, and reports an error if it cannot.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use testbed::{Node, Output, Pod};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/picture");
const NAMES: [&str; 5] = ["left", "right", "one", "two", "three"];

/// Two connected nodes. The left one has containers on a bridge, on a routed veth pair, and on the
/// link to the other node.
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

/// The texts of the elements of a class.
fn texts<'a>(svg: &'a str, class: &str) -> Vec<&'a str> {
    let start = format!("<text class=\"{class}\" ");
    let elements = svg.split(&start).skip(1);
    elements.map(|rest| rest.split_once('>').unwrap().1.split_once('<').unwrap().0).collect()
}

#[test]
fn every_link_address_and_veth_pair_is_drawn_once() {
    let node = world();
    let svg = drawn(&node, &NAMES);
    // The kernel's own list, independent of the script.
    let (mut links, mut addresses, mut wires) = (0, Vec::new(), 0);
    for name in NAMES {
        let shown = node.run(&["ip", "-n", name, "-j", "addr", "show", "up"]);
        let shown: Vec<Value> = serde_json::from_str(&shown).unwrap();
        // For a link that is down, it prints an empty pair of braces.
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
    // The loopback interface with an additional address is down.
    addresses.push("203.0.113.1/32".to_owned());
    addresses.sort();
    let mut found = texts(&svg, "address");
    found.sort_unstable();
    assert_eq!(found, addresses);
    assert_eq!(svg.matches("<rect class=\"card\"").count(), links + 1);
    // Each veth pair once, the macvlan link, and the bridge port.
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
    // Without names the script draws this namespace and all others.
    let all = drawn(&node, &[]);
    assert_eq!(texts(&all, "title").len(), 3, "the node's own namespace too");
    node.sh("ip -n one addr add 10.1.1.9/24 dev eth0");
    assert_ne!(svg, drawn(&node, &NAMES));
}

#[test]
fn a_tunnel_is_joined_to_the_targets_of_its_routes() {
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
    // The other end has no route back.
    assert_eq!(texts(&state("192.0.2.9"), "label"), ["ipip ? – 192.0.2.2"]);
}

/// An entry in a runtime's cache, for a container that is called `name` there.
fn cached(namespace: &str, container: &str, name: &str, of: &str) {
    let text = json!({
        "kind": "cniCacheV1", "containerId": container, "ifName": "eth0", "networkName": "net",
        "cniArgs": [["IgnoreUnknown", "1"], ["K8S_POD_NAMESPACE", of], ["K8S_POD_NAME", name]],
        "result": { "interfaces": [{ "name": "br0" }, { "name": "eth0", "sandbox": format!("/var/run/netns/{namespace}") }] }
    });
    fs::create_dir_all("/var/lib/cni/results").unwrap();
    fs::write(format!("/var/lib/cni/results/net-{container}-eth0"), text.to_string()).unwrap();
}

#[test]
fn pods_have_the_names_that_the_runtime_knows() {
    let node = world();
    let id = "0123456789abcdef".repeat(4);
    node.sh(&format!("ip -n left link set vethone alias ferrocni:net/{id}/eth0"));
    let alias = || {
        let svg = drawn(&node, &NAMES);
        texts(&svg, "small").iter().find(|text| text.contains("ferrocni")).unwrap().to_string()
    };
    let guests = || -> Vec<String> {
        let svg = drawn(&node, &NAMES);
        let names = texts(&svg, "name").into_iter().map(str::to_owned);
        names.take(3).collect()
    };
    assert_eq!(alias(), "ferrocni:net/0123456789ab…/eth0");
    assert_eq!(guests(), ["one", "two", "three"]);
    fs::create_dir_all("/var/lib/cni/results").unwrap();
    fs::write("/var/lib/cni/results/other", "no JSON").unwrap();
    cached("one", &id, "web", "default");
    assert_eq!(guests(), ["web", "two", "three"]);
    assert_eq!(alias(), "ferrocni:net/web/eth0");
    let svg = drawn(&node, &NAMES);
    assert_eq!(svg.matches("<path class=\"wire\"").count(), 5, "as many wires as before");
    // The name alone is ambiguous.
    cached("two", "2", "web", "test");
    assert_eq!(guests(), ["default/web", "test/web", "three"]);
    // So is the name of another namespace.
    cached("two", "2", "right", "test");
    assert_eq!(guests(), ["web", "two", "three"]);
}

#[test]
fn the_networks_of_a_masquerade_are_shown() {
    let node = Node::new();
    let said = |rules: &str| {
        fs::write("/run/rules", format!("flush ruleset\n{rules}")).unwrap();
        node.sh("nft -f /run/rules");
        let state: Value = serde_json::from_str(&drawn(&node, &["--state", "."])).unwrap();
        state["namespaces"][0]["services"].clone()
    };
    let by_map = "table inet t {
        map who { type ipv4_addr : verdict; elements = { 10.1.1.3 comment \"b\" : jump out, 10.1.1.2 : goto out, 10.1.1.4 : drop } }
        chain first { type nat hook postrouting priority srcnat; ip saddr vmap @who; }
        chain out { ip daddr 10.1.1.0/24 counter return; counter masquerade; }
    }";
    assert_eq!(said(by_map), json!(["nft masquerade 10.1.1.2, 10.1.1.3 but not to 10.1.1.0/24"]));
    let by_rule = "table ip t { chain c { type nat hook postrouting priority srcnat
        ip saddr 10.1.1.0/24 return
        ip saddr 10.1.0.0/16 counter masquerade
    }
    }";
    assert_eq!(said(by_rule), json!(["nft ip saddr 10.1.0.0/16 masquerade"]));
    let led = "table ip t {
        chain c { type nat hook prerouting priority dstnat; tcp dport 80 dnat to 10.1.1.2:8080; }
        chain empty { ip saddr 10.1.1.1 accept; }
    }";
    assert_eq!(said(led), json!(["nft tcp dport 80 dnat to 10.1.1.2:8080"]));
}

#[test]
fn an_undrawable_state_is_an_error_with_the_reason() {
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
