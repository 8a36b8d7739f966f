//! The networks of `docs/examples` work unchanged with `cnitool` and the built plugins. Those that
//! need a tunnel are in `lab/examples.rs`.
#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testbed::{Cni, Node, Pod};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples")
}

/// The examples, by file name.
fn examples() -> BTreeMap<String, Value> {
    let files = fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    let lists = files.filter(|path| path.extension().is_some_and(|end| end == "conflist"));
    let named = lists.map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        let example = serde_json::from_str(&text);
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, example.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    });
    named.collect()
}

/// The plugins of a list, with their types.
fn plugins(example: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let list = example["plugins"].as_array().unwrap().iter();
    list.map(|plugin| (plugin["type"].as_str().unwrap(), plugin))
}

#[test]
fn every_plugin_knows_the_version_and_the_keys() {
    let examples = examples();
    assert!(examples.len() >= 4, "{examples:?}");
    for (file, example) in &examples {
        for (plugin, config) in plugins(example) {
            let ipam = config["ipam"]["type"].as_str();
            for plugin in [Some(plugin), ipam].into_iter().flatten() {
                let version = Cni::new(plugin).conf(example).raw("VERSION").ok();
                let supported = version["supportedVersions"].as_array().unwrap();
                assert!(supported.contains(&example["cniVersion"]), "{file}: {plugin}");
                let mut schema = Command::new(testbed::binary(plugin));
                let schema = schema.arg("--schema").env_remove("CNI_COMMAND").output().unwrap();
                let schema: Value = serde_json::from_slice(&schema.stdout).unwrap();
                jsonschema::validate(&schema, config)
                    .unwrap_or_else(|error| panic!("{file}: {plugin}: {error}"));
                // A schema may allow keys that no code reads.
                let keys = config.as_object().unwrap().keys().filter(|key| *key != "type");
                let unknown: Vec<_> = keys.filter(|key| !known(&schema, key)).collect();
                assert!(plugin == "host-local" || unknown.is_empty(), "{file}: {unknown:?}");
            }
        }
    }
}

fn known(schema: &Value, key: &str) -> bool {
    key == "ipam" || schema["properties"].get(key).is_some()
}

#[test]
fn all_examples_can_be_in_one_directory() {
    let mut seen = Vec::new();
    for (file, example) in examples() {
        seen.push(example["name"].to_string());
        for (plugin, config) in plugins(&example).filter(|(_, config)| config["ipam"].is_object()) {
            let ipam = &config["ipam"];
            let sets = ipam["ranges"].as_array().into_iter().flatten();
            let ranges = sets.flat_map(|set| set.as_array().unwrap()).chain([ipam]);
            seen.extend(ranges.filter_map(|range| range["subnet"].as_str()).map(str::to_owned));
            seen.extend(config["bridge"].as_str().map(|bridge| format!("{plugin} {bridge}")));
        }
        assert!(file.starts_with("10-"), "{file}");
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    assert!(count > 10 && seen.len() == count, "{seen:?}");
}

/// A node on a network as the examples expect it, with the examples in the runtime's directory.
struct Machine {
    node: Node,
    /// The network's router. It has no routes to the containers.
    router: Pod,
}

const ROUTER: [&str; 2] = ["192.168.1.1", "2001:db8:ffff::1"];

impl Machine {
    fn new() -> Machine {
        let node = Node::new();
        let router = node.pod("router");
        node.sh("ip link add eth0 index 1000 type veth peer name eth0 netns /run/netns/router
            ip addr add 192.168.1.2/24 dev eth0
            ip addr add 2001:db8:ffff::2/64 dev eth0 nodad
            sysctl -qw net.ipv6.conf.eth0.accept_dad=0
            ip link set eth0 up");
        router.sh("ip addr add 192.168.1.1/24 dev eth0
            ip addr add 2001:db8:ffff::1/64 dev eth0 nodad
            sysctl -qw net.ipv6.conf.eth0.accept_dad=0
            ip link set eth0 up; ip link set lo up");
        node.sh("ip route add default via 192.168.1.1
            ip route add default via 2001:db8:ffff::1
            mkdir -p /etc/cni/net.d");
        for file in examples().keys() {
            fs::copy(folder().join(file), Path::new("/etc/cni/net.d").join(file)).unwrap();
        }
        Machine { node, router }
    }

    /// Runs cnitool with directories of its own; it must succeed.
    fn cnitool(&self, args: &[&str]) -> String {
        let path = format!("CNI_PATH={}", testbed::bin().display());
        let cnitool = testbed::binary("cnitool");
        let command = ["env", "-u", "NETCONFPATH", &path, cnitool.to_str().unwrap()];
        self.node.run(&[&command[..], args].concat())
    }

    /// Connects a container, and returns its addresses.
    fn join(&self, network: &str, pod: &str) -> (Pod, Vec<String>) {
        let made = self.node.pod(pod);
        let result: Value = serde_json::from_str(&self.cnitool(&["add", network, pod])).unwrap();
        let ips = result["ips"].as_array().unwrap().iter();
        let addresses = ips.map(|ip| ip["address"].as_str().unwrap().split('/').next().unwrap());
        (made, addresses.map(str::to_owned).collect())
    }

    /// Two containers of the network reach each other, their host and the router, at once, and
    /// leave nothing. The router sees them as `seen`.
    fn works(&self, network: &str, families: usize, seen: impl Fn(&str) -> String) {
        self.cnitool(&["plan", network]);
        self.cnitool(&["status", network]);
        let (a, of_a) = self.join(network, "a");
        let (b, of_b) = self.join(network, "b");
        assert_eq!((of_a.len(), of_b.len()), (families, families));
        for (one, other) in of_a.iter().zip(&of_b) {
            assert!(a.ping(other) && b.ping(one), "{network}: {one} {other}");
            assert!(self.node.ping(one), "{network}: {one}");
        }
        for (router, one) in ROUTER.iter().zip(&of_a) {
            assert!(a.ping(router), "{network}: {router}");
            let exchange = a.tcp(&self.router, router.parse().unwrap(), 100).unwrap();
            assert_eq!(exchange.from.ip().to_string(), seen(one), "{network}");
        }
        for pod in ["a", "b"] {
            self.cnitool(&["check", network, pod]);
            self.cnitool(&["del", network, pod]);
        }
        let links = self.node.sh("ip -o link; ip -n a -o link; ip -n b -o link");
        assert!(!links.contains("ferrocni:") && !links.contains("macvlan"), "{links}");
        assert_eq!(self.node.sh("ls /var/lib/cni/results"), "");
    }
}

/// As the host's own address of the same family.
fn masqueraded(address: &str) -> String {
    let own = if address.contains(':') { "2001:db8:ffff::2" } else { "192.168.1.2" };
    own.to_owned()
}

#[test]
fn bridge_works() {
    Machine::new().works("pods", 2, masqueraded);
}

#[test]
fn ptp_works() {
    Machine::new().works("routed", 2, masqueraded);
}

#[test]
fn macvlan_works() {
    Machine::new().works("lan", 1, str::to_owned);
}

/// As with kube-proxy: an address of no host, which the node translates to a pod's.
#[test]
fn a_macvlan_container_reaches_a_service() {
    let machine = Machine::new();
    let (backend, of_backend) = machine.join("pods", "backend");
    let (pod, of_pod) = machine.join("lan", "a");
    machine.node.sh(&format!(
        "nft add table ip services
        nft add chain ip services nat '{{ type nat hook prerouting priority dstnat; }}'
        nft add rule ip services nat ip daddr 10.96.0.10 tcp dport 80 dnat to {}:8080",
        of_backend[0]
    ));
    let listen = format!("{}:8080", of_backend[0]);
    let listener = backend.enter(|| TcpListener::bind(&listen).unwrap());
    let seen = pod.tcp_to(&listener, "10.96.0.10:80".parse().unwrap(), 100_000).unwrap();
    assert_eq!((seen.from.ip().to_string(), seen.received), (of_pod[0].clone(), 100_000));
}

#[test]
fn bridge_ipip_can_be_planned() {
    let machine = Machine::new();
    // One of the peers, from which the tunnel sends.
    machine.node.sh("ip addr add 192.0.2.1/24 dev eth0");
    let plan = machine.cnitool(&["plan", "cluster"]);
    for line in [
        "ip link add cluster0 type bridge",
        "modprobe ipip",
        "10.246.3.0/24 via 198.51.100.3 dev tunl0",
    ] {
        assert!(plan.contains(line), "{line}:\n{plan}");
    }
    // On the same link, so not through the tunnel.
    assert!(plan.contains("10.246.2.0/24 via 192.0.2.2 dev eth0"), "{plan}");
    assert!(!plan.contains("10.246.1.0/24 via"), "its own containers:\n{plan}");
}
