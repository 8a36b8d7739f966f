//! The effect of the keys for modes, MAC addresses and promiscuity.

use serde_json::{Value, json};
use testbed::assert_same;

use super::{Lan, config, layer_2, on_a_lan};

/// Whether two containers of a mode reach each other, directly or through a switch that sends
/// frames back.
fn reached(mode: &'static str, reflecting: bool) -> bool {
    on_a_lan(|lan| {
        lan.outside.sh(&format!(
            "ip link add br0 type bridge; ip link set eth0 master br0; ip link set br0 up
            bridge link set dev eth0 hairpin {}",
            if reflecting { "on" } else { "off" }
        ));
        let (a, _) = lan.join(&config(json!({ "mode": mode })), "a");
        let (_, of_b) = lan.join(&config(json!({ "mode": mode })), "b");
        assert!(a.sh("ip -d link show eth0").contains(&format!("macvlan mode {mode} ")));
        let both: Vec<bool> = of_b.iter().map(|address| a.ping(address)).collect();
        assert_eq!(both[0], both[1], "IPv4 and IPv6, mode {mode}");
        both[0]
    })
}

#[test]
fn bridge_needs_no_switch() {
    assert!(reached("bridge", false));
}

#[test]
fn vepa_needs_a_switch_that_sends_frames_back() {
    assert!(!reached("vepa", false));
    assert!(reached("vepa", true));
}

#[test]
fn private_containers_never_reach_each_other() {
    assert!(!reached("private", false));
    assert!(!reached("private", true));
}

#[test]
fn passthru_is_one_container_with_the_parents_mac() {
    let lan = Lan::new();
    let before = lan.node.state();
    let passthru = config(json!({ "mode": "passthru" }));
    let pod = lan.node.pod("a");
    let call = lan.call(&passthru, &pod);
    let result = call.add().ok();
    let mac = lan.node.sh("ip -br link show uplink");
    let mac = mac.split_whitespace().nth(2).unwrap();
    assert_eq!(result["interfaces"][0]["mac"], mac);
    assert!(pod.sh("ip link show eth0").contains(mac));
    assert!(pod.ping(lan.outside.v4) && lan.outside.ping("2001:db8:ffff::100"));
    call.clone().prev(&result).check().ok();
    for mode in ["passthru", "bridge"] {
        let second = lan.node.pod(mode);
        let other = lan.call(&config(json!({ "mode": mode })), &second);
        let (_, msg, details) = other.add().err();
        assert!(msg.contains("uplink") && msg.contains("ferrocni:lan/a/eth0"), "{mode}: {msg}");
        assert!(details.contains("another parent"), "{details}");
        other.del().ok();
        lan.node.delete(&second);
    }
    let other = config(json!({ "mode": "passthru", "mac": "02:00:00:00:00:09" }));
    let third = lan.node.pod("b");
    let (code, msg, _) = lan.call(&other, &third).add().err();
    assert_eq!(
        (code, msg.as_str()),
        (7, "in mode passthru the MAC address cannot be 02:00:00:00:00:09")
    );
    lan.node.delete(&third);
    call.del().ok();
    lan.node.delete(&pod);
    assert_same!(super::lasting(&before), super::lasting(&lan.node.state()));
}

#[test]
fn the_mac_comes_from_the_runtime_then_arguments_then_the_configuration() {
    let lan = Lan::new();
    let by_key = json!({ "mac": "02:00:00:00:00:04" });
    let by_args =
        json!({ "mac": "02:00:00:00:00:04", "args": { "cni": { "mac": "02:00:00:00:00:02" } } });
    let by_runtime =
        json!({ "mac": "02:00:00:00:00:04", "runtimeConfig": { "mac": "02:00:00:00:00:01" } });
    for (index, (keys, args, wanted)) in [
        (by_runtime, "MAC=02:00:00:00:00:03", "02:00:00:00:00:01"),
        (by_args, "MAC=02:00:00:00:00:03", "02:00:00:00:00:02"),
        (
            by_key.clone(),
            "IgnoreUnknown=1;K8S_POD_NAME=x;MAC=02:00:00:00:00:03",
            "02:00:00:00:00:03",
        ),
        (by_key, "", "02:00:00:00:00:04"),
    ]
    .into_iter()
    .enumerate()
    {
        let pod = lan.node.pod(&format!("p{index}"));
        let call = lan.call(&layer_2(keys), &pod).args(args);
        let result = call.add().ok();
        assert_eq!(result["interfaces"][0]["mac"], wanted);
        assert!(pod.sh("ip link show eth0").contains(wanted), "{wanted}");
        call.clone().prev(&result).check().ok();
        call.del().ok();
        assert!(!pod.sh("ip link").contains("eth0"));
    }
}

#[test]
fn the_derived_mac_is_always_the_same() {
    let lan = Lan::new();
    let pod = lan.node.pod("a");
    let call = lan.call(&layer_2(json!({})), &pod);
    let macs = [0, 1].map(|_| {
        let result = call.add().ok();
        call.del().ok();
        result["interfaces"][0]["mac"].clone()
    });
    assert_eq!(macs[0], macs[1]);
    let other = call.container("another").add().ok();
    assert_ne!(macs[0], other["interfaces"][0]["mac"]);
}

/// The kernel's count of requests that the parent be promiscuous.
fn promiscuity(lan: &Lan) -> u64 {
    let shown = lan.node.sh("ip -d -j link show uplink");
    serde_json::from_str::<Value>(&shown).unwrap()[0]["promiscuity"].as_u64().unwrap()
}

#[test]
fn promiscuous_children_count_on_the_parent_for_as_long_as_they_live() {
    let lan = Lan::new();
    // A child with a MAC of its own makes a veth promiscuous by itself: veth cannot filter.
    let (_plain, _) = lan.join(&config(json!({})), "plain");
    let before = promiscuity(&lan);
    let promiscuous = config(json!({ "promiscuous": true }));
    let (a, _) = lan.join(&promiscuous, "a");
    let (b, _) = lan.join(&promiscuous, "b");
    assert_eq!(promiscuity(&lan), before + 2);
    lan.node.sh("ip link set uplink promisc on");
    lan.call(&promiscuous, &a).del().ok();
    assert_eq!(promiscuity(&lan), before + 2);
    lan.call(&promiscuous, &b).del().ok();
    assert_eq!(promiscuity(&lan), before + 1);
    assert!(lan.node.sh("ip link show uplink").contains("PROMISC"), "another program's setting");
    lan.node.sh("ip link set uplink promisc off");
    assert_eq!(promiscuity(&lan), before);
}

/// A multicast group without members.
#[test]
fn a_promiscuous_container_sees_every_multicast() {
    let lan = Lan::new();
    let (pod, _) = lan.join(&config(json!({ "promiscuous": true })), "a");
    let send = || {
        lan.outside.sh("ping -c3 -i0.05 -W0.1 -I eth0 239.7.7.7 || true");
    };
    assert_eq!(pod.count("eth0", "ip daddr 239.7.7.7", send), 3);
}

#[test]
fn broadcasts_that_may_wait() {
    let lan = Lan::new();
    let (pod, _) = lan.join(&config(json!({ "bcqueuelen": 77 })), "a");
    assert!(pod.sh("ip -d link show eth0").contains("bcqueuelen 77 "));
}
