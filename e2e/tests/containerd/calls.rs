//! containerd's calls of plugins, and that these plugins support all of them.

use std::collections::{HashMap, HashSet};

use e2e::Sandbox;
use serde_json::{Value, json};

use crate::networks::{self, with};
use crate::scene::Scene;
use crate::witness::Called;

/// The keys of `CNI_ARGS`, whose order differs from call to call.
#[test]
fn arguments_come_in_any_order() {
    let scene = Scene::watched(networks::bridge());
    let Scene { containerd, witness, .. } = &scene;
    let mut orders = HashSet::new();
    // Go starts at a random key: by then two orders have been seen, except once in a billion runs.
    for index in 0..30 {
        drop(containerd.pod(&format!("pod{index}")));
        let calls = [witness.calls("ADD"), witness.calls("DEL")].concat();
        for call in calls {
            let pairs = call.env("CNI_ARGS").split(';').map(|pair| pair.split_once('=').unwrap());
            let keys: Vec<_> = pairs.map(|(key, _)| key.to_owned()).collect();
            let mut known = keys.clone();
            known.sort();
            assert_eq!(known, ARGUMENTS);
            orders.insert(keys);
        }
        if orders.len() > 1 && index > 2 {
            break;
        }
    }
    assert!(orders.len() > 1, "{orders:?}");
    scene.is_clean();
}

const ARGUMENTS: [&str; 5] = [
    "IgnoreUnknown",
    "K8S_POD_INFRA_CONTAINER_ID",
    "K8S_POD_NAME",
    "K8S_POD_NAMESPACE",
    "K8S_POD_UID",
];

#[test]
fn capabilities_come_to_bridge_in_the_words_of_go() {
    capabilities_come(networks::bridge());
}

#[test]
fn capabilities_come_to_ptp_in_the_words_of_go() {
    capabilities_come(networks::ptp());
}

/// Ports and bandwidth: the keys begin with capital letters.
fn capabilities_come(network: Value) {
    // These plugins declare the capabilities, too, and get them.
    let plugin = network["plugins"][0]["type"].as_str().unwrap().to_owned();
    let capabilities = json!({ "capabilities": { "portMappings": true, "bandwidth": true } });
    let scene = Scene::watched(with(network, capabilities));
    let Scene { containerd, witness, machine, .. } = &scene;
    witness.stand_before(&plugin);
    let annotation = |way: &str| format!("kubernetes.io/{way}-bandwidth");
    let pod = containerd.pod_of(Sandbox {
        ports: vec![(8081, 80)],
        annotations: HashMap::from([
            (annotation("ingress"), "1M".to_owned()),
            (annotation("egress"), "2M".to_owned()),
        ]),
        ..Sandbox::new("a")
    });
    let id = pod.id().to_owned();
    assert!(machine.ping(&pod.addresses()[0]) && machine.ping(&pod.addresses()[1]));
    drop(pod);
    for verb in ["ADD", "DEL"] {
        let mut calls = witness.calls(verb);
        calls.retain(|call| call.env("CNI_CONTAINERID") == id && call.env("CNI_IFNAME") == "eth0");
        let plugins: HashSet<_> = calls.iter().map(|call| call.plugin.as_str()).collect();
        assert_eq!(plugins, HashSet::from([plugin.as_str(), "witness"]));
        // Of both plugins. One more DEL comes with RemovePodSandbox, which no longer has these
        // arguments.
        for call in calls.iter().take(2) {
            let told = &call.stdin["runtimeConfig"];
            let ports =
                json!([{ "HostPort": 8081, "ContainerPort": 80, "Protocol": "tcp", "HostIP": "" }]);
            assert_eq!(told["portMappings"], ports, "{call:?}");
            assert_eq!(told["bandwidth"]["IngressRate"], 1_000_000, "{call:?}");
            assert_eq!(told["bandwidth"]["EgressRate"], 2_000_000, "{call:?}");
        }
    }
    scene.is_clean();
}

/// `lo` is added in an old version while `eth0` is in progress: each waits until the other has
/// begun.
#[test]
fn loopback_comes_at_the_same_time() {
    let scene = Scene::watched(networks::bridge());
    let Scene { containerd, witness, machine, .. } = &scene;
    witness.stand_before("loopback");
    witness.let_meet();
    let pod = containerd.pod("a");
    let calls = witness.calls("ADD");
    let call = |plugin: &str| {
        let is_it =
            |call: &&Called| call.plugin == plugin && call.env("CNI_CONTAINERID") == pod.id();
        calls.iter().find(is_it).unwrap()
    };
    let (lo, eth0) = (call("loopback"), call("witness"));
    assert_eq!([lo.env("CNI_IFNAME"), eth0.env("CNI_IFNAME")], ["lo", "eth0"]);
    assert_eq!(lo.env("CNI_NETNS"), eth0.env("CNI_NETNS"));
    assert_eq!(lo.stdin["cniVersion"], "0.3.1");
    assert!(pod.ping("127.0.0.1") && pod.ping("::1"));
    assert!(machine.ping(&pod.addresses()[0]) && machine.ping(&pod.addresses()[1]));
    drop(pod);
    scene.is_clean();
}
