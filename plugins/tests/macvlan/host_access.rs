//! `hostAccess`: the host and its containers reach each other, and the parent stays unchanged.

use serde_json::{Value, json};
use testbed::{Pod, assert_same};

use super::{HOST, Lan, config, lasting, on_a_lan, one_address};

fn access() -> Value {
    config(json!({ "hostAccess": true }))
}

/// A host with all settings strict.
fn make_strict(lan: &Lan) {
    for dev in ["all", "default", "uplink"] {
        lan.node.sh(&format!(
            "sysctl -qw net.ipv4.conf.{dev}.rp_filter=1 net.ipv4.conf.{dev}.arp_ignore=1 \
             net.ipv4.conf.{dev}.arp_announce=2 net.ipv4.conf.{dev}.arp_filter=1"
        ));
    }
}

#[track_caller]
fn both_ways(lan: &Lan, pod: &Pod, addresses: &[String]) {
    for (host, address) in HOST.iter().zip(addresses) {
        assert!(pod.ping(host), "{host} from {}", pod.name());
        assert!(lan.node.ping(address), "{address} from the host");
        let seen = pod.tcp(&lan.node, host.parse().unwrap(), 100_000).unwrap();
        assert_eq!((seen.from.ip().to_string(), seen.received), (address.clone(), 100_000));
        let seen = lan.node.tcp(pod, address.parse().unwrap(), 100_000).unwrap();
        assert_eq!((seen.from.ip().to_string().as_str(), seen.received), (*host, 100_000));
    }
}

#[test]
fn the_host_and_its_containers_reach_each_other() {
    let lan = Lan::new();
    make_strict(&lan);
    let (a, of_a) = lan.join(&access(), "a");
    both_ways(&lan, &a, &of_a);
    // The parent's network stays reachable.
    assert!(a.ping(lan.outside.v4) && a.ping(lan.outside.v6));
    assert!(lan.outside.ping(&of_a[0]) && lan.outside.ping(&of_a[1]));
    let (b, of_b) = lan.join(&access(), "b");
    both_ways(&lan, &b, &of_b);
    assert!(a.ping(&of_b[0]) && a.ping(&of_b[1]));
}

#[test]
fn the_parent_is_untouched_and_the_shim_goes_with_the_last_attachment() {
    let lan = Lan::new();
    make_strict(&lan);
    let (a, b) = (lan.node.pod("a"), lan.node.pod("b"));
    let before = lan.node.state();
    let of_uplink = || -> Vec<String> {
        let state = lan.node.state();
        state
            .lines()
            .filter(|line| line.contains("uplink") && !line.contains("macvlan"))
            .map(str::to_owned)
            .collect()
    };
    let uplink = of_uplink();
    let calls = [&a, &b].map(|pod| lan.call(&access(), pod));
    let results = calls.each_ref().map(|call| call.add().ok());
    assert_eq!(uplink, of_uplink());
    let shims = lan.shims();
    assert_eq!(shims.len(), 1, "{shims:?}");
    let addresses = lan.node.sh(&format!("ip addr show {}", shims[0]));
    assert!(!addresses.contains("inet"), "{addresses}");
    calls[0].clone().prev(&results[0]).del().ok();
    assert_eq!(lan.shims(), shims);
    both_ways(&lan, &b, &super::addresses(&results[1]));
    // Without the result, and without the namespace's path.
    calls[1].clone().unset("CNI_NETNS").del().ok();
    assert_eq!(lan.shims(), Vec::<String>::new());
    assert_same!(lasting(&before), lasting(&lan.node.state()));
}

/// The shim never answers for the host's addresses: hosts on the network continue to use the
/// parent's MAC.
#[test]
fn the_network_knows_the_host_by_its_parent_only() {
    let lan = Lan::new();
    let (_, addresses) = lan.join(&access(), "a");
    let uplink =
        lan.node.sh("ip -br link show uplink").split_whitespace().nth(2).unwrap().to_owned();
    for _ in 0..5 {
        lan.outside.sh("ip neigh flush all");
        for host in HOST {
            assert!(lan.outside.ping(host));
        }
        let known = lan.outside.sh("ip neigh");
        for host in HOST {
            let is_parents =
                |line: &str| line.starts_with(&format!("{host} ")) && line.contains(&uplink);
            assert!(known.lines().any(is_parents), "{known}");
        }
    }
    assert!(lan.outside.ping(&addresses[0]));
}

#[test]
fn two_networks_on_one_parent_have_a_shim_each() {
    let lan = Lan::new();
    let mut other = access();
    other["name"] = "other".into();
    other["ipam"]["ranges"] = json!([
        [{ "subnet": "198.51.100.0/24" }], [{ "subnet": "2001:db8:eeee::/64" }]
    ]);
    let (a, of_a) = lan.join(&access(), "a");
    let (b, of_b) = lan.join(&other, "b");
    assert_eq!(lan.shims().len(), 2);
    both_ways(&lan, &a, &of_a);
    both_ways(&lan, &b, &of_b);
    lan.call(&other, &b).key("cni.dev/valid-attachments", json!([])).gc().ok();
    assert_eq!(lan.shims().len(), 1);
    both_ways(&lan, &a, &of_a);
    lan.call(&access(), &a).del().ok();
    assert_eq!(lan.shims().len(), 0);
}

#[test]
fn an_address_used_again_is_reached_at_once() {
    let lan = Lan::new();
    let config = one_address(json!({ "hostAccess": true }));
    let (first, addresses) = lan.join(&config, "first");
    both_ways(&lan, &first, &addresses);
    lan.call(&config, &first).del().ok();
    let (second, again) = lan.join(&config, "second");
    assert_eq!(addresses, again);
    both_ways(&lan, &second, &addresses);
}

/// The address is reused while the host still has the route of a container that was lost without
/// DEL.
#[test]
fn a_stale_route_of_a_lost_container_does_no_harm() {
    let lan = Lan::new();
    let config = one_address(json!({ "hostAccess": true }));
    let (lost, _) = lan.join(&config, "lost");
    lan.node.delete(&lost);
    lan.node.sh("rm -r /var/lib/cni/networks/lan");
    let (pod, addresses) = lan.join(&config, "a");
    both_ways(&lan, &pod, &addresses);
    // The late DEL of the lost container removes nothing of the other.
    lan.call(&config, &lost).del().ok();
    both_ways(&lan, &pod, &addresses);
    lan.call(&config, &pod).del().ok();
    assert_eq!(lan.shims(), Vec::<String>::new());
}

/// A common setup in labs: the host is the gateway of the containers' subnet.
#[test]
fn the_host_can_be_the_containers_gateway() {
    let lan = Lan::new();
    lan.node
        .sh("ip link add far type bridge; ip addr add 203.0.113.1/24 dev far; ip link set far up");
    let mut config = access();
    config["ipam"]["ranges"] = json!([[{ "subnet": "192.0.2.0/24", "rangeStart": "192.0.2.100", "gateway": "192.0.2.1" }]]);
    config["ipam"]["routes"] = json!([{ "dst": "0.0.0.0/0" }]);
    let (pod, _) = lan.join(&config, "a");
    assert!(pod.ping("203.0.113.1"));
}

#[test]
fn a_parent_without_addresses_of_its_own() {
    let lan = Lan::new();
    // The host has the address of its default route's link.
    lan.node.sh("ip addr flush dev uplink
        ip link add world type veth peer name world2
        ip addr add 203.0.113.1/24 dev world; ip addr add 2001:db8:aaaa::1/64 dev world nodad
        ip link set world up; ip link set world2 up
        ip route add default via 203.0.113.2; ip -6 route add default via 2001:db8:aaaa::2");
    make_strict(&lan);
    let (pod, addresses) = lan.join(&access(), "a");
    for (host, address) in ["203.0.113.1", "2001:db8:aaaa::1"].iter().zip(&addresses) {
        assert!(pod.ping(host), "{host}");
        assert!(lan.node.ping(address), "{address}");
    }
}

#[test]
fn a_network_of_ipv6_only() {
    let lan = Lan::new();
    let mut config = access();
    config["ipam"]["ranges"] =
        json!([[{ "subnet": "2001:db8:ffff::/64", "rangeStart": "2001:db8:ffff::100" }]]);
    let (pod, addresses) = lan.join(&config, "a");
    assert!(pod.ping(HOST[1]) && lan.node.ping(&addresses[0]));
    assert!(!pod.sh("ip -4 route").contains("169.254"), "no IPv4 where there is none");
    lan.node.sh("ip -6 addr flush dev uplink");
    let second = lan.node.pod("b");
    let (code, msg, details) = lan.call(&config, &second).add().err();
    assert!(
        code == 7 && msg.contains("address of the container's family"),
        "{code} {msg} {details}"
    );
}

#[test]
fn keys_that_host_access_excludes() {
    let lan = Lan::new();
    let pod = lan.node.pod("a");
    let before = lan.node.state();
    for (keys, words) in [
        (json!({ "hostAccess": true, "mode": "private" }), "hostAccess needs mode bridge"),
        (json!({ "hostAccess": true, "mode": "vepa" }), "hostAccess needs mode bridge"),
        (
            json!({ "hostRoutes": ["10.96.0.0/12"], "mode": "passthru" }),
            "hostRoutes needs mode bridge",
        ),
        (json!({ "hostAccess": true, "ipam": null }), "hostAccess needs ipam"),
        (json!({ "hostRoutes": ["10.96.0.0/33"] }), "invalid CIDR address: 10.96.0.0/33"),
        (json!({ "hostRoutes": ["services"] }), "invalid CIDR address: services"),
        (json!({ "hostRoutes": ["0.0.0.0/0"] }), "0.0.0.0/0 is everything"),
        (json!({ "hostRoutes": ["::/0"] }), "::/0 is everything"),
        (json!({ "hostRoutes": ["192.0.2.0/24"] }), "192.0.2.0/24 is the container's own subnet"),
    ] {
        let is_own = words.ends_with("own subnet");
        for verb in ["ADD", "STATUS"].iter().take(if is_own { 1 } else { 2 }) {
            let (code, msg, details) = lan.call(&config(keys.clone()), &pod).raw(verb).err();
            assert!(code == 7 && msg.contains(words), "{code} {msg} {details}");
        }
        assert_same!(lasting(&before), lasting(&lan.node.state()));
    }
}

#[test]
fn a_smaller_mtu_is_kept_towards_the_container() {
    on_a_lan(|lan| {
        let (pod, addresses) = lan.join(&config(json!({ "hostAccess": true, "mtu": 1400 })), "a");
        both_ways(&lan, &pod, &addresses);
        for address in &addresses {
            let sent = lan.node.try_run(&["ping", "-n", "-c1", "-W1", "-s", "1450", address]);
            assert!(sent.status.success(), "{}", sent.stdout);
        }
    });
}
