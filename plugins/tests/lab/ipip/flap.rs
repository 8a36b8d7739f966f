//! An uplink goes down and comes back: the kernel has deleted the direct routes over it.

use std::fs;

use serde_json::json;

use super::{Between, Cluster, PODS, Use, on_the_wire, tunnelled};

const GONE: &str = "route 10.1.2.0/24 via 192.0.2.2 dev eth0 is gone";

/// The network of the first node as a file in `/run/flap`, and the plugins' directory.
fn configured(cluster: &Cluster) -> String {
    fs::create_dir_all("/run/flap").unwrap();
    let list = json!({ "cniVersion": "1.1.0", "name": "pods", "plugins": cluster.plugins(0) });
    fs::write("/run/flap/10-pods.conflist", list.to_string()).unwrap();
    testbed::bin().display().to_string()
}

#[test]
fn after_an_uplinks_flap_the_direct_routes_are_missed_and_come_back() {
    let cluster =
        Cluster::new(Between::Switch, Use::Chained).with(json!({ "mode": "crossSubnet" }));
    let (one, plugins) = (&cluster.hosts[0], configured(&cluster));
    let lint = || {
        let cnitool = testbed::binary("cnitool").display().to_string();
        let list = ["--path", plugins.as_str(), "/run/flap/10-pods.conflist"];
        one.try_run(&[&[cnitool.as_str(), "lint"], list.as_slice()].concat()).stdout
    };
    assert!(lint().contains("clean"), "nothing has been attached here: {}", lint());
    let result = cluster.join(0);
    cluster.join(1);
    let check = || cluster.at(0, cluster.ipip(0).prev(&result), "CHECK");
    assert!(lint().contains("clean"), "{}", lint());
    // How the link comes back, and what restores the routes.
    let sync: &dyn Fn() -> String = &|| cluster.sync(0);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/ipip-sync");
    let dispatcher = |arguments: &str| {
        one.sh(&format!("NETCONFPATH=/run/flap CNI_PATH={plugins} sh {script} {arguments}"))
    };
    let cases: [(&str, &dyn Fn() -> String); 3] = [
        ("ip link set eth0 down; ip link set eth0 up", sync),
        ("ip link set eth0 down; ip link set eth0 up", &|| dispatcher("")),
        (
            "ip addr flush dev eth0; ip link set eth0 down; ip addr add 192.0.2.1/24 dev eth0; ip \
             link set eth0 up",
            &|| dispatcher("eth0 up"),
        ),
    ];
    for (flap, remedy) in cases {
        let direct = on_the_wire(&cluster, &tunnelled(&cluster), || cluster.assert_works());
        assert_eq!(direct, 0, "before {flap}");
        one.sh(flap);
        assert!(!cluster.pods[0].ping(PODS[1]), "after {flap}");
        let (_, _, details) = check().err();
        assert_eq!(details, GONE);
        let said = lint();
        assert!(
            said.contains(&format!("{GONE} on this host")) && said.contains("ipip sync"),
            "{said}"
        );
        cluster.at(0, cluster.ipip(0), "STATUS").ok();
        assert_eq!(dispatcher("eth0 down"), "");
        assert!(remedy().contains(GONE));
        check().ok();
        assert!(lint().contains("clean"), "{}", lint());
    }
    cluster.assert_works();
}
