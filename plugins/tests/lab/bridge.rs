//! `bridge` with VLANs: connectivity, the gateway in a VLAN, and the state after DEL.

use serde_json::{Value, json};
use testbed::{Cni, Node, Pod, assert_same};

/// A dual-stack network on `cbr0`.
fn config(keys: Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.1.0",
        "name": "pods",
        "type": "bridge",
        "bridge": "cbr0",
        "ipam": {
            "type": "host-local",
            "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]]
        }
    });
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

/// As [`config`], with a gateway in VLAN 100.
fn gateway() -> Value {
    config(json!({ "vlan": 100, "isDefaultGateway": true, "ipMasq": true }))
}

/// A port without addresses, for VLANs with tags.
fn trunk(vlans: Value) -> Value {
    json!({ "cniVersion": "1.1.0", "name": "trunk", "type": "bridge", "bridge": "cbr0", "vlanTrunk": vlans })
}

fn call(node: &Node, config: &Value, pod: &Pod) -> Cni {
    node.plugin("bridge").conf(config).container(pod.name()).netns(pod)
}

/// Connects a new pod and returns its addresses, IPv4 first.
#[track_caller]
fn join(node: &Node, config: &Value, name: &str) -> (Pod, Vec<String>) {
    let pod = node.pod(name);
    let result = call(node, config, &pod).add().ok();
    let ips = result["ips"].as_array().into_iter().flatten();
    let address =
        |ip: &Value| ip["address"].as_str().unwrap().split('/').next().unwrap().to_owned();
    (pod, ips.map(address).collect())
}

/// Gives a pod a link for the tagged frames of a VLAN.
fn tagged(pod: &Pod, vlan: u16, address: &str) {
    pod.sh(&format!(
        "ip link add link eth0 name eth0.{vlan} type vlan id {vlan}
         ip addr add {address} dev eth0.{vlan}; ip link set eth0.{vlan} up"
    ));
}

/// The bridge's port to the gateway of VLAN 100.
fn gateway_port(node: &Node) -> String {
    let shown: Value = serde_json::from_str(&node.sh("ip -j link show cbr0.100")).unwrap();
    shown[0]["link"].as_str().unwrap().to_owned()
}

/// A node that masquerades packets that leave a VLAN. With `br_netfilter` it would masquerade on
/// the bridge already, which does not have the gateway's address, and drop them, as
/// docs/plugins/bridge.md describes.
fn masquerading_node() -> Node {
    let node = crate::node();
    for family in ["iptables", "ip6tables"] {
        let file = format!("/proc/sys/net/bridge/bridge-nf-call-{family}");
        if std::path::Path::new(&file).exists() {
            node.sh(&format!("echo 0 >{file}"));
        }
    }
    node
}

const GATEWAYS: [&str; 2] = ["10.1.2.1", "fd00:1:2::1"];

#[test]
fn containers_reach_those_in_their_vlan_alone() {
    let node = crate::node();
    let (a, _) = join(&node, &config(json!({ "vlan": 100 })), "a");
    let (_b, of_b) = join(&node, &config(json!({ "vlan": 100 })), "b");
    let (_c, of_c) = join(&node, &config(json!({ "vlan": 200 })), "c");
    let (_d, of_d) = join(&node, &config(json!({})), "d");
    for address in &of_b {
        assert!(a.ping(address), "{address} is in the same VLAN");
    }
    for address in of_c.iter().chain(&of_d) {
        assert!(!a.ping(address), "{address} is not in a's VLAN");
    }
}

#[test]
fn a_trunk_carries_its_vlans_with_tags() {
    let node = crate::node();
    let (a, of_a) = join(&node, &config(json!({ "vlan": 100 })), "a");
    let (_c, of_c) = join(&node, &config(json!({ "vlan": 200 })), "c");
    let (_d, of_d) = join(&node, &config(json!({})), "d");
    let (t, _) = join(&node, &trunk(json!([{ "minID": 100, "maxID": 101 }, { "id": 300 }])), "t");
    let (u, _) = join(&node, &trunk(json!([{ "id": 300 }])), "u");
    tagged(&t, 100, "10.1.2.101/24");
    assert!(t.ping(&of_a[0]), "VLAN 100 with tags here, without there");
    tagged(&t, 300, "10.3.0.1/24");
    tagged(&u, 300, "10.3.0.2/24");
    assert!(t.ping("10.3.0.2"), "VLAN 300 with tags on both sides");
    t.sh("ip link del eth0.100");
    tagged(&t, 200, "10.1.2.101/24");
    assert!(!t.ping(&of_c[0]), "VLAN 200 is not in the trunk");
    t.sh("ip link del eth0.200; ip addr add 10.1.2.101/24 dev eth0");
    assert!(t.ping(&of_d[0]), "frames without a tag are in VLAN 1");
    assert!(!t.ping(&of_a[0]) && !a.ping("10.1.2.101"), "and in no other");
}

#[test]
fn a_trunk_can_come_with_a_vlan_and_hold_all_of_them() {
    let node = crate::node();
    let (_a, of_a) = join(&node, &config(json!({ "vlan": 100 })), "a");
    let both = config(json!({ "vlan": 100, "vlanTrunk": [{ "minID": 1, "maxID": 4094 }] }));
    let t = node.pod("t");
    let call = call(&node, &both, &t);
    let result = call.add().ok();
    assert!(t.ping(&of_a[0]), "VLAN 100 without tags");
    let (_u, _) = join(&node, &trunk(json!([{ "id": 4094 }])), "u");
    tagged(&t, 4094, "10.3.0.1/24");
    tagged(&_u, 4094, "10.3.0.2/24");
    assert!(t.ping("10.3.0.2"));
    let call = call.prev(&result);
    call.check().ok();
    let port = result["interfaces"][1]["name"].as_str().unwrap();
    node.sh(&format!("bridge vlan del dev {port} vid 2000-2004; bridge vlan del dev {port} vid 7"));
    let (_, _, details) = call.check().err();
    assert_eq!(details, format!("port {port} is not in VLAN 7, 2000-2004"));
    call.raw("REPAIR").ok();
    call.check().ok();
}

/// With `preserveDefaultVlan` the port receives VLAN 1, but the container's frames go to its own
/// VLAN.
#[test]
fn the_default_vlan_is_heard_only_if_it_is_preserved() {
    for preserved in [true, false] {
        std::thread::spawn(move || {
            let node = crate::node();
            let (d, of_d) = join(&node, &config(json!({})), "d");
            let keys = json!({ "vlan": 100, "preserveDefaultVlan": preserved });
            let (a, of_a) = join(&node, &config(keys), "a");
            let (b, _) = join(&node, &config(json!({ "vlan": 100 })), "b");
            assert!(!d.ping(&of_a[0]), "no answer comes back");
            let heard = a.sh("ip neighbour show").contains(&of_d[0]);
            assert_eq!(heard, preserved, "a hears d's question for its address");
            assert!(b.ping(&of_a[0]), "its own VLAN works all the same");
        })
        .join()
        .unwrap();
    }
}

#[test]
fn the_gateway_is_in_the_vlan() {
    let node = masquerading_node();
    let outside = node.outside();
    let (a, of_a) = join(&node, &gateway(), "a");
    let (c, _) = join(&node, &config(json!({ "vlan": 200 })), "c");
    for address in [outside.v4, outside.v6] {
        assert!(a.ping(address), "{address} by masquerade");
    }
    for (gateway, address) in GATEWAYS.iter().zip(&of_a) {
        assert!(a.ping(gateway) && node.ping(address));
        assert!(!c.ping(gateway), "{gateway} from another VLAN");
    }
    c.sh("ip route add default via 10.1.2.1; ip -6 route add default via fd00:1:2::1");
    assert!(!c.ping(outside.v4) && !c.ping(outside.v6));
}

/// Each on a node of its own, because the first packet fills neighbour tables for the others.
#[test]
fn the_first_packet_passes() {
    for (from_pod, family) in [(true, 0), (true, 1), (false, 0), (false, 1)] {
        std::thread::spawn(move || {
            let node = crate::node();
            let (pod, addresses) = join(&node, &gateway(), "a");
            let passed =
                if from_pod { pod.ping(GATEWAYS[family]) } else { node.ping(&addresses[family]) };
            assert!(passed, "{}, from the container: {from_pod}", addresses[family]);
        })
        .join()
        .unwrap();
    }
}

#[test]
fn check_names_changes_and_repair_reverts_them() {
    let node = masquerading_node();
    let outside = node.outside();
    let pod = node.pod("a");
    let call = call(&node, &gateway(), &pod);
    let result = call.add().ok();
    let call = call.prev(&result);
    call.check().ok();
    let (veth, port) = (result["interfaces"][1]["name"].as_str().unwrap(), gateway_port(&node));
    for (change, named) in [
        (format!("bridge vlan del dev {veth} vid 100"), format!("port {veth} is not in VLAN 100")),
        (format!("bridge vlan add dev {veth} vid 300"), format!("port {veth} is in VLAN 300")),
        (
            format!("bridge vlan add dev {veth} vid 1 pvid untagged"),
            format!("port {veth} is in VLAN 1"),
        ),
        (
            format!("bridge vlan add dev {veth} vid 100"),
            format!("port {veth} is in VLAN 100, but not as the VLAN of untagged frames"),
        ),
        (format!("bridge vlan del dev {port} vid 100"), format!("port {port} is not in VLAN 100")),
        (format!("bridge vlan add dev {port} vid 200"), format!("port {port} is in VLAN 200")),
        (format!("ip link set {port} nomaster"), format!("{port} is not in the bridge cbr0")),
        (format!("ip link set {port} down"), format!("interface {port} is down")),
        ("ip link set cbr0.100 down".to_owned(), "interface cbr0.100 is down".to_owned()),
        ("ip link del cbr0.100".to_owned(), "interface cbr0.100 is gone".to_owned()),
        (
            "ip addr del 10.1.2.1/24 dev cbr0.100".to_owned(),
            "address 10.1.2.1/24 is not on cbr0.100".to_owned(),
        ),
        (
            "ip link set cbr0 type bridge vlan_filtering 0".to_owned(),
            "bridge cbr0 does not filter VLANs".to_owned(),
        ),
    ] {
        node.sh(&change);
        let (_, msg, details) = call.check().err();
        assert!(details.contains(&named), "{change}: {msg}: {details}");
        call.raw("REPAIR").ok();
        call.check().ok();
        assert!(pod.ping(outside.v4) && pod.ping(outside.v6), "after {change}");
    }
}

#[test]
fn check_knows_a_preserved_default_vlan() {
    let node = crate::node();
    let pod = node.pod("a");
    let call = call(&node, &config(json!({ "vlan": 100, "preserveDefaultVlan": true })), &pod);
    let result = call.add().ok();
    let call = call.prev(&result);
    call.check().ok();
    let before = node.state();
    let veth = result["interfaces"][1]["name"].as_str().unwrap();
    for (change, named) in [
        (format!("bridge vlan del dev {veth} vid 1"), format!("port {veth} is not in VLAN 1")),
        (format!("bridge vlan add dev {veth} vid 300"), format!("port {veth} is in VLAN 300")),
    ] {
        node.sh(&change);
        let (_, msg, details) = call.check().err();
        assert!(details.contains(&named), "{change}: {msg}: {details}");
        call.raw("REPAIR").ok();
        call.check().ok();
        assert_same!(before, node.state(), "{change}");
    }
}

#[test]
fn a_bridge_that_does_not_filter_yet_is_made_to() {
    let node = crate::node();
    node.sh("ip link add cbr0 type bridge; ip link set cbr0 up");
    let (d, _) = join(&node, &config(json!({})), "d");
    let (_e, of_e) = join(&node, &config(json!({})), "e");
    let (a, of_a) = join(&node, &config(json!({ "vlan": 100 })), "a");
    let (_b, of_b) = join(&node, &config(json!({ "vlan": 100 })), "b");
    assert!(a.ping(&of_b[0]) && d.ping(&of_e[0]), "each among themselves");
    assert!(!d.ping(&of_a[0]));
}

#[test]
fn del_keeps_earlier_objects() {
    let node = crate::node();
    let (keep, _) = join(&node, &gateway(), "keep");
    let before = without_counters(&node.state());
    let trunk = config(json!({ "vlan": 200, "vlanTrunk": [{ "minID": 100, "maxID": 110 }] }));
    for config in [gateway(), trunk] {
        let pod = node.pod("a");
        let call = call(&node, &config, &pod);
        call.add().ok();
        assert!(node.sh("ip link").contains("/a/eth0"));
        call.unset("CNI_NETNS").del().ok();
        node.delete(&pod);
        assert_same!(before, without_counters(&node.state()), "{config}");
    }
    assert!(keep.ping(GATEWAYS[0]));
}

fn without_counters(state: &str) -> String {
    state.split_inclusive('\n').filter(|line| !line.contains("last_reserved_ip")).collect()
}

#[test]
fn a_gateway_of_the_reference_suite_is_used() {
    let node = crate::node();
    let mut config = gateway();
    config["cniVersion"] = "1.0.0".into();
    let theirs = node.pod("theirs");
    call(&node, &config, &theirs).suite(testbed::reference()).add().ok();
    let port = gateway_port(&node);
    let ours = node.pod("ours");
    let call = call(&node, &config, &ours);
    let result = call.add().ok();
    assert_eq!(gateway_port(&node), port);
    assert!(ours.ping(GATEWAYS[0]) && ours.ping(GATEWAYS[1]) && theirs.ping(GATEWAYS[0]));
    call.prev(&result).check().ok();
}

#[test]
fn another_link_in_the_gateways_place_is_named() {
    let node = crate::node();
    node.sh("ip link add cbr0.100 type dummy");
    let pod = node.pod("a");
    let (_, msg, details) = call(&node, &gateway(), &pod).add().err();
    assert!(msg.contains("cbr0.100 exists already and is not the other end of"), "{msg}");
    assert!(details.contains("ip link del cbr0.100"), "{details}");
    assert!(!node.sh("ip link show").contains("cbr0:"), "what the ADD made is gone again");
}

#[test]
fn many_at_once_share_one_gateway() {
    let node = crate::node();
    let pods: Vec<Pod> = (0..8).map(|index| node.pod(&format!("p{index}"))).collect();
    std::thread::scope(|scope| {
        let calls = pods.iter().map(|pod| call(&node, &gateway(), pod));
        let adds = calls.map(|call| scope.spawn(move || call.add().ok()));
        adds.collect::<Vec<_>>().into_iter().for_each(|add| drop(add.join().unwrap()));
    });
    for pod in &pods {
        assert!(pod.ping(GATEWAYS[0]) && pod.ping(GATEWAYS[1]), "{}", pod.name());
    }
}

/// The kernel's VLAN state is the same as with the reference suite.
#[test]
fn ports_are_as_the_reference_suite_makes_them() {
    std::thread::spawn(|| drop(crate::node())).join().unwrap();
    // Debian's version supports neither trunks nor ports that leave VLAN 1.
    let keys = json!({ "vlan": 100, "preserveDefaultVlan": true, "isDefaultGateway": true, "ipMasq": true });
    let mut config = config(keys);
    config["cniVersion"] = "1.0.0".into();
    testbed::assert_same_as_reference("bridge", config, "");
}

/// A bridge that separates VLANs learns MAC addresses for each VLAN separately.
#[test]
fn a_mac_may_be_in_two_vlans_but_not_twice_in_one_network() {
    let node = Node::new();
    let (a, b, c) = (node.pod("a"), node.pod("b"), node.pod("c"));
    let network = |vlan: u32| {
        config(json!({
            "name": format!("vlan{vlan}"), "vlan": vlan, "isGateway": true,
            "ipam": { "type": "host-local", "subnet": format!("10.{vlan}.0.0/24") },
        }))
    };
    let add = |pod: &Pod, vlan| {
        call(&node, &network(vlan), pod).args("IgnoreUnknown=1;MAC=02:00:00:00:00:04").add()
    };
    add(&a, 10).ok();
    add(&b, 20).ok();
    assert!(a.ping("10.10.0.1") && b.ping("10.20.0.1") && a.ping("10.10.0.1"));
    let (_, msg, _) = add(&c, 20).err();
    assert!(msg.contains("ferrocni:vlan20/b/eth0 has the same MAC address"), "{msg}");
}
