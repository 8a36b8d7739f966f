//! `ipip` after a plugin whose containers may or may not send to this host.

use serde_json::{Value, json};
use testbed::{Cni, Outcome};

use super::{Between, Cluster, PODS, Use, batch, merge};

fn cluster() -> Cluster {
    Cluster::new(Between::Switch, Use::Chained)
}

/// The call of `ipip` on the first node, with more keys.
fn ipip(cluster: &Cluster, keys: &Value) -> Cni {
    let mut conf = cluster.conf(0);
    merge(&mut conf, keys.clone());
    cluster.call(&conf, &cluster.pods[0])
}

/// The pod's ADD on the first node, by `bridge` without `isGateway` and then by `ipip` with these
/// keys. `routes` are those of the pod.
fn add(cluster: &Cluster, routes: &Value, keys: &Value) -> (Outcome, Value) {
    let mut bridge = cluster.plugins(0).swap_remove(0);
    bridge["isGateway"] = json!(false);
    bridge["ipam"]["routes"] = routes.clone();
    let made = cluster.at(0, cluster.call(&bridge, &cluster.pods[0]), "ADD").ok();
    (cluster.at(0, ipip(cluster, keys).prev(&made), "ADD"), made)
}

fn default() -> Value {
    json!([{ "dst": "0.0.0.0/0" }])
}

const REFUSED: &str =
    "the container sends packets for the peers to 10.1.1.1, which is no address of this host";

#[test]
fn a_gateway_that_is_not_here_is_refused_with_the_remedy() {
    let cluster = cluster();
    cluster.at(0, cluster.ipip(0), "STATUS").ok();
    let before = cluster.hosts[0].sh("ip addr show tunl0; ip route show proto 226");
    let (outcome, made) = add(&cluster, &default(), &json!({}));
    let (code, msg, details) = outcome.err();
    assert_eq!((code, msg.as_str()), (7, REFUSED));
    assert!(details.contains("Set isGateway in the bridge before it"), "{details}");
    assert_eq!(before, cluster.hosts[0].sh("ip addr show tunl0; ip route show proto 226"));
    // The tunnel's own address does not make this host the gateway, nor does another network's
    // tunnel.
    batch(
        &cluster.hosts[0],
        "link add t7 type ipip local 127.0.0.7
         addr add 10.1.1.1/32 dev t7
         link set t7 up",
    );
    let call = ipip(&cluster, &json!({ "address": "10.1.1.1" })).prev(&made);
    let (_, msg, _) = cluster.at(0, call, "ADD").err();
    assert_eq!(msg, REFUSED);
}

#[test]
fn a_gateway_that_is_here_by_other_means_is_served() {
    // A command that gives this host the gateway's address, or makes it answer for it; the pod's
    // routes; keys of ipip; the command that reverts it.
    let cases = [
        (
            "link add cni0 type bridge
             addr add 10.1.1.1/24 dev cni0",
            default(),
            json!({}),
            Some("addr del 10.1.1.1/24 dev cni0"),
        ),
        (
            "link add cni0 type bridge
             link add gw type dummy
             link set gw up
             link set cni0 up
             addr add 10.1.1.1/32 dev gw
             route add 10.1.1.0/24 dev cni0",
            default(),
            json!({}),
            Some("link del gw"),
        ),
        (
            "link add cni0 type bridge
             addr add 10.1.1.254/24 dev cni0",
            json!([{ "dst": "10.1.0.0/16", "gw": "10.1.1.254" }]),
            json!({ "address": "10.1.1.254" }),
            None,
        ),
    ];
    for (setup, routes, keys, teardown) in cases {
        let cluster = cluster();
        batch(&cluster.hosts[0], setup);
        let (outcome, _) = add(&cluster, &routes, &keys);
        let result = outcome.ok();
        cluster.join(1);
        assert!(cluster.pods[0].ping(PODS[1]) && cluster.pods[1].ping(PODS[0]), "{setup}");
        let check = || cluster.at(0, ipip(&cluster, &keys).prev(&result), "CHECK");
        check().ok();
        let Some(teardown) = teardown else { continue };
        batch(&cluster.hosts[0], teardown);
        let (_, msg, _) = check().err();
        assert_eq!(msg, REFUSED, "after {teardown}");
    }
}

/// As with Calico's plugin: a gateway address that no host has, for which this host answers.
#[test]
fn a_gateway_that_the_host_answers_for_is_served() {
    let (cluster, keys) = (cluster(), json!({ "address": "10.1.1.1" }));
    let [one, pod] = [&cluster.hosts[0], &cluster.pods[0]];
    batch(
        one,
        "link add cali1 type veth peer name eth0 netns p1\nlink set cali1 up\nroute add \
         10.1.1.2/32 dev cali1\nroute add default via 192.0.2.254",
    );
    batch(
        pod,
        "addr add 10.1.1.2/32 dev eth0
         link set eth0 up
         route add 169.254.1.1 dev eth0 scope link
         route add default via 169.254.1.1",
    );
    let prev = json!({
        "cniVersion": "1.1.0",
        "interfaces": [{ "name": "cali1" }, { "name": "eth0", "sandbox": cluster.pods[0].path() }],
        "ips": [{ "address": "10.1.1.2/32", "gateway": "169.254.1.1", "interface": 1 }],
        "routes": [{ "dst": "0.0.0.0/0" }]
    });
    let (_, msg, _) = cluster.at(0, ipip(&cluster, &keys).prev(&prev), "ADD").err();
    assert!(msg.contains("to 169.254.1.1, which is no address of this host"), "{msg}");
    one.sh("sysctl -qw net.ipv4.conf.cali1.proxy_arp=1");
    cluster.at(0, ipip(&cluster, &keys).prev(&prev), "ADD").ok();
    cluster.join(1);
    assert!(pod.ping(PODS[1]) && cluster.pods[1].ping(PODS[0]));
}
