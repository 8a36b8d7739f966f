//! Keys of the configuration of each plugin, and the content of lists and files of peers.

use std::fs;

use serde_json::{Value, json};
use testbed::assert_same;

use crate::{
    Bed, CONFIG, DECODE, INTERNAL, NETNS, peer, plugins, refused, refused_with_files,
    without_folders,
};

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn keys_of_the_configuration() {
    let bed = Bed::bridge();
    for (keys, code, text) in [
        (json!({ "mtu": "1500" }), DECODE, "mtu"),
        (json!({ "mtu": -1 }), DECODE, "mtu"),
        (json!({ "mtu": 1.5 }), DECODE, "mtu"),
        (json!({ "isGateway": "yes" }), DECODE, "isGateway"),
        (json!({ "bridge": 7 }), DECODE, "bridge"),
        (json!({ "bridge": "../cbr0" }), DECODE, "bridge"),
        (json!({ "bridge": "a-name-too-long0" }), DECODE, "bridge"),
        (json!({ "vlanTrunk": { "id": 3 } }), DECODE, "vlanTrunk"),
        (json!({ "ipam": "host-local" }), DECODE, "ipam"),
        (json!({ "ipam": { "type": 3 } }), DECODE, "ipam.type"),
        (json!({ "cniVersion": 1 }), DECODE, "version from network config"),
        (json!({ "name": 7 }), DECODE, "name"),
        (json!({ "name": "" }), CONFIG, "missing network name"),
        (json!({ "name": "../pods" }), CONFIG, "invalid characters found in network name"),
        (json!({ "name": "a/b" }), CONFIG, "invalid characters found in network name"),
        (json!({ "cniVersion": "9.9.9" }), 1, "incompatible CNI versions"),
        (json!({ "vlan": 4095 }), CONFIG, "invalid VLAN ID 4095 (must be between 0 and 4094)"),
        (json!({ "vlan": -1 }), CONFIG, "invalid VLAN ID -1"),
        (json!({ "vlanTrunk": [{ "id": 0 }] }), CONFIG, "incorrect trunk id parameter"),
        (json!({ "vlanTrunk": [{ "minID": 5 }] }), CONFIG, "maxID is missing"),
        (json!({ "vlanTrunk": [{ "maxID": 5 }] }), CONFIG, "minID is missing"),
        (
            json!({ "vlanTrunk": [{ "minID": 9, "maxID": 5 }] }),
            CONFIG,
            "minID is greater than maxID",
        ),
        (
            json!({ "vlanTrunk": [{ "minID": 9, "maxID": 5000 }] }),
            CONFIG,
            "incorrect trunk maxID parameter",
        ),
        (
            json!({ "hairpinMode": true, "promiscMode": true }),
            CONFIG,
            "hairpin mode and promiscuous mode",
        ),
        (json!({ "ipMasqBackend": "pf" }), CONFIG, "unknown ipmasq backend \"pf\""),
        (json!({ "ipMasqBeyond": ["all"] }), CONFIG, "ipMasqBeyond: \"all\" is not a network"),
        (json!({ "runtimeConfig": { "mac": "zz" } }), CONFIG, "invalid MAC address: zz"),
        (
            json!({ "ipam": { "type": "../host-local" } }),
            CONFIG,
            "invalid plugin name: ../host-local",
        ),
        (json!({ "ipam": { "type": "/bin/sh" } }), CONFIG, "invalid plugin name: /bin/sh"),
        (json!({ "ipam": { "type": ".." } }), CONFIG, "invalid plugin name"),
        (
            json!({ "ipam": { "type": "no-such-plugin" } }),
            INTERNAL,
            "failed to find plugin \"no-such-plugin\"",
        ),
        (json!({ "ipam": { "type": "host-local" } }), CONFIG, "no IP ranges specified"),
        (json!({ "ipam": { "type": "host-local", "subnet": "10.1.2.0/33" } }), DECODE, "subnet"),
        (
            json!({ "ipam": { "type": "host-local", "subnet": "10.1.2.0/24", "dataDir": "/var/lib/cni/../../../etc" } }),
            CONFIG,
            "dataDir",
        ),
    ] {
        let call = bed.call().conf(bed.config(keys));
        refused(&bed.node, &call, "ADD", code, text);
    }
}

#[test]
fn keys_that_only_a_bridge_has() {
    let bed = Bed::bridge();
    let mac = bed.call().args("MAC=zz");
    refused(&bed.node, &mac, "ADD", CONFIG, "invalid MAC address: zz");
    let layer2 =
        json!({ "cniVersion": "0.2.0", "name": "wire", "type": "bridge", "bridge": "cbr0" });
    let call = bed.call().conf(layer2);
    refused(&bed.node, &call, "ADD", INTERNAL, "cannot convert: no valid IP addresses");
}

#[test]
fn keys_of_ptp() {
    let keys = plugins().into_iter().find(|(plugin, _)| *plugin == "ptp").unwrap().1;
    let bed = Bed::new("ptp", &keys);
    for (keys, code, text) in [
        (json!({ "mtu": "1500" }), DECODE, "mtu"),
        (json!({ "mtu": -1 }), DECODE, "mtu"),
        (json!({ "ipMasq": 1 }), DECODE, "ipMasq"),
        (json!({ "ipMasqBackend": "pf" }), CONFIG, "unknown ipmasq backend \"pf\""),
        (json!({ "ipMasqBeyond": ["all"] }), CONFIG, "ipMasqBeyond: \"all\" is not a network"),
        (json!({ "ipMasqBeyond": ["10.9.0.0/16"] }), CONFIG, "is in none of its networks"),
        (json!({ "ipam": {} }), CONFIG, "no plugin name provided"),
        (json!({ "mtu": 20_000_000 }), INTERNAL, "create the veth pair"),
    ] {
        refused_with_files(&bed.node, &bed.call().conf(bed.config(keys)), code, text);
    }
}

#[test]
fn keys_of_macvlan() {
    let keys = plugins().into_iter().find(|(plugin, _)| *plugin == "macvlan").unwrap().1;
    let bed = Bed::new("macvlan", &keys);
    for (keys, code, text) in [
        (json!({ "master": 7 }), DECODE, "master"),
        (json!({ "master": "../uplink" }), INTERNAL, "Link not found: ../uplink"),
        (json!({ "master": "a-name-too-long0" }), INTERNAL, "Link not found: a-name-too-long0"),
        (json!({ "mode": 1 }), DECODE, "mode"),
        (json!({ "mode": "zz" }), CONFIG, "unknown macvlan mode: \"zz\""),
        (json!({ "mtu": "1500" }), DECODE, "mtu"),
        (json!({ "mtu": -1 }), DECODE, "mtu"),
        (json!({ "mtu": 1501 }), CONFIG, "invalid MTU 1501, must be [0, master MTU(1500)]"),
        (json!({ "mtu": 67 }), INTERNAL, "create the macvlan link eth0 over uplink"),
        (json!({ "bcqueuelen": -1 }), DECODE, "bcqueuelen"),
        (json!({ "mac": "zz" }), CONFIG, "invalid MAC address: zz"),
        (json!({ "mac": "01:00:5e:00:00:01" }), CONFIG, "it is a multicast address"),
        (json!({ "linkInContainer": "yes" }), DECODE, "linkInContainer"),
        (json!({ "linkInContainer": true }), INTERNAL, "Link not found: uplink"),
        (json!({ "hostRoutes": "10.96.0.0/12" }), DECODE, "hostRoutes"),
        (json!({ "hostRoutes": [7] }), DECODE, "hostRoutes"),
        (json!({ "hostRoutes": ["10.96.0.0/12", "x"] }), CONFIG, "invalid CIDR address: x"),
        (json!({ "hostRoutes": ["10.1.2.0/24"] }), CONFIG, "the container's own subnet"),
        (json!({ "runtimeConfig": { "mac": "zz" } }), CONFIG, "invalid MAC address: zz"),
    ] {
        refused_with_files(&bed.node, &bed.call().conf(bed.config(keys)), code, text);
    }
    for (mistake, is_mistake) in [
        (json!({ "mode": "zz" }), true),
        (json!({ "mac": "zz" }), true),
        (json!({ "master": "gone" }), true),
        (json!({ "hostRoutes": ["zz"] }), true),
        (json!({ "mtu": 1501 }), true),
        (json!({ "hostAccess": false, "hostRoutes": null }), false),
    ] {
        let before = without_folders(&bed.node.state());
        let result = bed.call().add().ok();
        let later = bed.call().conf(bed.config(mistake.clone())).prev(&result);
        assert_eq!(later.check().status.success(), !is_mistake, "{mistake}");
        later.del().ok();
        // Forwarding stays on.
        let after = without_folders(&bed.node.state()).replace("ip_forward = 1", "ip_forward = 0");
        assert_same!(before.replace("ip_forward = 1", "ip_forward = 0"), after, "{mistake}");
    }
}

#[test]
fn keys_of_ipip() {
    let keys = plugins().into_iter().find(|(plugin, _)| *plugin == "ipip").unwrap().1;
    let bed = Bed::new("ipip", &keys);
    bed.node.sh("ip link add uplink type veth peer name other; ip addr add 192.0.2.1/24 dev uplink
        ip link set uplink up; ip link set other up");
    let good = peer("192.0.2.2", "10.1.3.0/24");
    for (keys, code, text) in [
        (json!({ "mtu": "1500" }), DECODE, "mtu"),
        (json!({ "mtu": 67 }), CONFIG, "invalid mtu 67"),
        (json!({ "mtu": 65_516 }), CONFIG, "invalid mtu 65516"),
        (json!({ "device": "a-name-too-long0" }), DECODE, "device"),
        (json!({ "device": "../tunl0" }), DECODE, "device"),
        (json!({ "local": "192.0.2.9" }), CONFIG, "192.0.2.9 is no address of this host"),
        (json!({ "local": "fd00::1" }), CONFIG, "IPv4 only"),
        (json!({ "local": "no/link" }), CONFIG, "invalid local"),
        (json!({ "local": "lo" }), CONFIG, "is no interface with an IPv4 address"),
        (json!({ "address": "fd00::1" }), CONFIG, "IPv4 only"),
        (json!({ "address": "10.1.2.1/24" }), CONFIG, "invalid address: 10.1.2.1/24"),
        (json!({ "address": "224.0.0.1" }), CONFIG, "invalid address"),
        (json!({ "mode": "never" }), CONFIG, "unknown mode \"never\""),
        (json!({ "routes": "bgp" }), CONFIG, "unknown routes \"bgp\""),
        (json!({ "peers": {} }), DECODE, "peers"),
        (json!({ "peers": [7] }), DECODE, "peers[0]"),
        (json!({ "peers": [{}] }), CONFIG, "peers[0]: no \"node\""),
        (json!({ "peers": peer("", "10.1.3.0/24") }), CONFIG, "peers[0]: invalid node \"\""),
        (json!({ "peers": peer("192.0.2.300", "10.1.3.0/24") }), CONFIG, "invalid node"),
        (json!({ "peers": peer("fd00::2", "10.1.3.0/24") }), CONFIG, "IPv4 only"),
        (json!({ "peers": peer("192.0.2.2", "fd00::/64") }), CONFIG, "IPv4 only"),
        (json!({ "peers": peer("192.0.2.2", "10.1.3.0") }), CONFIG, "invalid podCIDR"),
        (json!({ "peers": peer("192.0.2.2", "0.0.0.0/0") }), CONFIG, "it contains every address"),
        (
            json!({ "peers": peer("192.0.2.2", "192.0.2.0/28") }),
            CONFIG,
            "covers the node 192.0.2.2",
        ),
        (json!({ "peers": peer("203.0.113.2", "192.0.0.0/8") }), CONFIG, "192.0.2.1/24 of uplink"),
        (
            json!({ "peers": peer("192.0.2.2", "10.1.2.0/24") }),
            CONFIG,
            "10.1.2.2-10.1.2.254, which \"ipam\" assigns on this host",
        ),
        (json!({ "peersFile": "peers.json" }), CONFIG, "is not an absolute path"),
        (json!({ "peersFile": "/run/nothing" }), 5, "No such file"),
        (json!({ "peersFile": "/run" }), 5, "not a regular file"),
        (json!({ "peersFile": "/dev/zero" }), 5, "not a regular file"),
        (json!({ "ipam": {}, "peers": good }), CONFIG, "neither \"ipam\" nor a prevResult"),
        (
            json!({ "ipam": { "type": "host-local", "subnet": "fd00:1:2::/64" } }),
            CONFIG,
            "address fd00:1:2::2/64: the tunnel carries IPv4 only",
        ),
    ] {
        refused_with_files(&bed.node, &bed.call().conf(bed.config(keys)), code, text);
    }
}

#[test]
fn files_of_peers() {
    let bed = Bed::new("ipip", &json!({ "mtu": 1480, "peersFile": "/run/peers" }));
    for (text, code, said) in [
        (String::new(), DECODE, "EOF"),
        ("nonsense".to_owned(), DECODE, "/run/peers: expected"),
        ("{}".to_owned(), DECODE, "it has no list of peers"),
        ("7".to_owned(), DECODE, "invalid type"),
        ("[{\"node\": 7}]".to_owned(), DECODE, "[0].node"),
        ("[{\"NODE\": \"x\"}]".to_owned(), CONFIG, "peersFile /run/peers: peers[0]: invalid node"),
        ("[".repeat(10_000), DECODE, "recursion"),
        (" ".repeat((8 << 20) + 1), DECODE, "larger than 8388608 bytes"),
    ] {
        fs::write("/run/peers", &text).unwrap();
        refused_with_files(&bed.node, &bed.call(), code, said);
    }
    fs::write("/run/peers", [0xff, 0xfe]).unwrap();
    refused_with_files(&bed.node, &bed.call(), DECODE, "/run/peers: invalid utf-8");
}

/// `ipip sync` is for operators and file watchers: text on stderr, nothing on stdout, and an exit
/// status.
#[test]
fn errors_of_ipip_sync() {
    let bed = Bed::new("ipip", &json!({ "mtu": 1480 }));
    let program = testbed::binary("ipip").display().to_string();
    let own = bed.config(json!({ "peers": peer("192.0.2.2", "0.0.0.0/0") }));
    let list =
        json!({ "cniVersion": "1.1.0", "name": "pods", "plugins": [{ "type": "bridge" }, own] });
    for (content, arguments, said) in [
        (json!({ "name": "pods" }), vec!["/run/conf"], "has no plugin of type ipip"),
        (
            json!({ "name": "pods", "plugins": [{ "type": "bridge" }] }),
            vec!["/run/conf"],
            "has no plugin of type ipip",
        ),
        (own, vec!["/run/conf"], "it contains every address"),
        (list, vec!["/run/conf"], "it contains every address"),
        (json!({ "type": "ipip" }), vec!["/run/conf"], "missing network name"),
        (json!([]), vec!["/run/conf"], "expected a JSON object"),
        (json!({}), vec!["/run/nothing"], "cannot open /run/nothing: No such file"),
        (json!({}), vec!["/run/conf", "/run/conf"], "give at most one file"),
        (json!({}), vec!["--force"], "give at most one file"),
        (json!({}), vec![], "error unmarshall network config: EOF"),
    ] {
        fs::write("/run/conf", content.to_string()).unwrap();
        let before = bed.node.state();
        let output =
            bed.node.try_run(&[&[program.as_str(), "sync"], arguments.as_slice()].concat());
        assert_eq!((output.status.code(), output.stdout.as_str()), (Some(1), ""), "{output:?}");
        assert!(
            output.stderr.starts_with("ipip sync: ") && output.stderr.contains(said),
            "{output:?}"
        );
        assert_same!(before, bed.node.state(), "{said}");
    }
    let other = bed.node.try_run(&[&testbed::binary("ptp").display().to_string(), "sync"]);
    assert!(other.stdout.contains("unknown option sync"), "{other:?}");
}

#[test]
fn plugins_that_ipip_can_follow() {
    let bed = Bed::new(
        "ipip",
        &json!({ "mtu": 1480, "peers": peer("192.0.2.2", "10.1.3.0/24"), "ipam": {} }),
    );
    let prev = |ips: Value| {
        let eth0 = json!({ "name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": bed.pod.path() });
        bed.call().prev(&json!({ "cniVersion": "1.1.0", "interfaces": [eth0], "ips": ips }))
    };
    for (call, text) in [
        (prev(json!([])), "the container has no IPv4 address"),
        (prev(json!([{ "address": "fd00::2/64", "gateway": "fd00::1" }])), "the container has no \
            IPv4 address"),
        (prev(json!([{ "address": "10.1.2.2/24" }])), "the container has no gateway"),
        (prev(json!([{ "address": "10.1.2.2/24" }])).key("address", "10.1.2.1"), "no route to \
            10.1.3.0/24, and no gateway"),
        (
            prev(json!([{ "address": "10.1.2.2/24", "gateway": "10.1.2.1" }, { "address": "fd00::2/64" }])).key("mtu", 1200),
            "the container has the IPv6 address fd00::2/64, which needs 1280",
        ),
    ] {
        refused(&bed.node, &call, "ADD", CONFIG, text);
    }
    let netns = bed.call().env("CNI_NETNS", "/run/nothing");
    bed.node.sh("ip addr add 10.1.2.1/32 dev lo");
    let ips = json!([{ "address": "10.1.2.2/24", "gateway": "10.1.2.1" }]);
    let netns = netns.prev(&json!({ "cniVersion": "1.1.0", "ips": ips }));
    refused(&bed.node, &netns, "ADD", NETNS, "/run/nothing");
}

#[test]
fn the_last_of_duplicate_keys_counts() {
    let bed = Bed::bridge();
    let text =
        bed.config(json!({})).to_string().replacen('{', "{\"mtu\": \"wrong\", \"mtu\": 1400, ", 1);
    bed.call().stdin(text).add().ok();
    assert!(bed.pod.sh("ip link show eth0").contains("mtu 1400"));
}
