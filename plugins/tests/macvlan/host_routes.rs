//! `hostRoutes`: destinations behind the host, such as a cluster's services.

use std::net::TcpListener;

use serde_json::{Value, json};
use testbed::Pod;

use super::{HOST, Lan, config};

/// A pod of the node's cluster network, connected by `bridge`, which is the backend of the
/// services.
fn backend(lan: &Lan) -> Pod {
    let pod = lan.node.pod("backend");
    let cluster = json!({
        "cniVersion": "1.1.0", "name": "cluster", "type": "bridge", "bridge": "cbr0", "isDefaultGateway": true,
        "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]] }
    });
    lan.node.plugin("bridge").conf(cluster).container("backend").netns(&pod).add().ok();
    pod
}

fn with_services(keys: Value) -> Value {
    let mut config = config(json!({ "hostRoutes": ["10.96.0.0/12", "fd00:96::/112"] }));
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

/// A service as a cluster makes it: an address that exists only as a rule.
const SERVICE: &str = "
    nft add table inet services
    nft 'add chain inet services to_pods { type nat hook prerouting priority -100; }'
    nft add rule inet services to_pods ip daddr 10.96.0.10 tcp dport 80 dnat ip to 10.1.2.2:8080
    nft add rule inet services to_pods ip6 daddr fd00:96::10 tcp dport 80 dnat ip6 to [fd00:1:2::2]:8080";

#[test]
fn a_container_reaches_a_service_of_the_node() {
    let lan = Lan::new();
    for dev in ["all", "default", "uplink"] {
        lan.node.sh(&format!(
            "sysctl -qw net.ipv4.conf.{dev}.rp_filter=1 net.ipv4.conf.{dev}.arp_ignore=1 \
             net.ipv4.conf.{dev}.arp_announce=2"
        ));
    }
    let backend = backend(&lan);
    lan.node.sh(SERVICE);
    let (pod, addresses) = lan.join(&with_services(json!({})), "a");
    for (index, (listen, service)) in
        [("10.1.2.2:8080", "10.96.0.10:80"), ("[fd00:1:2::2]:8080", "[fd00:96::10]:80")]
            .into_iter()
            .enumerate()
    {
        let listener = backend.enter(|| TcpListener::bind(listen).unwrap());
        let seen = pod.tcp_to(&listener, service.parse().unwrap(), 100_000).unwrap();
        // The backend sees the client's own address.
        assert_eq!(
            (seen.from.ip().to_string(), seen.received),
            (addresses[index].clone(), 100_000)
        );
    }
    // The host itself is not reachable, because the configuration does not request it.
    assert!(!pod.ping(HOST[0]) && !pod.ping(HOST[1]));
    // Neither are pods behind the host, unless they are named.
    assert!(!pod.ping("10.1.2.2"));
}

#[test]
fn without_host_routes_a_service_is_out_of_reach() {
    let lan = Lan::new();
    let backend = backend(&lan);
    lan.node.sh(SERVICE);
    let (pod, _) = lan.join(&config(json!({ "hostAccess": true })), "a");
    let listener = backend.enter(|| TcpListener::bind("0.0.0.0:8080").unwrap());
    assert!(pod.tcp_to(&listener, "10.96.0.10:80".parse().unwrap(), 10).is_err());
}

#[test]
fn destinations_are_normalised_and_each_counts_once() {
    let lan = Lan::new();
    let _backend = backend(&lan);
    let keys = json!({ "hostAccess": true, "hostRoutes": ["10.1.2.77/24", "10.1.2.0/24", "10.1.2.2", "fd00:1:2::/64", "fd00:1:2::5/64"] });
    let pod = lan.node.pod("a");
    let call = lan.call(&config(keys), &pod);
    let result = call.add().ok();
    let routes = pod.sh("ip route; ip -6 route");
    assert_eq!(routes.matches("10.1.2.0/24 via 169.254.1.1").count(), 1, "{routes}");
    assert_eq!(routes.matches("10.1.2.2 via 169.254.1.1").count(), 1, "{routes}");
    assert_eq!(routes.matches("fd00:1:2::/64 via fe80:").count(), 1, "{routes}");
    assert!(pod.ping("10.1.2.2") && pod.ping("fd00:1:2::2") && pod.ping(HOST[0]));
    call.prev(&result).check().ok();
}

/// A destination of a family in which the container has no address.
#[test]
fn destinations_of_the_other_family_are_left_out() {
    let lan = Lan::new();
    let mut config = with_services(json!({}));
    config["ipam"]["ranges"] = json!([[{ "subnet": "192.0.2.0/24", "rangeStart": "192.0.2.100" }]]);
    let (pod, _) = lan.join(&config, "a");
    assert!(!pod.sh("ip -6 route").contains("fd00:96::"));
    assert!(pod.sh("ip route").contains("10.96.0.0/12 via 169.254.1.1 dev eth0 onlink"));
    assert_eq!(lan.node.sh("sysctl -n net.ipv6.conf.all.forwarding").trim(), "0");
    assert_eq!(lan.node.sh("sysctl -n net.ipv4.ip_forward").trim(), "1");
}
