//! `ipip` between nodes: what passes, in what shape, and what is refused, seen and put right.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use testbed::{Cni, Node, Pod};

/// The network the nodes are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between {
    /// One link for all of them: 192.0.2.1, 192.0.2.2.
    Switch,
    /// A link for each, with a router: 192.0.2.1 and 198.51.100.2.
    Router,
}

/// How pods join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Alone,
    Chained,
}

/// Two nodes with a pod each.
struct Cluster {
    node: Node,
    /// What joins the nodes: a switch or a router, with the ends `n1` and `n2`.
    middle: Pod,
    hosts: [Pod; 2],
    pods: [Pod; 2],
    between: Between,
    used: Use,
    /// More keys of the configuration.
    keys: Value,
}

const ADDRESSES: [&str; 2] = ["192.0.2.1", "192.0.2.2"];
const ROUTED: [&str; 2] = ["192.0.2.1", "198.51.100.2"];
/// The pods' addresses, by node.
const PODS: [&str; 2] = ["10.1.1.2", "10.1.2.2"];
const PEERS_FILE: &str = "/run/peers.json";

impl Cluster {
    /// The nodes and what is between them; no pod has joined.
    fn new(between: Between, used: Use) -> Cluster {
        let node = crate::node();
        let middle = machine(&node, "middle");
        let hosts = [machine(&node, "n1"), machine(&node, "n2")];
        for (index, host) in hosts.iter().enumerate() {
            let port = host.name();
            middle.sh(&format!(
                "ip link add {port} index {} type veth peer name eth0 netns /run/netns/{port}
                 ip link set {port} up",
                1000 + index
            ));
            host.sh("ip link set eth0 up");
        }
        match between {
            Between::Switch => middle.sh("ip link add sw type bridge; ip link set sw up
                ip link set n1 master sw; ip link set n2 master sw"),
            Between::Router => middle.sh("ip addr add 192.0.2.254/24 dev n1
                ip addr add 198.51.100.254/24 dev n2; sysctl -qw net.ipv4.ip_forward=1"),
        };
        for (index, host) in hosts.iter().enumerate() {
            address(host, between, index);
        }
        let pods = [node.pod("p1"), node.pod("p2")];
        let keys = json!({ "peersFile": PEERS_FILE });
        let cluster = Cluster { node, middle, hosts, pods, between, used, keys };
        cluster.write_peers(&cluster.peers());
        cluster
    }

    /// As [`Cluster::new`], with a pod on each node.
    fn joined(between: Between, used: Use) -> Cluster {
        let cluster = Cluster::new(between, used);
        cluster.join(0);
        cluster.join(1);
        cluster
    }

    fn with(mut self, keys: Value) -> Cluster {
        merge(&mut self.keys, keys);
        self
    }

    fn addresses(&self) -> [&'static str; 2] {
        match self.between {
            Between::Switch => ADDRESSES,
            Between::Router => ROUTED,
        }
    }

    /// The list that all nodes have.
    fn peers(&self) -> Value {
        let [one, two] = self.addresses();
        json!([
            { "node": one, "podCIDRs": ["10.1.1.0/24"] },
            { "node": two, "podCIDRs": ["10.1.2.0/24"] }
        ])
    }

    fn write_peers(&self, peers: &Value) {
        fs::write("/run/peers.new", peers.to_string()).unwrap();
        fs::rename("/run/peers.new", PEERS_FILE).unwrap();
    }

    fn ipam(&self, index: usize) -> Value {
        json!({
            "type": "host-local",
            "dataDir": format!("/run/n{}", index + 1),
            "subnet": format!("10.1.{}.0/24", index + 1),
            "routes": [{ "dst": "0.0.0.0/0" }]
        })
    }

    /// The plugins of a node's network, in the order of ADD.
    fn plugins(&self, index: usize) -> Vec<Value> {
        let mut ipip = json!({ "cniVersion": "1.1.0", "name": "pods", "type": "ipip" });
        merge(&mut ipip, self.keys.clone());
        if self.used == Use::Alone {
            ipip["ipam"] = self.ipam(index);
            return vec![ipip];
        }
        let bridge = json!({
            "cniVersion": "1.1.0", "name": "pods", "type": "bridge", "isGateway": true, "mtu": 1500,
            "ipam": self.ipam(index)
        });
        vec![bridge, ipip]
    }

    fn conf(&self, index: usize) -> Value {
        self.plugins(index).pop().unwrap()
    }

    /// The pod's ADD, by all plugins. The last result.
    fn join(&self, index: usize) -> Value {
        self.join_pod(index, &self.pods[index])
    }

    fn join_pod(&self, index: usize, pod: &Pod) -> Value {
        let mut result = Value::Null;
        for conf in self.plugins(index) {
            let mut call = self.call(&conf, pod);
            if !result.is_null() {
                call = call.prev(&result);
            }
            result = self.hosts[index].enter(|| call.add()).ok();
        }
        result
    }

    fn call(&self, conf: &Value, pod: &Pod) -> Cni {
        let call = self.node.plugin(conf["type"].as_str().unwrap()).conf(conf);
        call.container(pod.name()).netns(pod)
    }

    /// The call of `ipip` itself for a node's pod.
    fn ipip(&self, index: usize) -> Cni {
        self.call(&self.conf(index), &self.pods[index])
    }

    /// `ipip sync`, which has to work. What it printed.
    fn sync(&self, index: usize) -> String {
        let file = PathBuf::from(format!("/run/n{}.conf", index + 1));
        fs::write(&file, self.conf(index).to_string()).unwrap();
        let program = testbed::binary("ipip").display().to_string();
        self.hosts[index].run(&[&program, "sync", &file.display().to_string()])
    }

    /// Pings and a megabyte of TCP, both ways.
    #[track_caller]
    fn assert_works(&self) {
        for (from, to) in [(0, 1), (1, 0)] {
            assert!(self.pods[from].ping(PODS[to]), "ping from {}", self.pods[from].name());
            let seen = self.pods[from]
                .tcp(&self.pods[to], PODS[to].parse().unwrap(), 1 << 20)
                .unwrap_or_else(|error| panic!("TCP from {}: {error}", self.pods[from].name()));
            assert_eq!((seen.from.ip().to_string().as_str(), seen.received), (PODS[from], 1 << 20));
        }
    }
}

fn machine(node: &Node, name: &str) -> Pod {
    let machine = node.pod(name);
    machine.run(&["ip", "link", "set", "lo", "up"]);
    machine
}

/// The address of a node on what is between the nodes.
fn address(host: &Pod, between: Between, index: usize) {
    match between {
        Between::Switch => host.sh(&format!("ip addr add {}/24 dev eth0", ADDRESSES[index])),
        Between::Router => host.sh(&format!(
            "ip addr add {0}/24 dev eth0; ip route add default via {1}.254",
            ROUTED[index],
            ROUTED[index].rsplit_once('.').unwrap().0
        )),
    };
}

fn merge(into: &mut Value, keys: Value) {
    let (Value::Object(into), Value::Object(keys)) = (into, keys) else { unreachable!() };
    into.extend(keys);
}

#[test]
fn pods_on_two_nodes_meet() {
    for used in [Use::Alone, Use::Chained] {
        std::thread::spawn(move || Cluster::joined(Between::Switch, used).assert_works())
            .join()
            .unwrap_or_else(|_| panic!("{used:?}"));
    }
}
