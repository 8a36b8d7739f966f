//! Unusable parents: STATUS gives the reason before a container is started, and ADD's error gives
//! the same.

use serde_json::json;
use testbed::assert_same;

use super::{Lan, config, layer_2, on_a_lan};

/// Expects STATUS 50 and an error of ADD, both with this text, and nothing left.
#[track_caller]
fn refused(lan: &Lan, keys: serde_json::Value, words: &[&str]) {
    let config = config(keys);
    let pod = lan.node.pod("refused");
    let before = lan.node.state();
    let call = lan.call(&config, &pod);
    for (verb, code) in [("STATUS", Some(50)), ("ADD", None)] {
        let outcome = call.raw(verb);
        let (seen, msg, details) = outcome.err();
        assert!(code.is_none_or(|code| code == seen), "{outcome}");
        let all = format!("{msg}\n{details}");
        assert!(words.iter().all(|word| all.contains(word)), "expected {words:?}\n{outcome}");
    }
    assert_same!(super::lasting(&before), super::lasting(&lan.node.state()));
    call.del().ok();
    lan.node.delete(&pod);
}

#[test]
fn a_good_parent_is_none_of_these() {
    let lan = Lan::new();
    lan.node.plugin("macvlan").conf(config(json!({}))).status().ok();
}

#[test]
fn missing_or_no_ethernet() {
    let lan = Lan::new();
    refused(&lan, json!({ "master": "nowhere" }), &["Link not found: nowhere", "of the host"]);
    refused(&lan, json!({ "master": "a-name-too-long-for-linux" }), &["Link not found"]);
    refused(&lan, json!({ "master": null }), &["no default route interface found", "master"]);
    refused(&lan, json!({ "master": "lo" }), &["lo is not an Ethernet link"]);
    lan.node.sh("ip tuntap add tun0 mode tun; ip link set tun0 up");
    refused(&lan, json!({ "master": "tun0" }), &["tun0 is not an Ethernet link"]);
}

#[test]
fn a_port_of_a_bridge() {
    let lan = Lan::new();
    lan.node.sh("ip link add br0 type bridge; ip link set uplink master br0");
    refused(&lan, json!({}), &["port of the bridge br0", "\"master\": \"br0\"", "nomaster"]);
}

#[test]
fn taken_by_a_container_in_passthru_mode() {
    let lan = Lan::new();
    lan.node.sh("ip link add alone link uplink type macvlan mode passthru");
    refused(&lan, json!({}), &["alone has exclusive use of it", "another parent"]);
}

/// The parent need not have a carrier for a container to start: the cable may come later.
#[test]
fn a_parent_without_carrier_is_used() {
    let lan = Lan::new();
    lan.outside.sh("ip link set eth0 down");
    lan.node.plugin("macvlan").conf(config(json!({}))).status().ok();
    let (pod, addresses) = lan.join(&config(json!({})), "a");
    lan.outside.sh("ip link set eth0 up; ip addr add 2001:db8:ffff::2/64 dev eth0 nodad");
    for _ in 0..100 {
        if pod.sh("ip link show eth0").contains("LOWER_UP") {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(pod.ping(lan.outside.v4) && lan.outside.ping(&addresses[0]));
}

#[test]
fn a_macvlan_link_as_the_parent_means_its_own_parent() {
    let lan = Lan::new();
    lan.node.sh("ip link add mv0 link uplink type macvlan mode bridge; ip link set mv0 up");
    let over = config(json!({ "master": "mv0" }));
    let pod = lan.node.pod("a");
    let call = lan.call(&over, &pod);
    let result = call.add().ok();
    assert!(pod.ping(lan.outside.v4) && pod.ping(lan.outside.v6));
    call.clone().prev(&result).check().ok();
    call.del().ok();
}

#[test]
fn unknown_modes() {
    let lan = Lan::new();
    let pod = lan.node.pod("a");
    for mode in ["zz", "Bridge", "source"] {
        let call = lan.call(&config(json!({ "mode": mode })), &pod);
        for verb in ["ADD", "STATUS"] {
            let (code, msg, _) = call.raw(verb).err();
            assert_eq!((code, msg), (7, format!("unknown macvlan mode: \"{mode}\"")));
        }
        call.del().ok();
    }
}

/// A mistake made since ADD must not block the removal.
#[test]
fn del_and_gc_do_without_the_parent_and_with_a_broken_configuration() {
    for change in [
        "ip link del uplink",
        "ip link set uplink down; ip link set uplink name renamed",
        "ip link set uplink down",
    ] {
        on_a_lan(|lan| {
            let keys = json!({ "hostAccess": true, "hostRoutes": ["10.96.0.0/12"] });
            let (a, b) = (lan.node.pod("a"), lan.node.pod("b"));
            let call = lan.call(&config(keys.clone()), &a);
            let result = call.add().ok();
            lan.call(&config(keys.clone()), &b).add().ok();
            lan.node.sh(change);
            let (_, msg, details) = call.clone().prev(&result).check().err();
            let is_there = !change.contains("name") && !change.contains("del");
            let named = if is_there { "uplink is down" } else { "the parent uplink is gone" };
            assert!(details.contains(named), "{change}: {msg} {details}");
            let mut broken =
                config(json!({ "mode": "zz", "mtu": 100_000, "mac": "zz", "hostRoutes": ["zz"] }));
            broken["ipam"] = config(json!({}))["ipam"].clone();
            lan.call(&broken, &a).args("MAC=zz").prev(&result).del().ok();
            lan.call(&config(keys), &b).key("cni.dev/valid-attachments", json!([])).gc().ok();
            for pod in [&a, &b] {
                assert!(!pod.sh("ip link").contains("eth0"), "{change}");
            }
            assert_eq!(lan.shims(), Vec::<String>::new(), "{change}");
        });
    }
}

#[test]
fn interface_names_of_fifteen_bytes() {
    let lan = Lan::new();
    lan.node.sh("ip link set uplink down; ip link set uplink name fifteen-bytes-u; ip link set fifteen-bytes-u up
        ip addr add 2001:db8:ffff::1/64 dev fifteen-bytes-u nodad");
    let pod = lan.node.pod("a");
    let config = config(json!({ "master": "fifteen-bytes-u", "hostAccess": true }));
    let call = lan.call(&config, &pod).ifname("fifteen-bytes-p");
    let result = call.add().ok();
    for host in super::HOST {
        assert!(pod.ping(host), "{host}");
    }
    call.clone().prev(&result).check().ok();
    call.del().ok();
    assert_eq!(lan.shims(), Vec::<String>::new());
}

#[test]
fn a_mac_that_the_parent_has() {
    let lan = Lan::new();
    let mac = lan.node.sh("ip -br link show uplink").split_whitespace().nth(2).unwrap().to_owned();
    let pod = lan.node.pod("a");
    let before = lan.node.state();
    let (_, msg, _) = lan.call(&layer_2(json!({ "mac": mac })), &pod).add().err();
    assert!(msg.contains("MAC"), "{msg}");
    assert_same!(before, lan.node.state());
}
