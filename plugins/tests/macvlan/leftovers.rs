//! Nothing is left after DEL in all its forms, after GC, and after a failed ADD.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use testbed::assert_same;

use super::{Lan, config, lasting, layer_2, on_a_lan};

fn access() -> Value {
    config(json!({ "hostAccess": true, "hostRoutes": ["10.96.0.0/12"] }))
}

/// The first ADD switches on forwarding, which stays.
fn used(lan: &Lan) {
    lan.node.sh("sysctl -qw net.ipv4.ip_forward=1");
}

#[test]
fn del_twice_without_namespace_without_result() {
    for config in [
        access(),
        config(json!({})),
        layer_2(json!({})),
        config(json!({ "mac": "02:00:00:00:00:04" })),
    ] {
        on_a_lan(move |lan| {
            used(&lan);
            let pod = lan.node.pod("a");
            let before = lasting(&lan.node.state());
            let call = lan.call(&config, &pod);
            let is_clean = |how: &str| {
                assert_same!(before, lasting(&lan.node.state()), "{how}, {config}");
            };
            let result = call.add().ok();
            for again in 0..2 {
                call.clone().prev(&result).del().ok();
                is_clean(&format!("with all there is, {again}"));
            }
            call.add().ok();
            for again in 0..2 {
                call.del().ok();
                is_clean(&format!("without the result, {again}"));
            }
            call.add().ok();
            for again in 0..2 {
                call.clone().unset("CNI_NETNS").del().ok();
                is_clean(&format!("without namespace and result, {again}"));
            }
            call.add().ok();
            call.clone().env("CNI_NETNS", "/run/netns/gone").del().ok();
            is_clean("with a path that is gone");
            // The namespace and its link no longer exist; the objects on the host do.
            call.add().ok();
            lan.node.delete(&pod);
            call.del().ok();
            let pod = lan.node.pod("a");
            is_clean("after the namespace");
            lan.call(&config, &pod).add().ok();
            lan.call(&config, &pod).key("cni.dev/valid-attachments", json!([])).gc().ok();
            is_clean("by GC");
        });
    }
}

/// A container may rename its link: the alias names the owner.
#[test]
fn del_finds_a_renamed_link() {
    let lan = Lan::new();
    let pod = lan.node.pod("a");
    let call = lan.call(&config(json!({})), &pod);
    for without in ["nothing", "CNI_NETNS"] {
        call.add().ok();
        pod.sh("ip link set eth0 down; ip link set eth0 name net9");
        call.clone().unset(without).del().ok();
        assert!(!pod.sh("ip link").contains("net9"), "without {without}");
    }
}

#[test]
fn del_leaves_links_of_other_programs() {
    let lan = Lan::new();
    let pod = lan.node.pod("a");
    let call = lan.call(&config(json!({})), &pod);
    for (what, make) in [
        ("a veth", "ip link add eth0 type veth peer name other"),
        ("another container's", "ip link add peer0 type veth peer name peer1; ip link set peer0 up
            ip link add link peer0 name eth0 type macvlan mode bridge; ip link set eth0 alias ferrocni:lan/other/eth0"),
        ("another program's, with an alias", "ip link add peer0 type veth peer name peer1
            ip link add link peer0 name eth0 type macvlan mode bridge; ip link set eth0 alias mine"),
    ] {
        pod.sh(make);
        call.del().ok();
        call.clone().unset("CNI_NETNS").del().ok();
        assert!(pod.sh("ip link").contains("eth0"), "{what}");
        pod.sh("ip link del eth0; ip link del peer0 2>/dev/null || true");
    }
}

#[test]
fn gc_removes_exactly_the_stale_attachments() {
    let lan = Lan::new();
    let pods = ["keep", "stale", "other"].map(|name| lan.node.pod(name));
    let mut other = access();
    other["name"] = "other".into();
    other["ipam"]["ranges"] = json!([[{ "subnet": "198.51.100.0/24" }]]);
    let [keep, stale] = [0, 1].map(|index| lan.call(&access(), &pods[index]));
    let (kept, _) = (keep.add().ok(), stale.add().ok());
    let others = lan.call(&other, &pods[2]).add().ok();
    let list = json!([{ "containerID": "keep", "ifname": "eth0" }]);
    keep.clone().key("cni.dev/valid-attachments", list).gc().ok();
    let has_link = pods.each_ref().map(|pod| pod.sh("ip link").contains("eth0"));
    assert_eq!(has_link, [true, false, true]);
    keep.prev(&kept).check().ok();
    lan.call(&other, &pods[2]).prev(&others).check().ok();
    assert!(!lan.node.sh("ip route; ip -6 route").contains("192.0.2.101"));
    assert!(pods[0].ping("192.0.2.1") && pods[2].ping("192.0.2.1"));
}

/// A link without an alias that a killed ADD left, and one that may belong to a live attachment.
#[test]
fn gc_knows_links_without_alias_by_their_group() {
    let lan = Lan::new();
    let (a, b) = (lan.node.pod("a"), lan.node.pod("b"));
    for pod in [&a, &b] {
        lan.call(&layer_2(json!({})), pod).add().ok();
        pod.sh("ip link set eth0 alias ''");
    }
    let gc = |valid: Value| {
        lan.call(&layer_2(json!({})), &a).key("cni.dev/valid-attachments", valid).gc().ok()
    };
    gc(json!([{ "containerID": "a", "ifname": "eth0" }]));
    assert!(a.sh("ip link").contains("eth0"), "it may be the listed one");
    gc(json!([{ "containerID": "a", "ifname": "eth1" }]));
    assert!(!a.sh("ip link").contains("eth0") && !b.sh("ip link").contains("eth0"));
}

#[test]
fn a_second_add_is_an_error_and_changes_nothing() {
    let lan = Lan::new();
    let pod = lan.node.pod("a");
    for (ifname, config) in [("eth0", access()), ("eth1", layer_2(json!({})))] {
        let call = lan.call(&config, &pod).ifname(ifname);
        call.add().ok();
        let before = lan.node.state();
        let (_, msg, details) = call.add().err();
        assert!(format!("{msg} {details}").contains("already"), "{msg} {details}");
        assert_same!(before, lan.node.state());
    }
}

/// An IPAM plugin for the test.
fn ipam(name: &str, script: &str) -> Value {
    fs::create_dir_all("/run/plugins").unwrap();
    let path = format!("/run/plugins/{name}");
    fs::write(&path, format!("#!/bin/sh\ncat >/dev/null\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    json!({ "type": name })
}

#[test]
fn an_add_that_fails_leaves_nothing() {
    let lan = Lan::new();
    used(&lan);
    let pod = lan.node.pod("a");
    let path = format!("/run/plugins:{}", testbed::bin().display());
    let answer = |result: Value| format!("[ $CNI_COMMAND = ADD ] && echo '{result}'; exit 0");
    let unreachable = json!({ "cniVersion": "1.1.0", "ips": [{ "address": "192.0.2.200/24" }],
        "routes": [{ "dst": "10.7.0.0/16", "gw": "10.99.0.1" }] });
    let refuses = "echo '{\"code\": 11, \"msg\": \"nothing left\"}'; exit 1".to_owned();
    let cases = [
        (ipam("refuses", &refuses), json!({}), "nothing left"),
        (ipam("unreachable", &answer(unreachable)), json!({}), "add the route 10.7.0.0/16"),
        // Less than the kernel lets an Ethernet link have.
        (config(json!({}))["ipam"].clone(), json!({ "mtu": 67 }), "eth0"),
    ];
    let before = lan.node.state();
    for (ipam, keys, words) in cases {
        let mut config = access();
        config["ipam"] = ipam;
        config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        let (_, msg, details) = lan.call(&config, &pod).env("CNI_PATH", &path).add().err();
        assert!(msg.contains(words), "{msg} {details}");
        assert_same!(lasting(&before), lasting(&lan.node.state()), "{words}");
    }
}

/// The failing ADD must not remove the shim that another attachment uses.
#[test]
fn an_add_that_fails_leaves_others_their_shim() {
    let lan = Lan::new();
    let (pod, _) = lan.join(&access(), "a");
    let failing = lan.node.pod("b");
    let before = lan.node.state();
    lan.call(&config(json!({ "hostAccess": true, "mac": "01:00:5e:00:00:01" })), &failing)
        .add()
        .err();
    assert_same!(lasting(&before), lasting(&lan.node.state()));
    assert!(pod.ping("192.0.2.1"));
}

/// A container with a MAC of its own is restarted: the old link exists until the kernel deletes it.
#[test]
fn a_mac_comes_back_as_soon_as_its_namespace_is_gone() {
    on_a_lan(|lan| {
        let config = config(json!({ "mac": "02:00:00:00:00:04" }));
        for _ in 0..10 {
            let pod = lan.node.pod("a");
            let call = lan.call(&config, &pod);
            call.add().ok();
            lan.node.delete(&pod);
            let pod = lan.node.pod("a");
            let next = lan.call(&config, &pod).container("next");
            next.add().ok();
            call.del().ok();
            next.del().ok();
            lan.node.delete(&pod);
        }
    });
}

/// A live link is never removed for a new one, however long the ADD waits.
#[test]
fn a_mac_of_a_living_container_is_refused_and_its_holder_named() {
    on_a_lan(|lan| {
        let config = config(json!({ "mac": "02:00:00:00:00:04" }));
        let (holder, pod) = (lan.node.pod("holder"), lan.node.pod("a"));
        lan.call(&config, &holder).add().ok();
        let (_, msg, details) = lan.call(&config, &pod).add().err();
        assert!(msg.contains("ferrocni:lan/holder/eth0 has the same MAC address"), "{msg}");
        assert!(details.contains("another MAC address"), "{details}");
        assert!(holder.ping(lan.outside.v4));
    });
}
