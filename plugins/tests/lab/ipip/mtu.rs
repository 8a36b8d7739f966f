//! The uplink's MTU changes, and the tunnel's MTU with it: 1400, then 1500, then 1400 again.
//! Containers of one network on a node never have different MTUs on a bridge, because a bridge
//! drops packets larger than a port's MTU.

use serde_json::Value;
use testbed::Pod;

use super::{Between, Cluster, PODS, Use, each};

/// A node's containers, with the results of their ADDs.
struct Pods<'a> {
    cluster: &'a Cluster,
    index: usize,
    /// The first plugin's `mtu`.
    mtu: u32,
    joined: Vec<(Pod, Value)>,
}

impl<'a> Pods<'a> {
    fn on(cluster: &'a Cluster, index: usize, mtu: u32) -> Pods<'a> {
        Pods { cluster, index, mtu, joined: Vec::new() }
    }

    fn plugins(&self) -> Vec<Value> {
        let mut plugins = self.cluster.plugins(self.index);
        if self.cluster.used == Use::Chained {
            plugins[0]["mtu"] = self.mtu.into();
        }
        plugins
    }

    fn join(&mut self) {
        let name = format!("more{}", self.joined.len());
        let pod = self.cluster.node.pod(&name);
        let mut result = Value::Null;
        for conf in self.plugins() {
            let mut call = self.cluster.call(&conf, &pod);
            if !result.is_null() {
                call = call.prev(&result);
            }
            result = self.cluster.at(self.index, call, "ADD").ok();
        }
        self.joined.push((pod, result));
    }

    /// The differences that CHECK of all plugins finds for all containers.
    fn check(&self) -> String {
        let mut details = String::new();
        for ((pod, result), conf) in
            self.joined.iter().flat_map(|it| self.plugins().into_iter().map(move |conf| (it, conf)))
        {
            let call = self.cluster.call(&conf, pod).prev(result);
            let outcome = self.cluster.at(self.index, call, "CHECK");
            if !outcome.status.success() {
                details += &outcome.err().2;
                details += "\n";
            }
        }
        details
    }

    /// REPAIR of one container by all plugins.
    fn repair(&self, which: usize) {
        let (pod, result) = &self.joined[which];
        for conf in self.plugins() {
            let call = self.cluster.call(&conf, pod).prev(result);
            self.cluster.at(self.index, call, "REPAIR").ok();
        }
    }

    fn address(&self, which: usize) -> String {
        let address = self.joined[which].1["ips"][0]["address"].as_str().unwrap();
        address.split('/').next().unwrap().to_owned()
    }

    /// All containers, and the bridge if there is one, have an MTU, and packets of that size pass
    /// from each to the next.
    #[track_caller]
    fn have(&self, mtu: u32) {
        let host = &self.cluster.hosts[self.index];
        let of = "s/.* mtu \\([0-9]*\\) .*/\\1/p";
        let shown = host
            .sh(&format!("ip -o link | grep -e ': veth' -e ': cni0' | sed -n '{of}' | sort -u"));
        assert_eq!(shown.trim(), mtu.to_string(), "on the host");
        for (from, (pod, _)) in self.joined.iter().enumerate() {
            assert_eq!(
                pod.sh(&format!("ip -o link show eth0 | sed -n '{of}'")).trim(),
                mtu.to_string()
            );
            let to = (from + 1) % self.joined.len();
            if to == from {
                continue;
            }
            assert!(sized(pod, &self.address(to), mtu), "{mtu} from {from} to {to}");
        }
    }
}

/// Whether a packet of this size and its answer pass unfragmented.
fn sized(pod: &Pod, to: &str, bytes: u32) -> bool {
    let size = (bytes - 28).to_string();
    pod.try_run(&["ping", "-n", "-c1", "-W1", "-M", "do", "-s", &size, to]).status.success()
}

/// Sets the uplink's MTU, which the tunnel follows.
fn uplink(cluster: &Cluster, index: usize, mtu: u32) {
    cluster.hosts[index].sh(&format!("ip link set eth0 mtu {mtu}"));
    cluster.sync(index);
}

#[test]
fn containers_on_a_bridge_have_one_mtu_while_the_uplinks_changes() {
    // The bridge's `mtu`, and the fitting MTUs while the uplink has 1400 and 1500.
    each(&[(0, 1380, 1480), (1430, 1380, 1430)], |(own, small, large)| {
        let cluster = Cluster::new(Between::Switch, Use::Chained);
        let mut pods = Pods::on(&cluster, 0, own);
        uplink(&cluster, 0, 1400);
        pods.join();
        pods.have(small);
        assert_eq!(pods.check(), "");
        // A new container is like the others until they are repaired. CHECK of each says so.
        uplink(&cluster, 0, 1500);
        let grown = format!("interface eth0 has the MTU {small} instead of {large}");
        assert!(pods.check().contains(&grown), "{}", pods.check());
        pods.join();
        pods.have(small);
        assert_eq!(pods.check().matches(&grown).count(), 2, "{}", pods.check());
        // One repair is enough for all of them.
        pods.repair(0);
        pods.have(large);
        assert_eq!(pods.check(), "");
        pods.join();
        pods.have(large);
        uplink(&cluster, 0, 1400);
        pods.join();
        pods.have(large);
        let shrunk =
            format!("interface eth0 has the MTU {large}, and {small} is the most that fits");
        assert_eq!(pods.check().matches(&shrunk).count(), 4, "{}", pods.check());
        // A packet that is too large for the tunnel gets an error.
        cluster.join(1);
        let seen = pods.joined[3].0.tcp(&cluster.pods[1], PODS[1].parse().unwrap(), 1 << 18);
        assert_eq!(seen.unwrap().received, 1 << 18);
        pods.repair(3);
        pods.have(small);
        assert_eq!(pods.check(), "");
        // Without other containers, a new container gets the fitting MTU.
        while let Some((pod, _)) = pods.joined.pop() {
            for conf in pods.plugins().iter().rev() {
                cluster.at(0, cluster.call(conf, &pod), "DEL").ok();
            }
            cluster.node.delete(&pod);
        }
        uplink(&cluster, 0, 1500);
        pods.join();
        pods.have(large);
        assert_eq!(pods.check(), "");
    });
}

#[test]
fn a_smaller_mtu_that_is_configured_stays_and_is_no_difference() {
    // The bridge's `mtu`, or a bridge that was made by hand.
    each(&[1300, 0], |own| {
        let cluster = Cluster::new(Between::Switch, Use::Chained);
        if own == 0 {
            cluster.hosts[0].sh("ip link add cni0 type bridge; ip link set cni0 mtu 1300");
        }
        let mut pods = Pods::on(&cluster, 0, own);
        for uplinks in [1400, 1500, 1400] {
            uplink(&cluster, 0, uplinks);
            pods.join();
            pods.have(1300);
            assert_eq!(pods.check(), "");
        }
    });
}

#[test]
fn routed_containers_follow_the_uplinks_mtu() {
    each(&[(Use::Chained, 0), (Use::Chained, 1430), (Use::Alone, 0)], |(used, own)| {
        let cluster = Cluster::new(Between::Switch, used);
        // The other node is `ptp`'s if chained.
        let mut pods = Pods::on(&cluster, 1, own);
        cluster.join(0);
        let large = if own == 1430 { 1430 } else { 1480 };
        uplink(&cluster, 1, 1400);
        pods.join();
        pods.have(1380);
        assert_eq!(pods.check(), "");
        uplink(&cluster, 1, 1500);
        assert!(
            pods.check().contains(&format!("has the MTU 1380 instead of {large}")),
            "{}",
            pods.check()
        );
        pods.join();
        // Between them, the host reports packets that are too large.
        let seen =
            pods.joined[1].0.tcp(&pods.joined[0].0, pods.address(0).parse().unwrap(), 1 << 18);
        assert_eq!(seen.unwrap().received, 1 << 18);
        pods.repair(0);
        assert_eq!(pods.check(), "");
        pods.have(large);
        assert!(
            sized(&pods.joined[0].0, PODS[0], large)
                && !sized(&pods.joined[0].0, PODS[0], large + 1)
        );
        uplink(&cluster, 1, 1400);
        let check = pods.check();
        assert!(check.contains("1380"), "{check}");
        pods.repair(0);
        pods.repair(1);
        assert_eq!(pods.check(), "");
        pods.have(1380);
        assert!(
            sized(&pods.joined[0].0, PODS[0], 1380) && !sized(&pods.joined[0].0, PODS[0], 1381)
        );
    });
}
