//! Changes by hand: CHECK names them, REPAIR repairs them under the running container.

use serde_json::{Value, json};
use testbed::Pod;

use super::{HOST, Lan, config};

fn everything() -> Value {
    config(
        json!({ "hostAccess": true, "hostRoutes": ["10.96.0.0/12"], "mtu": 1400, "promiscuous": true, "bcqueuelen": 500 }),
    )
}

#[track_caller]
fn works(lan: &Lan, pod: &Pod, after: &str) {
    for address in [HOST[0], HOST[1], lan.outside.v4, lan.outside.v6] {
        assert!(pod.ping(address), "{address} after {after}");
    }
    for address in ["192.0.2.100", "2001:db8:ffff::100"] {
        assert!(lan.node.ping(address), "{address} from the host after {after}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn check_names_changes_and_repair_reverts_them() {
    let lan = Lan::new();
    let pod = lan.node.pod("a");
    let call = lan.call(&everything(), &pod);
    let result = call.add().ok();
    let call = call.prev(&result);
    call.check().ok();
    let shim = lan.shims().remove(0);
    let metric = lan.node.sh("ip route show proto 226");
    let metric =
        metric.split("metric ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    for (in_pod, change, named) in [
        (
            true,
            "ip addr del 192.0.2.100/24 dev eth0".to_owned(),
            "address 192.0.2.100/24 is not on eth0",
        ),
        (
            true,
            "ip addr del 2001:db8:ffff::100/64 dev eth0".into(),
            "address 2001:db8:ffff::100/64 is not on eth0",
        ),
        (
            true,
            "ip route del 10.96.0.0/12".into(),
            "route 10.96.0.0/12 via 169.254.1.1 dev eth0 is gone",
        ),
        (
            true,
            "ip route del 192.0.2.1".into(),
            "route 192.0.2.1/32 via 169.254.1.1 dev eth0 is gone",
        ),
        (true, "ip -6 route del 2001:db8:ffff::1".into(), "route 2001:db8:ffff::1/128 via fe80:"),
        (true, "ip link set eth0 down".into(), "interface eth0 is down"),
        (true, "ip link set eth0 mtu 1300".into(), "eth0 has the MTU 1300 instead of 1400"),
        (
            true,
            "ip link set eth0 address 02:00:00:00:00:09".into(),
            "eth0 has the MAC 02:00:00:00:00:09 instead of",
        ),
        (
            true,
            "ip link set eth0 type macvlan mode private".into(),
            "container macvlan mode private does not match expected value: bridge",
        ),
        (
            true,
            "ip link set eth0 type macvlan bcqueuelen 7".into(),
            "eth0 has the bcqueuelen 7 instead of 500",
        ),
        (true, "ip link set eth0 promisc off".into(), "interface eth0 is not promiscuous"),
        (true, "ip neigh del 169.254.1.1 dev eth0".into(), "neighbour 169.254.1.1 on eth0 is gone"),
        (
            true,
            "ip neigh replace 169.254.1.1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent".into(),
            "neighbour 169.254.1.1 on eth0 has the MAC 02:00:00:00:00:01",
        ),
        (true, "ip link del eth0".into(), "interface eth0 is gone"),
        (false, format!("ip link del {shim}"), "is gone"),
        (false, format!("ip link set {shim} down"), "is down"),
        (
            false,
            format!("ip link set {shim} address 02:00:00:00:00:07"),
            "neighbour 169.254.1.1 on eth0 has the MAC",
        ),
        (
            false,
            format!("ip route del 192.0.2.100 metric {metric}"),
            "route 192.0.2.100/32 dev shim-",
        ),
        (
            false,
            format!("ip -6 route del 2001:db8:ffff::100 metric {metric}"),
            "route 2001:db8:ffff::100/128 dev shim-",
        ),
        (false, format!("ip neigh del 192.0.2.100 dev {shim}"), "neighbour 192.0.2.100 on shim-"),
        (
            false,
            format!("sysctl -qw net.ipv4.conf.{shim}.arp_ignore=0"),
            "arp_ignore is 0 instead of 8",
        ),
        (
            false,
            "sysctl -qw net.ipv4.ip_forward=0".into(),
            "sysctl net/ipv4/ip_forward is 0 instead of 1",
        ),
    ] {
        if in_pod {
            pod.sh(&change)
        } else {
            lan.node.sh(&change)
        };
        let (_, msg, details) = call.check().err();
        assert!(details.contains(named), "{change}: {msg}: {details}");
        let repaired = call.raw("REPAIR").ok();
        let lines: Vec<&str> =
            repaired.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(lines.join("\n"), details, "{change}");
        call.check().ok();
        assert_eq!(call.raw("REPAIR").ok(), json!([]), "{change}");
        works(&lan, &pod, &change);
    }
    call.del().ok();
    assert_eq!(lan.shims(), Vec::<String>::new());
}

/// The host got another address: its containers must reach it too.
#[test]
fn a_new_address_of_the_host_is_a_difference() {
    let lan = Lan::new();
    let pod = lan.node.pod("a");
    let call = lan.call(&everything(), &pod);
    let result = call.add().ok();
    let call = call.prev(&result);
    lan.node.sh("ip addr add 198.51.100.9/24 dev uplink");
    let (_, _, details) = call.check().err();
    assert!(
        details.contains("route 198.51.100.9/32 via 169.254.1.1 dev eth0 is gone"),
        "{details}"
    );
    call.raw("REPAIR").ok();
    assert!(pod.ping("198.51.100.9"));
    call.check().ok();
}

#[test]
fn another_kind_of_link_in_its_place() {
    let lan = Lan::new();
    let pod = lan.node.pod("a");
    let call = lan.call(&config(json!({})), &pod);
    let result = call.add().ok();
    pod.sh("ip link del eth0; ip link add eth0 type veth peer name other");
    let call = call.prev(&result);
    let (_, _, details) = call.check().err();
    assert!(details.contains("interface eth0 is not a macvlan but veth"), "{details}");
    call.raw("REPAIR").err();
    // It belongs to another program, so DEL leaves it.
    call.del().ok();
    assert!(pod.sh("ip link").contains("eth0"));
}

#[test]
fn another_parent_than_adds() {
    let lan = Lan::new();
    let pod = lan.node.pod("a");
    lan.node.sh("ip link add other type veth peer name other2; ip link set other up");
    let result = lan.call(&config(json!({})), &pod).add().ok();
    let other = lan.call(&config(json!({ "master": "other" })), &pod).prev(&result);
    let (_, _, details) = other.check().err();
    assert!(details.contains("interface eth0 is not over other"), "{details}");
    lan.node.sh("ip link del uplink");
    let (_, _, details) = lan.call(&config(json!({})), &pod).prev(&result).check().err();
    assert!(details.contains("the parent uplink is gone"), "{details}");
    assert!(details.contains("interface eth0 is gone"), "{details}");
}
