//! The `prevResult` of DEL is only a hint: DEL finds the attachment's objects without it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use testbed::{Node, assert_same};

use super::{assert_no_new_neighbours, call, config, lasting, neighbours, on_a_node, used};

/// A change of a result, as a description and as a function.
type Change = (&'static str, fn(&mut Value));

/// Changes that a later plugin in the chain, or a runtime, may make to a result.
fn changes() -> Vec<Change> {
    fn container(result: &mut Value) -> &mut Value {
        let interfaces = result["interfaces"].as_array_mut().unwrap();
        interfaces.iter_mut().find(|one| one["sandbox"].is_string()).unwrap()
    }
    vec![
        ("as it was", |_| {}),
        ("without the first address", |result| {
            drop(result["ips"].as_array_mut().unwrap().remove(0))
        }),
        ("without the second address", |result| drop(result["ips"].as_array_mut().unwrap().pop())),
        ("without addresses", |result| result["ips"] = json!([])),
        ("with an unused address", |result| result["ips"][0]["address"] = json!("10.9.9.9/24")),
        // The container that stays has 10.1.2.3, because it is the second of the network.
        ("with another container's address", |result| {
            result["ips"][0]["address"] = json!("10.1.2.3/24");
        }),
        ("with another MAC address", |result| {
            container(result)["mac"] = json!("02:00:00:00:00:77")
        }),
        ("without interfaces", |result| {
            result["interfaces"] = json!([]);
            result["ips"]
                .as_array_mut()
                .unwrap()
                .iter_mut()
                .for_each(|ip| ip["interface"] = Value::Null);
        }),
        ("with other names", |result| {
            for interface in result["interfaces"].as_array_mut().unwrap() {
                if interface["name"].as_str().unwrap().starts_with("veth") {
                    interface["name"] = json!("veth0");
                }
                interface["mac"] = json!("02:00:00:00:00:78");
            }
        }),
    ]
}

/// An IPAM plugin that keeps no files of host-local: it gives the same two addresses to every
/// container it does not know.
fn foreign() -> String {
    fs::create_dir_all("/run/plugins").unwrap();
    let script = r#"#!/bin/sh
cat >/dev/null
[ $CNI_COMMAND = ADD ] || exit 0
case $CNI_CONTAINERID in keep) last=3 ;; *) last=2 ;; esac
echo "{\"cniVersion\": \"1.1.0\", \"ips\": [{\"address\": \"10.1.2.$last/24\"}, {\"address\": \"fd00:1:2::$last/64\"}]}"
"#;
    fs::write("/run/plugins/foreign", script).unwrap();
    fs::set_permissions("/run/plugins/foreign", fs::Permissions::from_mode(0o755)).unwrap();
    format!("/run/plugins:{}", testbed::bin().display())
}

fn try_all(config: &Value) {
    on_a_node(|node| {
        let path = foreign();
        let foreign = config["ipam"]["type"] == "foreign";
        // `CNI_PATH` contains the foreign IPAM plugin only if the configuration names it.
        let with_path =
            |call: testbed::Cni| if foreign { call.env("CNI_PATH", &path) } else { call };
        let (first, keep) = (node.pod("first"), node.pod("keep"));
        for pod in [&first, &keep] {
            with_path(call(node, config, pod)).add().ok();
        }
        with_path(call(node, config, &first)).del().ok();
        node.delete(&first);
        if config["type"] == "bridge" {
            // The kernel must keep the entries that DEL of another container must leave.
            let mac = keep.sh("ip -o link show eth0 | grep -o 'link/ether [^ ]*' | cut -d' ' -f2");
            for address in ["10.1.2.3", "fd00:1:2::3"] {
                node.sh(&format!(
                    "ip neigh replace {address} lladdr {} nud permanent dev cbr0",
                    mac.trim()
                ));
            }
        }
        for (what, change) in changes() {
            for is_gone in [false, true] {
                let (before, known) = (lasting(node), neighbours(node));
                // So that it gets the free address before that of the other container.
                node.sh("rm -f /var/lib/cni/networks/pods/last_reserved_ip.*");
                let pod = node.pod("c");
                let call = with_path(call(node, config, &pod));
                let mut result = call.add().ok();
                change(&mut result);
                if is_gone {
                    node.delete(&pod);
                }
                call.prev(&result).del().ok();
                if !is_gone {
                    node.delete(&pod);
                }
                let plugin = &config["type"];
                let what = format!("{plugin}, result {what}, namespace gone: {is_gone}");
                assert_same!(before, lasting(node), "{what}");
                assert_no_new_neighbours(&known, node, &what);
            }
        }
    });
}

#[test]
fn del_of_a_bridge_does_not_need_the_result() {
    try_all(&config("bridge", json!({})));
}

#[test]
fn del_of_a_routed_veth_pair_does_not_need_the_result() {
    try_all(&config("ptp", json!({})));
}

#[test]
fn del_with_iptables_does_not_need_the_result() {
    try_all(&config("bridge", json!({ "ipMasqBackend": "iptables" })));
}

#[test]
fn del_with_a_foreign_ipam_plugin_does_not_need_the_result() {
    for backend in ["nftables", "iptables"] {
        let keys = json!({ "ipMasqBackend": backend, "ipam": { "type": "foreign" } });
        try_all(&config("bridge", keys));
    }
}

/// Another plugin of the chain, such as `tuning`, sets another MAC address.
#[test]
fn del_removes_the_neighbours_of_a_changed_mac_address() {
    let node = Node::new();
    let config = config("bridge", json!({}));
    let keep = used(&node, &config);
    let before = neighbours(&node);
    for (with_result, is_gone) in [(true, false), (false, false), (true, true), (false, true)] {
        let pod = node.pod("c");
        let call = call(&node, &config, &pod);
        let mut result = call.add().ok();
        pod.sh("ip link set eth0 address 02:00:00:00:00:99");
        let addresses = result["ips"].as_array().unwrap().clone();
        for ip in &addresses {
            let address = ip["address"].as_str().unwrap().split('/').next().unwrap();
            node.sh(&format!(
                "ip neigh replace {address} lladdr 02:00:00:00:00:99 nud reachable dev cbr0"
            ));
        }
        node.sh(
            "ip neigh replace fe80::ff:fe00:99 lladdr 02:00:00:00:00:99 nud reachable dev cbr0",
        );
        // The plugin may report it, or not.
        if is_gone {
            result["interfaces"][2]["mac"] = json!("02:00:00:00:00:99");
            node.delete(&pod);
        }
        let call = if with_result { call.prev(&result) } else { call };
        call.del().ok();
        let what = format!("with result: {with_result}, gone: {is_gone}");
        assert_no_new_neighbours(&before, &node, &what);
        let left = node.sh("ip -6 neigh show nud all");
        assert!(!left.contains("fe80::ff:fe00:99"), "{what}: {left}");
        if !is_gone {
            node.delete(&pod);
        }
    }
    assert!(keep.ping("10.1.2.1"));
}

/// The configuration may have changed since ADD, and with it the bridge that is named.
#[test]
fn del_removes_neighbours_that_the_configuration_does_not_lead_to() {
    let node = Node::new();
    let config = config("bridge", json!({}));
    used(&node, &config);
    let before = neighbours(&node);
    for mistake in [json!({ "isDefaultGateway": false }), json!({ "bridge": "another" })] {
        let pod = node.pod("c");
        let call = call(&node, &config, &pod);
        call.add().ok();
        let mut later = config.clone();
        later.as_object_mut().unwrap().extend(mistake.as_object().unwrap().clone());
        call.conf(&later).del().ok();
        assert_no_new_neighbours(&before, &node, &mistake.to_string());
        node.delete(&pod);
    }
}

#[test]
fn gc_removes_the_hosts_neighbours_of_stale_attachments_alone() {
    let node = Node::new();
    let config = config("bridge", json!({}));
    used(&node, &config);
    let before = (lasting(&node), neighbours(&node));
    let (gone, there) = (node.pod("gone"), node.pod("there"));
    for pod in [&gone, &there] {
        call(&node, &config, pod).add().ok();
    }
    assert_eq!(neighbours(&node).difference(&before.1).count(), 4, "of two containers");
    node.delete(&gone);
    let list = json!([{ "containerID": "keep", "ifname": "eth0" }]);
    call(&node, &config, &there).key("cni.dev/valid-attachments", list).gc().ok();
    node.delete(&there);
    assert_no_new_neighbours(&before.1, &node, "after GC");
    assert_same!(before.0, lasting(&node));
}

/// The leftovers that docs/plugins/bridge.md lists: the bridge with its addresses, forwarding, the
/// tables, and host-local's directory. GC of the network removes the chains of its subnets.
#[test]
fn after_the_last_del_only_the_documented_objects_are_left() {
    let node = Node::new();
    let (config, pod) = (config("bridge", json!({})), node.pod("a"));
    let before = lasting(&node);
    let result = call(&node, &config, &pod).add().ok();
    call(&node, &config, &pod).prev(&result).del().ok();
    let is_shared = |line: &&str| {
        let words = [
            "cbr0",
            "ip_forward",
            "ipv6/conf/all/forwarding",
            "/var/lib/cni/networks",
            "chain masq_",
        ];
        words.iter().any(|word| line.contains(word))
    };
    let left = node.sh("nft list ruleset");
    assert!(left.contains("chain masq_10.1.2.0/24") && !left.contains("jump masq_"), "{left}");
    assert!(!left.contains("elements"), "{left}");
    let lines = |state: &str| -> Vec<String> {
        let ours = state.lines().filter(|line| !is_shared(line) && !line.starts_with('\t'));
        ours.filter(|line| !line.starts_with("table") && *line != "}").map(str::to_owned).collect()
    };
    assert_eq!(lines(&before), lines(&lasting(&node)));
    call(&node, &config, &pod).key("cni.dev/valid-attachments", json!([])).gc().ok();
    let left = node.sh("nft list ruleset");
    assert!(!left.contains("chain masq_"), "{left}");
    assert!(neighbours(&node).is_empty());
}

/// A cache may return the result of another attachment, with the name and MAC address of a live
/// link.
#[test]
fn the_result_of_an_attachment_that_lives_takes_nothing_from_it() {
    for kind in ["bridge", "ptp"] {
        on_a_node(|node| {
            let config = config(kind, json!({}));
            let (mine, other) = (node.pod("mine"), node.pod("other"));
            call(node, &config, &mine).add().ok();
            let result = call(node, &config, &other).add().ok();
            call(node, &config, &mine).prev(&result).del().ok();
            call(node, &config, &other).prev(&result).check().ok();
            assert!(other.ping("10.1.2.1") && other.ping("fd00:1:2::1"), "{kind}");
            assert_eq!(mine.sh("ip -o link show type veth"), "", "{kind}");
            assert!(!fs::exists("/var/lib/cni/networks/pods/10.1.2.2").unwrap(), "{kind}");
        });
    }
}
