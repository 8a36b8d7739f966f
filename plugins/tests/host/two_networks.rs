//! Two networks of one container that both give it default routes. The kernel merges those of IPv6
//! into one with two next hops.

use serde_json::{Value, json};
use testbed::{Node, Outside, Pod};

use super::{call, network};

struct Both {
    node: Node,
    outside: Outside,
    pod: Pod,
    configs: [Value; 2],
    results: [Value; 2],
}

const IFNAMES: [&str; 2] = ["eth0", "net1"];
/// Enough that the kernel selects each of two next hops for some of them.
const FAR: std::ops::Range<u32> = 16..32;

impl Both {
    fn new(plugin: &str) -> Both {
        let node = Node::new();
        let outside = node.outside();
        for far in FAR {
            outside.sh(&format!("ip address add 2001:db8:ffff::{far:x}/64 dev eth0 nodad"));
        }
        let pod = node.pod("a");
        let configs = [1, 2].map(|number| {
            let subnets = [format!("10.1.{number}.0/24"), format!("fd00:{number}::/64")];
            let keys = json!({
                "isDefaultGateway": true, "ipMasq": true, "bridge": format!("cbr{number}")
            });
            let mut config =
                network(plugin, &format!("n{number}"), &subnets.each_ref().map(|s| &**s), keys);
            config["ipam"]["routes"] = json!([{ "dst": "::/0" }, { "dst": "0.0.0.0/0" }]);
            config
        });
        let mut both = Both { node, outside, pod, configs, results: Default::default() };
        both.results = [0, 1].map(|which| both.call(which).add().ok());
        both
    }

    fn call(&self, which: usize) -> testbed::Cni {
        call(&self.node, &self.configs[which], &self.pod).ifname(IFNAMES[which])
    }

    fn check(&self, which: usize) -> testbed::Outcome {
        self.call(which).prev(&self.results[which]).check()
    }

    fn repair(&self, which: usize) -> Value {
        self.call(which).prev(&self.results[which]).raw("REPAIR").ok()
    }

    fn routes(&self) -> String {
        self.pod.sh("ip -6 route show default; ip route show default")
    }

    #[track_caller]
    fn assert_reaches_everything(&self) {
        assert!(self.pod.ping(self.outside.v4), "{}", self.routes());
        for far in FAR {
            let address = format!("2001:db8:ffff::{far:x}");
            assert!(self.pod.ping(&address), "{address}\n{}", self.routes());
        }
    }
}

fn each_plugin(work: fn(&str)) {
    for plugin in ["bridge", "ptp"] {
        std::thread::spawn(move || work(plugin)).join().unwrap();
    }
}

#[test]
fn check_finds_each_next_hop() {
    each_plugin(|plugin| {
        let both = Both::new(plugin);
        assert_eq!(both.routes().matches("nexthop").count(), 2, "{}", both.routes());
        both.assert_reaches_everything();
        for which in [0, 1] {
            both.check(which).ok();
            assert_eq!(both.repair(which), json!([]));
        }
        for (which, ifname) in IFNAMES.iter().enumerate() {
            let gateway = format!("fd00:{}::1", which + 1);
            both.pod.sh(&format!("ip -6 route del default via {gateway} dev {ifname}"));
            let (_, _, details) = both.check(which).err();
            let gone = format!("route default via {gateway} dev {ifname} is gone");
            assert_eq!(details, gone, "{plugin}");
            both.check(1 - which).ok();
            assert_eq!(both.repair(which), json!([gone]));
            assert_eq!(both.routes().matches("nexthop").count(), 2, "{}", both.routes());
            both.check(0).ok();
            both.check(1).ok();
            both.assert_reaches_everything();
        }
    });
}

#[test]
fn repair_of_one_network_leaves_the_routes_of_the_other() {
    each_plugin(|plugin| {
        let both = Both::new(plugin);
        let before = both.routes();
        // A wrong gateway of the first, set by hand, in both families.
        both.pod.sh("ip -6 route del default via fd00:1::1 dev eth0
            ip -6 route append default via fd00:1::9 dev eth0 onlink
            ip route del default via 10.1.1.1 dev eth0
            ip route append default via 10.1.1.9 dev eth0 onlink");
        both.check(1).ok();
        assert_eq!(both.repair(0).as_array().unwrap().len(), 2);
        for which in [0, 1] {
            both.check(which).ok();
        }
        let sorted = |routes: &str| {
            let mut lines: Vec<_> = routes.lines().map(str::trim).map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(&both.routes()), sorted(&before), "{plugin}");
        both.assert_reaches_everything();
    });
}

#[test]
fn del_of_one_network_keeps_the_routes_of_the_other() {
    each_plugin(|plugin| {
        for gone in [0, 1] {
            let plugin = plugin.to_owned();
            std::thread::spawn(move || {
                let both = Both::new(&plugin);
                both.pod.sh("ip -6 route del default via fd00:1::1 dev eth0");
                both.repair(0);
                both.call(gone).prev(&both.results[gone]).del().ok();
                both.assert_reaches_everything();
                both.check(1 - gone).ok();
                assert_eq!(both.repair(1 - gone), json!([]));
            })
            .join()
            .unwrap();
        }
    });
}
