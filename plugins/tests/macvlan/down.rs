//! Parents that are down: containers start all the same, and their traffic starts when the parent
//! comes up.

use serde_json::{Value, json};
use testbed::{Outcome, Pod};

use super::{HOST, Lan, addresses, config, lasting, on_a_lan};

/// The settings that the kernel drops when a link is set down, and that the link's administrator
/// restores.
const UP: &str = "ip link set uplink up; ip addr replace 2001:db8:ffff::1/64 dev uplink nodad";

/// Connects a container while the parent is down, as STATUS promises.
#[track_caller]
fn join(lan: &Lan, config: &Value, name: &str) -> (Pod, Value) {
    let pod = lan.node.pod(name);
    lan.node.plugin("macvlan").conf(config).status().ok();
    let result = lan.call(config, &pod).add().ok();
    (pod, result)
}

/// Waits until the container's link has noticed, and that of the other host, whose cable was pulled
/// as well.
fn wait(lan: &Lan, pod: &Pod) {
    let of_outside = || lan.outside.sh("ip addr show eth0");
    for _ in 0..500 {
        let there = of_outside();
        let is_settled = there.contains("LOWER_UP") && !there.contains("tentative");
        if is_settled && pod.sh("ip link show eth0").contains("LOWER_UP") {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{}{}", pod.sh("ip addr"), of_outside());
}

/// The answer of CHECK for the attachment.
fn check(lan: &Lan, config: &Value, pod: &Pod, result: &Value) -> Outcome {
    lan.call(config, pod).prev(result).check()
}

#[test]
fn traffic_starts_with_the_first_packet_when_the_parent_comes_up() {
    let lan = Lan::new();
    let before = lan.node.state();
    lan.node.sh("ip link set uplink down");
    let (config, mut pods) = (config(json!({})), Vec::new());
    for name in ["a", "b"] {
        pods.push(join(&lan, &config, name));
    }
    let (_, _, details) = check(&lan, &config, &pods[0].0, &pods[0].1).err();
    assert_eq!(details, "the parent uplink is down");
    lan.node.sh(UP);
    pods.iter().for_each(|(pod, _)| wait(&lan, pod));
    let of = |index: usize| addresses(&pods[index].1);
    let (a, b) = (&pods[0].0, &pods[1].0);
    for (other, address) in [(&b, &of(0)), (&a, &of(1))].map(|(pod, of)| (pod, of.clone())) {
        assert!(other.ping(&address[0]) && other.ping(&address[1]));
        assert!(lan.outside.ping(&address[0]) && lan.outside.ping(&address[1]));
    }
    for (pod, result) in &pods {
        assert!(pod.ping(lan.outside.v4) && pod.ping(lan.outside.v6));
        check(&lan, &config, pod, result).ok();
        lan.call(&config, pod).del().ok();
        lan.node.delete(pod);
    }
    testbed::assert_same!(lasting(&before), lasting(&lan.node.state()));
}

/// With and without addresses that the parent keeps: IPv4's stay while it is down, and IPv6's do
/// not.
#[test]
fn host_access_and_host_routes_come_up_with_it() {
    for keys in [
        json!({ "hostAccess": true }),
        json!({ "hostAccess": true, "hostRoutes": ["10.96.0.0/12", "fd00:96::/112"] }),
    ] {
        on_a_lan(|lan| {
            let config = config(keys.clone());
            lan.node.sh("ip addr add 10.96.0.10/32 dev lo; ip addr add fd00:96::10/128 dev lo
                ip link set lo up; ip link set uplink down");
            let (pod, result) = join(&lan, &config, "a");
            let (_, _, details) = check(&lan, &config, &pod, &result).err();
            assert!(details.contains("the parent uplink is down"), "{details}");
            lan.node.sh(UP);
            wait(&lan, &pod);
            let of_pod = addresses(&result);
            // The family whose address the parent has kept.
            assert!(pod.ping(HOST[0]) && lan.node.ping(&of_pod[0]), "{keys}");
            let seen = lan.node.tcp(&pod, of_pod[0].parse().unwrap(), 100).unwrap();
            assert_eq!(seen.from.ip().to_string(), HOST[0], "{keys}");
            assert!(pod.ping(lan.outside.v4) && pod.ping(lan.outside.v6), "{keys}");
            if keys.get("hostRoutes").is_some() {
                assert!(pod.ping("10.96.0.10") && pod.ping("fd00:96::10"));
            }
            // CHECK names an address that the host got later, and REPAIR adds it.
            let (_, _, details) = check(&lan, &config, &pod, &result).err();
            assert!(details.contains("2001:db8:ffff::1"), "{details}");
            lan.call(&config, &pod).prev(&result).raw("REPAIR").ok();
            check(&lan, &config, &pod, &result).ok();
            assert!(pod.ping(HOST[1]) && lan.node.ping(&of_pod[1]), "{keys}");
            lan.call(&config, &pod).del().ok();
            assert_eq!(lan.shims(), Vec::<String>::new());
        });
    }
}

/// As at boot: the parent exists, and is not configured yet.
#[test]
fn a_parent_without_any_address_yet() {
    let lan = Lan::new();
    let config = config(json!({ "hostAccess": true }));
    lan.node.sh("ip addr flush dev uplink; ip link set uplink down; ip route flush table main");
    let (pod, result) = join(&lan, &config, "a");
    lan.node.sh(&format!("ip addr add 192.0.2.1/24 dev uplink; {UP}"));
    wait(&lan, &pod);
    assert!(pod.ping(lan.outside.v4));
    assert!(pod.ping(lan.outside.v6));
    lan.call(&config, &pod).prev(&result).raw("REPAIR").ok();
    assert!(pod.ping(HOST[0]) && pod.ping(HOST[1]));
    check(&lan, &config, &pod, &result).ok();
}

/// A host may keep its IPv6 addresses on links that are down. If the kernel would reject a request
/// then, ADD fails with a message and changes nothing.
#[test]
fn repair_of_host_access_waits_for_the_parent() {
    let lan = Lan::new();
    let config = config(json!({ "hostAccess": true }));
    lan.node.sh("sysctl -qw net.ipv6.conf.uplink.keep_addr_on_down=1
        ip addr del 2001:db8:ffff::1/64 dev uplink; ip addr add 2001:db8:ffff::1/64 dev uplink
        until ! ip addr show uplink | grep -q tentative; do sleep 0.1; done; ip link set uplink down");
    let (pod, result) = join(&lan, &config, "a");
    let before = lan.node.state();
    let (_, msg, details) = lan.call(&config, &pod).prev(&result).raw("REPAIR").err();
    assert_eq!(msg, "the parent uplink is down");
    assert!(details.contains("ip link set uplink up"), "{details}");
    testbed::assert_same!(before, lan.node.state());
    // The kernel runs duplicate address detection for an address that was kept.
    lan.node
        .sh("ip link set uplink up; until ! ip addr show uplink | grep -q tentative; do sleep \
        0.1; done");
    wait(&lan, &pod);
    lan.call(&config, &pod).prev(&result).raw("REPAIR").ok();
    check(&lan, &config, &pod, &result).ok();
    for host in HOST {
        assert!(pod.ping(host), "{host}");
    }
}

#[test]
fn a_plan_reports_it() {
    let lan = Lan::new();
    let pod = lan.node.pod("a");
    let plan = || lan.call(&config(json!({})), &pod).raw("PLAN").ok().to_string();
    assert!(!plan().contains("is down"));
    lan.node.sh("ip link set uplink down");
    assert!(plan().contains("uplink is down: the container reaches nothing until"), "{}", plan());
}

/// In every mode, and over a parent in the container.
#[test]
fn other_modes_and_a_parent_in_the_container() {
    for mode in ["vepa", "private", "passthru"] {
        on_a_lan(|lan| {
            lan.node.sh("ip link set uplink down");
            let (pod, result) = join(&lan, &config(json!({ "mode": mode })), "a");
            lan.node.sh(UP);
            wait(&lan, &pod);
            assert!(pod.ping(lan.outside.v4) && pod.ping(lan.outside.v6), "{mode}");
            check(&lan, &config(json!({ "mode": mode })), &pod, &result).ok();
        });
    }
    on_a_lan(|lan| {
        let pod = lan.node.pod("a");
        lan.node.sh("ip link set uplink netns a");
        let config = config(json!({ "linkInContainer": true }));
        let result = lan.call(&config, &pod).add().ok();
        pod.sh("ip link set uplink up");
        wait(&lan, &pod);
        assert!(pod.ping(lan.outside.v4));
        assert!(lan.outside.ping(&addresses(&result)[1]));
    });
}
