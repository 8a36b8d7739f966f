//! `dummy` on a kernel that has such links.

use serde_json::{Value, json};
use testbed::{Cni, Node, Pod, assert_same};

fn config() -> Value {
    let ranges = json!([[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]]);
    let ipam =
        json!({ "type": "host-local", "ranges": ranges, "routes": [{ "dst": "10.9.0.0/16" }] });
    json!({ "cniVersion": "1.1.0", "name": "services", "type": "dummy", "ipam": ipam })
}

fn call(node: &Node, pod: &Pod) -> Cni {
    node.plugin("dummy").conf(config()).container(pod.name()).netns(pod)
}

#[test]
fn a_dummy_link_lives_in_its_container() {
    let node = crate::node();
    let pod = node.pod("a");
    // A link of the host with the same name is no conflict.
    node.sh("ip link add eth0 type veth peer name eth1");
    let before = node.state();
    let call = call(&node, &pod);
    call.raw("PLAN").ok();
    assert_same!(before, node.state());
    call.status().ok();
    let result = call.add().ok();
    let shown: Value = serde_json::from_str(&pod.sh("ip -j -d addr show eth0")).unwrap();
    assert_eq!(shown[0]["linkinfo"]["info_kind"], "dummy");
    assert_eq!(shown[0]["address"], result["interfaces"][0]["mac"]);
    assert_eq!(shown[0]["ifalias"], "ferrocni:services/a/eth0");
    for ip in result["ips"].as_array().unwrap() {
        assert_eq!(ip["interface"], 0);
        pod.sh("ip link set lo up");
        assert!(pod.ping(ip["address"].as_str().unwrap()));
    }
    pod.sh(
        "ip link set lo down; ip addr flush dev lo; ip route show dev eth0 | grep -q ^10.9.0.0/16",
    );
    let call = call.prev(&result);
    call.check().ok();
    // What CHECK finds, REPAIR repairs.
    pod.sh("ip link set eth0 address 02:00:00:00:00:01; ip link set eth0 down");
    let (_, _, details) = call.check().err();
    assert!(details.contains("has the MAC 02:00:00:00:00:01"), "{details}");
    assert!(details.contains("interface eth0 is down"), "{details}");
    call.raw("REPAIR").ok();
    call.check().ok();
    pod.sh("ip link del eth0");
    assert!(call.check().err().2.contains("interface eth0 is gone"));
    call.raw("REPAIR").ok();
    call.check().ok();
    for _ in 0..2 {
        call.del().ok();
        node.sh("rm -rf /var/lib/cni/networks");
        assert_same!(before, node.state());
    }
}

#[test]
fn del_and_gc_find_a_dummy_link_without_its_path() {
    let node = crate::node();
    let pods = [node.pod("a"), node.pod("b")];
    let before = node.state();
    let [first, second] = pods.each_ref().map(|pod| call(&node, pod));
    first.add().ok();
    let result = second.add().ok();
    // A second ADD of a live attachment, here and elsewhere.
    first.add().err();
    first.clone().netns(&pods[1]).add().err();
    first.clone().unset("CNI_NETNS").del().ok();
    pods[0].sh("! ip link show eth0 2>/dev/null");
    first.add().ok();
    let valid = json!([{ "containerID": "b", "ifname": "eth0" }]);
    first.clone().key("cni.dev/valid-attachments", valid).gc().ok();
    pods[0].sh("! ip link show eth0 2>/dev/null");
    second.clone().prev(&result).check().ok();
    // Another plugin's link of the name stays.
    pods[0].sh("ip link add eth0 type dummy");
    first.add().err();
    first.del().ok();
    pods[0].sh("ip link show eth0; ip link del eth0");
    second.key("cni.dev/valid-attachments", json!([])).gc().ok();
    node.sh("rm -rf /var/lib/cni/networks");
    assert_same!(before, node.state());
}
