//! A rejected ADD never rolls back objects of a live attachment of an earlier ADD.

use std::fs;

use serde_json::json;
use testbed::assert_same;

use super::{Lab, PLUGINS, calls, ips, on_a_node, script};

/// An IPAM plugin that gives the same attachment the same address again.
fn idempotent(lab: &Lab) -> (String, serde_json::Value) {
    let address = if lab.plugin == "macvlan" { "192.0.2.150/24" } else { "10.1.2.150/24" };
    let answer = json!({ "cniVersion": "1.1.0", "ips": [{ "address": address }] });
    (
        script("same", &format!("[ $CNI_COMMAND = ADD ] && echo '{answer}'; exit 0")),
        json!({ "type": "same" }),
    )
}

/// The plugin looks for veth pairs before it calls the IPAM plugin, so the IPAM plugin is not
/// called.
#[test]
fn an_address_manager_is_not_asked_about_an_attachment_that_lives() {
    for plugin in ["bridge", "ptp"] {
        on_a_node(|| {
            let lab = Lab::new(plugin);
            let (path, ipam) = idempotent(&lab);
            let [a, b] = ["a", "b"].map(|name| lab.node.pod(name));
            let call = |pod| lab.call("c1", pod).env("CNI_PATH", &path).key("ipam", ipam.clone());
            call(&a).add().ok();
            assert_eq!(calls(), ["ADD"], "{plugin}");
            let before = lab.node.state();
            call(&b).add().err();
            assert_eq!(calls(), Vec::<String>::new(), "{plugin}");
            assert_same!(before, lab.node.state(), "{plugin}");
            call(&a).del().ok();
            assert_eq!(calls(), ["DEL"], "{plugin}");
        });
    }
}

/// A macvlan link is visible only in its container. The kernel refuses the second one, which has
/// the same MAC address; the host's routes to the container belong to the first.
#[test]
fn a_refused_macvlan_link_takes_nothing_from_the_one_that_lives() {
    let lab = Lab::new("macvlan");
    let (path, ipam) = idempotent(&lab);
    let [a, b] = ["a", "b"].map(|name| lab.node.pod(name));
    let call = |pod| lab.call("c1", pod).env("CNI_PATH", &path).key("ipam", ipam.clone());
    call(&a).add().ok();
    assert!(lab.works(&a));
    calls();
    let before = lab.node.state();
    let (_, msg, details) = call(&b).add().err();
    assert!(msg.contains("set eth0 up"), "{msg}");
    assert!(details.contains("its addresses stay reserved"), "{details}");
    assert_eq!(calls(), ["ADD"]);
    assert_same!(before, lab.node.state());
    assert!(lab.works(&a));
    call(&a).del().ok();
    assert_eq!(lab.owned(), Vec::<String>::new());
}

/// The failure is not about the attachment: the range that is configured now is full.
#[test]
fn a_full_range_does_not_free_an_address_of_another_range() {
    for plugin in PLUGINS {
        for apart in [false, true] {
            on_a_node(|| {
                let mut lab = if apart { Lab::apart(plugin) } else { Lab::new(plugin) };
                let [a, b] = ["a", "b"].map(|name| lab.node.pod(name));
                lab.call("c1", &a).add().ok();
                let old = lab.config["ipam"].take();
                lab.config["ipam"] = json!({ "type": "host-local", "subnet": "10.9.0.0/30" });
                fs::write("/var/lib/cni/networks/pods/10.9.0.2", "c2\r\neth0").unwrap();
                let before = lab.node.state();
                lab.call("c1", &b).add().err();
                assert_same!(before, lab.node.state(), "{plugin}, apart: {apart}");
                lab.config["ipam"] = old;
                assert!(lab.works(&a), "{plugin}");
                lab.call("c1", &a).del().ok();
                assert_eq!(lab.owned(), Vec::<String>::new(), "{plugin}");
            });
        }
    }
}

/// An attachment of the reference suite has no mark; host-local knows it.
#[test]
fn an_attachment_that_the_reference_made_keeps_its_address() {
    for plugin in PLUGINS {
        for apart in [false, true] {
            on_a_node(|| {
                let mut lab = if apart { Lab::apart(plugin) } else { Lab::new(plugin) };
                lab.config["cniVersion"] = "1.0.0".into();
                let [a, b, c] = ["a", "b", "c"].map(|name| lab.node.pod(name));
                let made = lab.call("c1", &a).suite(testbed::reference()).add().ok();
                let before = lab.node.state();
                let (_, msg, _) = lab.call("c1", &b).add().err();
                assert!(msg.contains("duplicate allocation is not allowed"), "{plugin}: {msg}");
                assert_same!(before, lab.node.state(), "{plugin}");
                assert_ne!(ips(&lab.call("c2", &c).add().ok()), ips(&made), "{plugin}");
            });
        }
    }
}

/// Nothing is live, so the IPAM plugin is called to release what it may have reserved.
#[test]
fn a_refusal_of_an_attachment_that_does_not_live_is_followed_by_del() {
    for plugin in PLUGINS {
        on_a_node(|| {
            let lab = Lab::new(plugin);
            let pod = lab.node.pod("a");
            let text =
                "[ $CNI_COMMAND = DEL ] || { echo '{\"code\": 111, \"msg\": \"no\"}'; exit 1; }";
            let call = lab.call("c1", &pod).env("CNI_PATH", script("no", text));
            let (code, msg, _) = call.key("ipam", json!({ "type": "no" })).add().err();
            assert_eq!((code, msg.as_str()), (111, "no"), "{plugin}");
            assert_eq!(calls(), ["ADD", "DEL"], "{plugin}");
        });
    }
}
