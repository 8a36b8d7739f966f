//! `ipip` between nodes: the packets that pass and their form, and what is rejected, reported and
//! repaired.

mod device;
mod flap;
mod gateway;
mod give_back;
mod life;
mod listed;
mod lists;
mod local;
mod many;
mod masquerade;
mod mtu;
mod others;
mod packets;
mod refused;
mod routes_in_pods;
pub(crate) mod sources;

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use testbed::{Cni, Node, Outcome, Pod};

/// The network the nodes are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Between {
    /// One link for all of them: 192.0.2.1, 192.0.2.2.
    Switch,
    /// A link for each, with a router: 192.0.2.1 and 198.51.100.2.
    Router,
}

/// How pods are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Alone,
    /// After `bridge` on the first node, after `ptp` on the second.
    Chained,
}

/// Two nodes with a pod each.
struct Cluster {
    node: Node,
    /// The connection between the nodes: a switch or a router, with the ends `n1` and `n2`.
    middle: Pod,
    hosts: [Pod; 2],
    pods: [Pod; 2],
    between: Between,
    used: Use,
    /// More keys of the configuration.
    keys: Value,
    /// The results of the pods' ADDs, by node.
    results: RefCell<[Value; 2]>,
}

const ADDRESSES: [&str; 2] = ["192.0.2.1", "192.0.2.2"];
const ROUTED: [&str; 2] = ["192.0.2.1", "198.51.100.2"];
/// The pods' addresses, by node.
const PODS: [&str; 2] = ["10.1.1.2", "10.1.2.2"];
const PEERS_FILE: &str = "/run/peers.json";

impl Cluster {
    /// The nodes and their connection; no pod is connected.
    fn new(between: Between, used: Use) -> Cluster {
        let node = crate::node();
        let middle = machine(&node, "middle");
        let hosts = [machine(&node, "n1"), machine(&node, "n2")];
        let pods = [node.pod("p1"), node.pod("p2")];
        let keys = json!({ "peersFile": PEERS_FILE });
        let cluster =
            Cluster { node, middle, hosts, pods, between, used, keys, results: RefCell::default() };
        cluster.wire(0);
        cluster.wire(1);
        let middle = &cluster.middle;
        match between {
            Between::Switch => batch(
                middle,
                "link add sw type bridge
                 link set sw up
                 link set n1 master sw
                 link set n2 master sw",
            ),
            Between::Router => drop(
                middle.sh("ip addr add 192.0.2.254/24 dev n1; ip addr add 198.51.100.254/24 dev n2
                echo 1 >/proc/sys/net/ipv4/ip_forward"),
            ),
        }
        cluster.write_peers(&cluster.peers());
        cluster
    }

    /// Connects a node to the switch or router.
    fn wire(&self, index: usize) {
        let host = &self.hosts[index];
        let port = host.name();
        batch(
            &self.middle,
            &format!(
                "link add {port} index {} type veth peer name eth0 netns {port}
                 link set {port} up",
                1000 + index
            ),
        );
        let address = self.addresses()[index];
        let (subnet, _) = address.rsplit_once('.').unwrap();
        let mut lines = format!("addr add {address}/24 dev eth0\nlink set eth0 up");
        if self.between == Between::Router {
            lines += &format!("\nroute add default via {subnet}.254");
        }
        batch(host, &lines);
    }

    /// The state of a node's network, without parts that are slow to query.
    fn look(&self, index: usize) -> String {
        self.hosts[index].sh("ip -o -d link | sed -e 's/ promiscuity.*//' -e 's/ qdisc [a-z]*//' -e 's/^[0-9]*: //' -e 's/@if[0-9]*//'; ip -o -4 addr | sed 's/^[0-9]*: //'; ip route show table main
            cat /proc/sys/net/ipv4/ip_forward; ls /run/n*/pods 2>/dev/null | grep -v -e last -e lock || true")
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
        // Nodes may differ.
        let (kind, ipam) = (["bridge", "ptp"][index], self.ipam(index));
        let first = json!({
            "cniVersion": "1.1.0", "name": "pods", "type": kind, "isGateway": true, "mtu": 1500, "ipam": ipam
        });
        vec![first, ipip]
    }

    fn conf(&self, index: usize) -> Value {
        self.plugins(index).pop().unwrap()
    }

    /// The pod's ADD, by all plugins. The last result.
    fn join(&self, index: usize) -> Value {
        let result = self.join_pod(index, &self.pods[index]);
        self.results.borrow_mut()[index] = result.clone();
        result
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

    /// Calls a plugin on a node.
    fn at(&self, index: usize, call: Cni, verb: &str) -> Outcome {
        self.hosts[index].enter(|| call.raw(verb))
    }

    /// Runs `ipip sync`, which must succeed, and returns its output.
    fn sync(&self, index: usize) -> String {
        let file = PathBuf::from(format!("/run/n{}.conf", index + 1));
        fs::write(&file, self.conf(index).to_string()).unwrap();
        let program = testbed::binary("ipip").display().to_string();
        self.hosts[index].run(&[&program, "sync", &file.display().to_string()])
    }

    /// Runs `ipip sync`, which may fail, and returns whether it succeeded, and its output.
    fn try_sync(&self, index: usize) -> (bool, String) {
        let file = format!("/run/n{}.conf", index + 1);
        fs::write(&file, self.conf(index).to_string()).unwrap();
        let program = testbed::binary("ipip").display().to_string();
        let run = self.hosts[index].try_run(&[&program, "sync", &file]);
        (run.status.success(), run.stdout + &run.stderr)
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

/// Runs lines of `ip` in one process: in the lab, starting one takes long.
fn batch(machine: &Pod, lines: &str) {
    let lines: Vec<&str> = lines.lines().map(str::trim).collect();
    machine.sh(&format!("ip -batch - <<'END'\n{}\nEND", lines.join("\n")));
}

fn merge(into: &mut Value, keys: Value) {
    let (Value::Object(into), Value::Object(keys)) = (into, keys) else { unreachable!() };
    into.extend(keys);
}

/// The number of packets that match `filter` and leave the first node towards the other nodes.
fn on_the_wire(cluster: &Cluster, filter: &str, work: impl FnOnce()) -> u64 {
    cluster.middle.count("n1", filter, work)
}

/// Packets of the tunnel, from the first node to the second.
fn tunnelled(cluster: &Cluster) -> String {
    let [one, two] = cluster.addresses();
    format!("ip protocol 4 ip saddr {one} ip daddr {two}")
}

/// Runs each case on a node of its own.
fn each<T: Copy + std::fmt::Debug + Send + 'static>(cases: &[T], work: fn(T)) {
    for case in cases {
        let case = *case;
        std::thread::spawn(move || work(case)).join().unwrap_or_else(|panic| {
            eprintln!("with {case:?}");
            std::panic::resume_unwind(panic)
        });
    }
}

#[test]
fn pods_on_two_nodes_meet_through_the_tunnel() {
    each(&[(Between::Switch, Use::Chained), (Between::Router, Use::Alone)], |(between, used)| {
        let cluster = Cluster::joined(between, used);
        // One segment in a packet, as on a physical network.
        cluster.hosts.iter().for_each(|host| drop(host.sh("ip link set eth0 gso_max_segs 1")));
        let full_size = format!("{} ip length 1500", tunnelled(&cluster));
        let full = on_the_wire(&cluster, &full_size, || cluster.assert_works());
        assert!(full > 700, "{full} full-size packets for 1 MB");
        // No packet bypasses the tunnel, and the nodes' own packets are answered.
        let direct = on_the_wire(&cluster, "ip daddr 10.1.2.0/24", || {
            assert!(cluster.hosts[0].ping(PODS[1]), "from the node to the other's pod");
        });
        assert_eq!(direct, 0);
    });
}

#[test]
fn across_subnets_only() {
    each(&[Between::Switch, Between::Router], |between| {
        let cluster = Cluster::new(between, Use::Chained).with(json!({ "mode": "crossSubnet" }));
        cluster.hosts[0].sh("sysctl -qw net.ipv4.conf.all.rp_filter=1");
        cluster.join(0);
        cluster.join(1);
        let through = on_the_wire(&cluster, &tunnelled(&cluster), || cluster.assert_works());
        assert_eq!(through == 0, between == Between::Switch, "{through} packets in the tunnel");
        // The other node continues to use the tunnel for a while: its packets are accepted.
        let [one, two] = &cluster.hosts;
        if between == Between::Switch {
            let priority = two.sh("ip route show 10.1.1.0/24 | grep -o 'metric [0-9]*'");
            two.sh(&format!(
                "ip route replace 10.1.1.0/24 via 192.0.2.1 dev tunl0 onlink proto 226 {priority}"
            ));
            assert_eq!(one.sh("cat /proc/sys/net/ipv4/conf/tunl0/rp_filter").trim(), "2");
            assert!(cluster.pods[0].ping(PODS[1]), "while the nodes differ");
        }
    });
}

#[test]
fn strict_filters_are_no_obstacle() {
    let cluster = Cluster::new(Between::Router, Use::Alone);
    for machine in cluster.hosts.iter().chain([&cluster.middle]) {
        machine.sh("sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1");
    }
    cluster.join(0);
    cluster.join(1);
    cluster.assert_works();
    assert!(cluster.hosts[0].ping(PODS[1]) && cluster.hosts[1].ping(PODS[0]), "from the nodes");
    assert_eq!(cluster.hosts[0].sh("cat /proc/sys/net/ipv4/conf/tunl0/rp_filter").trim(), "1");
}

/// Whether a ping with this IP packet size in bytes passes. Fragments are allowed if `df` is
/// `dont`.
fn ping_of(pod: &Pod, bytes: u32, df: &str) -> bool {
    let size = (bytes - 28).to_string();
    let ping = ["ping", "-n", "-c1", "-W1", "-M", df, "-s", &size, PODS[1]];
    pod.try_run(&ping).status.success()
}

#[test]
fn the_path_mtu_is_found() {
    each(&["tunl0", "pods0"], |device| {
        let cluster = Cluster::new(Between::Router, Use::Alone).with(json!({ "device": device }));
        cluster.join(0);
        cluster.join(1);
        let pod = &cluster.pods[0];
        assert!(ping_of(pod, 1480, "do"), "what fits");
        assert!(!ping_of(pod, 1481, "do"), "what does not fit");
        assert!(ping_of(pod, 3000, "dont"), "what may be broken up");
        // The MTU of a link between the nodes becomes smaller than the nodes' own.
        cluster.middle.sh("ip link set n2 mtu 1400");
        cluster.hosts[1].sh("ip link set eth0 mtu 1400");
        let seen = pod.tcp(&cluster.pods[1], PODS[1].parse().unwrap(), 1 << 20).unwrap();
        assert_eq!(seen.received, 1 << 20);
        assert!(!ping_of(pod, 1480, "do"), "what does not fit any more");
        assert!(ping_of(pod, 1380, "do"), "what still fits");
        // Only the kernel's fallback device lets routers fragment packets that allow it.
        assert_eq!(ping_of(pod, 1480, "dont"), device == "tunl0");
    });
}

#[test]
fn the_mtu_is_that_of_the_route_to_the_peers() {
    let cluster = Cluster::new(Between::Router, Use::Chained);
    cluster.hosts[0].sh("ip link set eth0 mtu 1460");
    let result = cluster.join(0);
    let said: Vec<(String, u64)> = result["interfaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|link| (link["name"].as_str().unwrap().to_owned(), link["mtu"].as_u64().unwrap()))
        .collect();
    assert!(said.iter().all(|(_, mtu)| *mtu == 1440), "{said:?}");
    for (name, _) in &said[..2] {
        cluster.hosts[0].sh(&format!("ip link show {name} | grep -q 'mtu 1440 '"));
    }
    cluster.pods[0].sh("ip link show eth0 | grep -q 'mtu 1440 '");
    // The bridge was configured with 1500: ipip uses the MTU of the result.
    for conf in cluster.plugins(0) {
        let call = cluster.call(&conf, &cluster.pods[0]).prev(&result);
        cluster.at(0, call, "CHECK").ok();
    }
    // The route's MTU is smaller than its link's.
    cluster.hosts[0].sh("ip route replace 198.51.100.2 via 192.0.2.254 mtu 1300");
    let (_, _, details) = cluster.at(0, cluster.ipip(0).prev(&result), "CHECK").err();
    assert!(details.contains("tunnel tunl0 has the MTU 1440 instead of 1280"), "{details}");
    for verb in ["REPAIR", "CHECK"] {
        for conf in cluster.plugins(0) {
            cluster.at(0, cluster.call(&conf, &cluster.pods[0]).prev(&result), verb).ok();
        }
    }
    cluster.pods[0].sh("ip link show eth0 | grep -q 'mtu 1280 '");
}

#[test]
fn a_device_of_its_own_leaves_tunl0_alone() {
    let cluster = Cluster::new(Between::Switch, Use::Chained).with(json!({ "device": "pods0" }));
    let tunl0 = || cluster.hosts[0].sh("ip -d link show tunl0; ip addr show tunl0");
    // Another program uses tunl0, with an address other than the tunnel's.
    cluster.hosts[0].sh("ip addr add 10.200.0.1/32 dev tunl0; ip link set tunl0 up alias other
        ip addr add 198.51.100.9/32 dev lo
        ip route add 10.200.1.0/24 via 192.0.2.66 dev tunl0 onlink src 10.200.0.1
        ip route add 192.0.2.66 dev eth0 src 198.51.100.9");
    let before = tunl0();
    cluster.join(0);
    cluster.join(1);
    let through = on_the_wire(&cluster, &tunnelled(&cluster), || cluster.assert_works());
    assert!(through > 0);
    assert_eq!(before, tunl0());
    // The node's own address changes, and the tunnel with it.
    let [one, _] = &cluster.hosts;
    one.sh("ip addr del 192.0.2.1/24 dev eth0; ip addr add 192.0.2.5/24 dev eth0
        ip route add 192.0.2.66 dev eth0 src 198.51.100.9");
    let peers = json!([{ "node": "192.0.2.5", "podCIDRs": ["10.1.1.0/24"] }, cluster.peers()[1]]);
    cluster.write_peers(&peers);
    let said = cluster.sync(0);
    assert!(said.contains("tunnel pods0 has the source 192.0.2.1 instead of 192.0.2.5"), "{said}");
    cluster.sync(1);
    cluster.assert_works();
    // GC removes it, and nothing else.
    let call = cluster.ipip(0).key("cni.dev/valid-attachments", json!([]));
    cluster.at(0, call, "GC").ok();
    assert_eq!(one.sh("ip -o link show type ipip | grep -c pods0 || true").trim(), "0");
    assert_eq!(before, tunl0());
}

#[test]
fn routes_of_other_programs_stay() {
    let cluster =
        Cluster::joined(Between::Router, Use::Chained).with(json!({ "routes": "external" }));
    let said = cluster.sync(0);
    assert!(said.contains("is left over"), "what was ours goes: {said}");
    cluster.sync(1);
    let [one, two] = &cluster.hosts;
    one.sh("ip route add 10.1.2.0/24 via 198.51.100.2 dev tunl0 onlink proto bird metric 32");
    two.sh("ip route add 10.1.1.0/24 via 192.0.2.1 dev tunl0 onlink proto bird metric 32");
    assert_eq!(cluster.sync(0), "nothing to change\n");
    cluster.assert_works();
}

#[test]
fn a_pod_without_a_default_route_gets_those_to_the_peers() {
    let cluster = Cluster::new(Between::Switch, Use::Chained);
    let mut bridge = cluster.plugins(0).swap_remove(0);
    bridge["ipam"]["routes"] = json!([{ "dst": "10.66.0.0/16", "mtu": 1500 }]);
    let result = cluster.at(0, cluster.call(&bridge, &cluster.pods[0]), "ADD").ok();
    let result = cluster.at(0, cluster.ipip(0).prev(&result), "ADD").ok();
    // The routes to the peers follow the list; the result cannot.
    assert_eq!(result["routes"], json!([{ "dst": "10.66.0.0/16", "mtu": 1480 }]));
    cluster.pods[0].sh("ip route show 10.1.2.0/24 | grep -q 'via 10.1.1.1 dev eth0 proto 226'");
    cluster.at(0, cluster.ipip(0).prev(&result), "CHECK").ok();
    cluster.pods[0].sh("ip route show 10.66.0.0/16 | grep -q 'mtu 1480'");
    cluster.join(1);
    cluster.assert_works();
}
