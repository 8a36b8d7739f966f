//! `macvlan` with more kernel features: IPVS services behind the host, and parents of all kinds.

use std::net::TcpListener;

use serde_json::{Value, json};
use testbed::{Cni, Node, Outside, Pod};

/// A node whose `uplink` is on a network with one other host.
fn lan() -> (Node, Outside) {
    let node = crate::node();
    let outside = node.outside();
    (node, outside)
}

fn config(keys: Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.1.0", "name": "lan", "type": "macvlan", "master": "uplink",
        "ipam": { "type": "host-local", "ranges": [
            [{ "subnet": "192.0.2.0/24", "rangeStart": "192.0.2.100" }],
            [{ "subnet": "2001:db8:ffff::/64", "rangeStart": "2001:db8:ffff::100" }]
        ]}
    });
    config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    config
}

fn call(node: &Node, config: &Value, pod: &Pod) -> Cni {
    node.plugin("macvlan").conf(config).container(pod.name()).netns(pod)
}

/// Expects STATUS 50 and an error of ADD, both with this text, and nothing left.
#[track_caller]
fn refused(node: &Node, keys: Value, words: &[&str]) {
    let pod = node.pod("refused");
    // Only the objects that may be left: the processor is emulated, and reading the whole state
    // takes a second.
    let links = || node.sh("ip link; ip -n refused link; ip route; find /var/lib/cni -type f");
    let before = links();
    let call = call(node, &config(keys), &pod);
    for verb in ["STATUS", "ADD"] {
        let outcome = call.raw(verb);
        let (code, msg, details) = outcome.err();
        assert!(code == 50 || verb == "ADD", "{outcome}");
        let all = format!("{msg}\n{details}");
        assert!(words.iter().all(|word| all.contains(word)), "expected {words:?}\n{outcome}");
    }
    assert_eq!(before, links());
    node.delete(&pod);
}

/// As with kube-proxy in IPVS mode: the service's addresses on a dummy link, strict ARP.
#[test]
fn a_container_reaches_an_ipvs_service_of_the_node() {
    let (node, _outside) = lan();
    let (backend, pod) = (node.pod("backend"), node.pod("a"));
    let cluster = json!({
        "cniVersion": "1.1.0", "name": "cluster", "type": "bridge", "bridge": "cbr0", "isDefaultGateway": true,
        "ipam": { "type": "host-local", "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]] }
    });
    node.plugin("bridge").conf(cluster).container("backend").netns(&backend).add().ok();
    node.sh("sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
        ip link add kube-ipvs0 type dummy
        ip addr add 10.96.0.10/32 dev kube-ipvs0; ip addr add fd00:96::10/128 dev kube-ipvs0 nodad
        ip link set kube-ipvs0 up
        ipvsadm -A -t 10.96.0.10:80 -s rr; ipvsadm -a -t 10.96.0.10:80 -r 10.1.2.2:8080 -m
        ipvsadm -A -t '[fd00:96::10]:80' -s rr; ipvsadm -a -t '[fd00:96::10]:80' -r '[fd00:1:2::2]:8080' -m");
    let routes = config(json!({ "hostRoutes": ["10.96.0.0/12", "fd00:96::/112"] }));
    let result = call(&node, &routes, &pod).add().ok();
    for (index, (listen, service)) in
        [("10.1.2.2:8080", "10.96.0.10:80"), ("[fd00:1:2::2]:8080", "[fd00:96::10]:80")]
            .into_iter()
            .enumerate()
    {
        let listener = backend.enter(|| TcpListener::bind(listen).unwrap());
        let seen = pod.tcp_to(&listener, service.parse().unwrap(), 100_000);
        let seen = seen.unwrap_or_else(|error| panic!("{service}: {error}"));
        let own = result["ips"][index]["address"].as_str().unwrap().split('/').next().unwrap();
        assert_eq!((seen.from.ip().to_string().as_str(), seen.received), (own, 100_000));
    }
}

#[test]
fn an_ipvlan_parent() {
    let (node, _outside) = lan();
    node.sh("ip link add child link uplink type ipvlan mode l2");
    refused(&node, json!({}), &["uplink has the ipvlan link child", "another parent"]);
    // In a container it is invisible, but the kernel rejects it all the same.
    let other = node.pod("other");
    node.sh("ip link set child netns /run/netns/other");
    let pod = node.pod("a");
    let (_, msg, details) = call(&node, &config(json!({})), &pod).add().err();
    assert!(msg.contains("ipvlan") && details.contains("another parent"), "{msg}: {details}");
    node.delete(&other);
}

#[test]
fn ports_of_bonds_and_teams() {
    for (kind, add) in [
        ("bond", "ip link add above type bond mode active-backup"),
        ("team", "ip link add above type team"),
    ] {
        std::thread::spawn(move || {
            let (node, outside) = lan();
            node.sh(&format!(
                "{add}; ip link set uplink down; ip link set uplink master above
                ip link set uplink up; ip link set above up"
            ));
            refused(
                &node,
                json!({}),
                &[&format!("port of the {kind} above"), "\"master\": \"above\""],
            );
            if kind == "bond" {
                let pod = node.pod("a");
                call(&node, &config(json!({ "master": "above" })), &pod).add().ok();
                assert!(pod.ping(outside.v4), "over the bond");
            }
        })
        .join()
        .unwrap();
    }
}

/// A VRF accepts no frames from its ports.
#[test]
fn a_parent_in_a_vrf() {
    let (node, outside) = lan();
    node.sh("ip link add red type vrf table 10; ip link set red up; ip link set uplink master red");
    let pod = node.pod("a");
    call(&node, &config(json!({})), &pod).add().ok();
    assert!(pod.ping(outside.v4) && outside.ping("2001:db8:ffff::100"));
}

#[test]
fn a_vlan_as_the_parent() {
    let (node, outside) = lan();
    for (pod, dev, address) in [(&*node, "uplink", "192.0.2.1"), (&*outside, "eth0", "192.0.2.2")] {
        pod.sh(&format!(
            "ip link add vlan5 link {dev} type vlan id 5; ip addr flush dev {dev}
            ip addr add {address}/24 dev vlan5; ip link set vlan5 up"
        ));
    }
    let pod = node.pod("a");
    let over = config(json!({ "master": "vlan5", "hostAccess": true, "ipam": {
        "type": "host-local", "subnet": "192.0.2.0/24", "rangeStart": "192.0.2.100" } }));
    let call = call(&node, &over, &pod);
    let result = call.add().ok();
    assert!(pod.ping("192.0.2.2") && outside.ping("192.0.2.100"), "the host in the VLAN");
    assert!(pod.ping("192.0.2.1") && node.ping("192.0.2.100"), "the host");
    call.clone().prev(&result).check().ok();
    call.del().ok();
}

/// Makes a wireless link: a radio of the kernel's simulator, in the caller's namespace.
const RADIO: &str = r#"modprobe mac80211_hwsim radios=0
perl -e '
    socket(my $s, 16, 3, 16) or die "socket: $!";
    sub ask {
        my ($family, $command, $attributes, $flags) = @_;
        my $body = pack("CCS", $command, 1, 0) . $attributes;
        send($s, pack("LSSLL", 16 + length $body, $family, $flags, 1, 0) . $body, 0) or die "send: $!";
        sysread($s, my $answer, 65536) or die "read: $!";
        return $answer;
    }
    my $name = pack("SSa16", 20, 2, "MAC80211_HWSIM");
    my $answer = ask(16, 3, $name, 1);
    my $id;
    for (my $at = 20; $at + 4 <= length $answer;) {
        my ($length, $kind) = unpack("SS", substr($answer, $at, 4));
        $id = unpack("S", substr($answer, $at + 4, 2)) if $kind == 1;
        $at += ($length + 3) & ~3;
    }
    my ($code) = unpack("l", substr(ask($id, 4, "", 5), 16, 4));
    die "no radio: $code" if $code < 0;
'"#;

#[test]
fn a_wireless_parent() {
    let (node, _outside) = lan();
    node.sh(RADIO);
    let links = node.sh("ip -br link");
    let wlan = links
        .lines()
        .find_map(|line| line.split_whitespace().next().filter(|name| name.starts_with("wl")));
    let wlan = wlan.unwrap_or_else(|| panic!("no wireless link: {links}")).to_owned();
    // It has no carrier, which the kernel reports a moment after it is up.
    node.sh(&format!(
        "ip link set {wlan} up; until ip link show {wlan} | grep -q NO-CARRIER; do sleep 0.1; done"
    ));
    refused(&node, json!({ "master": wlan }), &["wireless link", "ptp", "passthru"]);
    // With the parent's own MAC address it works.
    let pod = node.pod("a");
    let alone = config(json!({ "master": wlan, "mode": "passthru" }));
    let call = call(&node, &alone, &pod);
    call.status().ok();
    call.add().ok();
    call.del().ok();
}

/// Many hosts have an `eth0`, too. Kernels before 6.15 compare the name of a new link with those of
/// the host's links, so there the plugin creates the link under another name first.
#[test]
fn the_host_may_have_a_link_of_the_containers_name() {
    let (node, outside) = lan();
    node.sh("ip link add eth0 type dummy");
    let (pod, config) = (node.pod("a"), config(json!({})));
    let call = || call(&node, &config, &pod);
    let links = || node.sh("ip -o link | cut -d' ' -f2; ip -n a -o link | cut -d' ' -f2");
    let before = links();
    let result = call().add().ok();
    assert_eq!(result["interfaces"][0]["name"], "eth0", "{result}");
    assert!(pod.ping(outside.v4));
    call().prev(&result).check().ok();
    let second = call().add();
    assert!(second.err().1.contains("already exists in the container"), "{second}");
    assert!(pod.ping(outside.v4));
    call().del().ok();
    assert_eq!(before, links());

    // The state that a call leaves if it is killed before it renames the link: no alias, and the
    // name that is the attachment's on the host.
    let ptp = json!({ "cniVersion": "1.1.0", "name": "lan", "type": "ptp",
        "ipam": { "type": "host-local", "subnet": "10.1.2.0/24", "dataDir": "/tmp/other" } });
    let ptp = node.plugin("ptp").conf(ptp).container("a").netns(&pod);
    let own = ptp.clone().add().ok()["interfaces"][0]["name"].as_str().unwrap().to_owned();
    ptp.del().ok();
    let killed = || {
        call().add().ok();
        node.sh(&format!(
            "ip -n a link set eth0 down; ip -n a link set eth0 name {own}; ip -n a link set {own} \
             alias ''"
        ));
        assert!(links().contains(&own));
    };
    killed();
    call().del().ok();
    assert_eq!(before, links());
    killed();
    call().unset("CNI_NETNS").del().ok();
    assert_eq!(before, links());
    killed();
    call().key("cni.dev/valid-attachments", json!([])).raw("GC").ok();
    assert_eq!(before, links());
}
