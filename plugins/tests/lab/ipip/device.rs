//! The network's tunnel gets another name while containers are live.

use serde_json::{Value, json};

use super::{Between, Cluster, PODS, Use, on_the_wire, tunnelled};

impl Cluster {
    /// Gives the network's tunnel on the first node another name; `None` for the default.
    fn rename(&mut self, device: Option<&str>) {
        self.keys["device"] = json!(device);
    }

    fn check(&self, result: &Value) -> testbed::Outcome {
        self.at(0, self.ipip(0).prev(result), "CHECK")
    }

    /// The tunnels that belong to the network or are up, by name.
    fn tunnels(&self) -> String {
        let names = self.hosts[0]
            .sh("ip -o link show type ipip | grep -e UP -e ferrocni: | sed -e 's/^[0-9]*: //' -e \
                's/@.*//'");
        names.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// The new and the former name of a tunnel; the report of CHECK; whether the link stays the same.
const CHANGES: [(&str, &str, bool); 5] = [
    ("pods0", "tunnel tunl0 is left over", false),
    ("pods1", "tunnel pods1 is still called pods0", true),
    ("tunl0", "tunnel pods1 is left over", false),
    ("pods2", "tunnel tunl0 is left over", false),
    ("tunl0", "tunnel pods2 is left over", false),
];

#[test]
fn the_former_tunnel_goes_when_the_new_one_stands() {
    let mut cluster = Cluster::new(Between::Switch, Use::Alone);
    cluster.hosts[0].sh(
        "sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1; ip link set \
         tunl0 mtu 1480",
    );
    let tunl0 = |cluster: &Cluster| {
        cluster.hosts[0].sh("(ip link show tunl0; ip addr show tunl0) | sed 's/ qdisc [a-z]*//'")
    };
    let fresh = tunl0(&cluster);
    let result = cluster.join(0);
    cluster.join(1);
    cluster.assert_works();
    for (index, (device, said, is_same)) in CHANGES.into_iter().enumerate() {
        let before = cluster.hosts[0].sh("ip -o link show type ipip | grep ferrocni:; true");
        cluster.rename(Some(device));
        // No conflict exists, and all verbs agree.
        cluster.at(0, cluster.ipip(0), "STATUS").ok();
        let (_, _, details) = cluster.check(&result).err();
        assert!(details.contains(said), "{device}: {details}");
        let other = cluster.node.pod(&format!("other{index}"));
        let plan = cluster.call(&cluster.conf(0), &other).args("IgnoreUnknown=1");
        let plan = cluster.at(0, plan, "PLAN").ok().to_string();
        let former =
            before.split([':', '@', ' ']).find(|word| word.starts_with(['t', 'p'])).unwrap();
        let gone = match (is_same, former) {
            (true, _) => format!("ip link set {former} name {device}"),
            (false, "tunl0") => "ip link set tunl0 down".to_owned(),
            (false, _) => format!("ip link del {former}"),
        };
        assert!(plan.contains(&gone), "{gone}: {plan}");
        if index % 2 == 0 {
            let reported = cluster.sync(0);
            assert!(reported.contains(said), "{device}: {reported}");
        } else {
            cluster.join_pod(0, &other);
        }
        assert_eq!(cluster.tunnels(), device);
        let after = cluster.hosts[0].sh("ip -o link show type ipip | grep ferrocni:");
        let number = |lines: &str| lines.split(':').next().unwrap().to_owned();
        assert_eq!(number(&before) == number(&after), is_same, "{before}{after}");
        let through = on_the_wire(&cluster, &tunnelled(&cluster), || {
            assert!(cluster.pods[0].ping(PODS[1]) && cluster.pods[1].ping(PODS[0]), "by {device}");
        });
        assert!(through > 0);
        cluster.check(&result).ok();
        assert_eq!(cluster.sync(0), "nothing to change\n");
        if device != "tunl0" {
            assert_eq!(fresh, tunl0(&cluster), "tunl0 after {device}");
        }
    }
    cluster.assert_works();
}

/// A tunnel of the same name that belongs to another network, or has no owner, is not the network's
/// former one.
#[test]
fn only_the_networks_own_tunnels_go() {
    let mut cluster = Cluster::new(Between::Switch, Use::Alone);
    let [one, _] = &cluster.hosts;
    one.sh(
        "ip link add theirs type ipip local 10.200.0.1; ip link set theirs up alias ferrocni:pods2
        ip link add own type ipip local 10.200.0.2; ip link set own up",
    );
    cluster.join(0);
    cluster.rename(Some("pods0"));
    cluster.sync(0);
    assert_eq!(cluster.tunnels().split(' ').collect::<Vec<_>>().len(), 3, "{}", cluster.tunnels());
    let call = cluster.ipip(0).key("cni.dev/valid-attachments", json!([]));
    cluster.at(0, call, "GC").ok();
    let left = cluster.tunnels();
    assert!(left.contains("theirs") && left.contains("own") && !left.contains("pods0"), "{left}");
}
