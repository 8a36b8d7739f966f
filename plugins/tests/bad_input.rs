//! What root runs on hostile input: for each, the specification's error code, one clear message, exit status 1, and the
//! machine exactly as before.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests report by panicking"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use testbed::{Cni, Node, Outcome, Pod, assert_same};

const ENVIRONMENT: u64 = 4;
const DECODE: u64 = 6;
const CONFIG: u64 = 7;
const NETNS: u64 = 8;
const AGAIN: u64 = 11;
const INTERNAL: u64 = 999;

/// The plugins that join a container to a network, each with the keys that are its own in these tests.
fn plugins() -> Vec<(&'static str, Value)> {
    vec![
        ("bridge", json!({ "bridge": "cbr0", "isGateway": true, "ipMasq": true })),
        ("ptp", json!({ "ipMasq": true })),
        (
            "macvlan",
            json!({ "master": "uplink", "hostAccess": true, "hostRoutes": ["10.96.0.0/12"] }),
        ),
        ("ipip", json!({ "mtu": 1480, "peers": peer("192.0.2.2", "10.1.3.0/24") })),
    ]
}

/// A list of one node, for `ipip`.
fn peer(node: &str, cidr: &str) -> Value {
    json!([{ "node": node, "podCIDRs": [cidr] }])
}

/// Where a plugin is tried.
struct Bed {
    node: Node,
    pod: Pod,
    /// The configuration that works.
    config: Value,
}

impl Bed {
    fn new(plugin: &str, keys: &Value) -> Bed {
        let node = Node::new();
        let pod = node.pod("a");
        if plugin == "macvlan" {
            node.outside();
            node.sh("ip addr add 10.1.2.1/24 dev uplink");
        }
        let config = json!({
            "cniVersion": "1.1.0",
            "name": "pods",
            "type": plugin,
            "ipam": { "type": "host-local", "subnet": "10.1.2.0/24" }
        });
        Bed { node, pod, config: with(config, keys) }
    }

    fn bridge() -> Bed {
        let (plugin, keys) = &plugins()[0];
        Bed::new(plugin, keys)
    }

    /// The configuration with other keys.
    fn config(&self, keys: Value) -> Value {
        with(self.config.clone(), &keys)
    }

    fn call(&self) -> Cni {
        let plugin = self.config["type"].as_str().unwrap();
        self.node.plugin(plugin).conf(&self.config).container("c1").netns(&self.pod)
    }
}

fn with(mut config: Value, keys: &Value) -> Value {
    let (Value::Object(all), Value::Object(keys)) = (&mut config, keys) else { unreachable!() };
    all.extend(keys.clone());
    config
}

/// Does the work for each plugin, on a node of its own.
fn for_each_plugin(work: impl Fn(&Bed) + Sync) {
    std::thread::scope(|scope| {
        for (plugin, keys) in plugins() {
            let work = &work;
            let done = scope.spawn(move || work(&Bed::new(plugin, &keys))).join();
            done.unwrap_or_else(|panic| {
                eprintln!("with the plugin {plugin}");
                std::panic::resume_unwind(panic)
            });
        }
    });
}

/// Calls `verb` and expects an error with this code and text, and a machine that has not changed.
#[track_caller]
fn refused(node: &Node, call: &Cni, verb: &str, code: u64, text: &str) {
    let before = node.state();
    let outcome = says(call, verb, code, text);
    assert_same!(before, node.state(), "after {outcome}");
}

/// Calls `verb` and expects an error with this code and text.
#[track_caller]
fn says(call: &Cni, verb: &str, code: u64, text: &str) -> Outcome {
    let outcome = call.raw(verb);
    let (seen, msg, details) = outcome.err();
    let all = format!("{msg}\n{details}");
    assert!(seen == code && all.contains(text), "expected {code} with {text:?}\n{outcome}");
    assert!(!msg.contains('\n') && msg.len() < 1000, "one clear message\n{outcome}");
    outcome
}

#[test]
fn environment_variables() {
    for_each_plugin(try_environment_variables);
}

fn try_environment_variables(bed: &Bed) {
    let call = bed.call();
    let before = bed.node.state();
    for (verb, missing) in [
        ("ADD", "CNI_CONTAINERID"),
        ("ADD", "CNI_NETNS"),
        ("ADD", "CNI_IFNAME"),
        ("ADD", "CNI_PATH"),
        ("CHECK", "CNI_NETNS"),
        ("DEL", "CNI_CONTAINERID"),
        ("DEL", "CNI_IFNAME"),
        ("GC", "CNI_PATH"),
        ("STATUS", "CNI_PATH"),
    ] {
        let text = format!("required env variables [{missing}] missing");
        says(&call.clone().unset(missing), verb, ENVIRONMENT, &text);
        says(&call.clone().env(missing, ""), verb, ENVIRONMENT, &text);
    }
    says(&call, "SHRUG", ENVIRONMENT, "unknown CNI_COMMAND: SHRUG");
    says(&call, "add", ENVIRONMENT, "unknown CNI_COMMAND: add");
    for id in ["../c1", "c1/..", "-c1", ".c1", "c 1", "c1\n", "c;1", "ü"] {
        for verb in ["ADD", "DEL", "CHECK"] {
            says(
                &call.clone().container(id),
                verb,
                ENVIRONMENT,
                "invalid characters in containerID",
            );
        }
    }
    for (ifname, text) in [
        ("../eth0", "interface name contains / or : or whitespace"),
        ("eth:0", "interface name contains / or : or whitespace"),
        ("eth 0", "interface name contains / or : or whitespace"),
        (".", "interface name is . or .."),
        ("..", "interface name is . or .."),
        ("a-name-too-long0", "interface name is too long"),
    ] {
        for verb in ["ADD", "DEL", "CHECK"] {
            says(&call.clone().ifname(ifname), verb, ENVIRONMENT, text);
        }
    }
    for args in
        ["MAC", "MAC=1=2", "MAC=02:00:00:00:00:01;", "FOO=bar", "IgnoreUnknown=perhaps;FOO=bar"]
    {
        says(&call.clone().args(args), "ADD", ENVIRONMENT, "ARGS");
    }
    says(
        &call.clone().env("CNI_PATH", "/nowhere"),
        "ADD",
        INTERNAL,
        "failed to find plugin \"host-local\"",
    );
    assert_same!(before, bed.node.state());
}

#[test]
fn bytes_on_stdin() {
    for_each_plugin(try_bytes_on_stdin);
}

fn try_bytes_on_stdin(bed: &Bed) {
    let good = bed.config(json!({})).to_string();
    let nested =
        format!("{{\"name\": \"pods\", \"x\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let huge = format!(
        "{{\"cniVersion\": \"1.1.0\", \"name\": \"pods\", \"pad\": \"{}\"}}",
        "x".repeat(10 << 20)
    );
    let inputs: Vec<(&str, Vec<u8>)> = vec![
        ("empty", b"".to_vec()),
        ("blank", b"  \n".to_vec()),
        ("null", b"null".to_vec()),
        ("a list", b"[]".to_vec()),
        ("a string", b"\"pods\"".to_vec()),
        ("truncated", good.as_bytes()[..good.len() / 2].to_vec()),
        ("two documents", [good.as_bytes(), good.as_bytes()].concat()),
        ("not UTF-8", [b"{\"name\": \"", &[0xff, 0xfe][..], b"\"}"].concat()),
        ("deeply nested", nested.into_bytes()),
        ("10 MB", huge.into_bytes()),
    ];
    let before = bed.node.state();
    for (what, bytes) in inputs {
        for verb in ["ADD", "DEL", "CHECK", "GC", "STATUS"] {
            let outcome = bed.call().stdin(bytes.clone()).raw(verb);
            let (code, msg, _) = outcome.err();
            assert!(code == DECODE && msg.len() < 1000, "{what}: {code} {msg}");
        }
    }
    assert_same!(before, bed.node.state());
}

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
        (json!({ "ipMasqBeyond": ["all"] }), CONFIG, "ipMasqBeyond: \"all\" is no network"),
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
fn what_only_a_bridge_can_be_asked_for() {
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
        (json!({ "ipMasqBeyond": ["all"] }), CONFIG, "ipMasqBeyond: \"all\" is no network"),
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
        (
            json!({ "mac": "01:00:5e:00:00:01" }),
            INTERNAL,
            "create the macvlan link eth0 over uplink",
        ),
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
        (json!({ "peers": [{}] }), CONFIG, "peers[0]: invalid node \"\""),
        (json!({ "peers": peer("192.0.2.300", "10.1.3.0/24") }), CONFIG, "invalid node"),
        (json!({ "peers": peer("fd00::2", "10.1.3.0/24") }), CONFIG, "IPv4 only"),
        (json!({ "peers": peer("192.0.2.2", "fd00::/64") }), CONFIG, "IPv4 only"),
        (json!({ "peers": peer("192.0.2.2", "10.1.3.0") }), CONFIG, "invalid podCIDR"),
        (json!({ "peers": peer("192.0.2.2", "0.0.0.0/0") }), CONFIG, "it is everywhere"),
        (
            json!({ "peers": peer("192.0.2.2", "192.0.2.0/28") }),
            CONFIG,
            "covers the node 192.0.2.2",
        ),
        (json!({ "peers": peer("203.0.113.2", "192.0.0.0/8") }), CONFIG, "192.0.2.1/24 of uplink"),
        (
            json!({ "peers": peer("192.0.2.2", "10.1.2.0/24") }),
            CONFIG,
            "this host's own containers",
        ),
        (json!({ "peersFile": "peers.json" }), CONFIG, "is not an absolute path"),
        (json!({ "peersFile": "/run/nothing" }), 5, "No such file"),
        (json!({ "peersFile": "/run" }), 5, "it is no file"),
        (json!({ "peersFile": "/dev/zero" }), 5, "it is no file"),
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
    refused_with_files(&bed.node, &bed.call(), 5, "UTF-8");
}

/// `ipip sync` is for people and watchers of files: words on stderr, nothing on stdout, and a status.
#[test]
fn what_ipip_sync_cannot_do() {
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
        (own, vec!["/run/conf"], "it is everywhere"),
        (list, vec!["/run/conf"], "it is everywhere"),
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
fn what_ipip_can_be_chained_to() {
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
        (prev(json!([{ "address": "fd00::2/64", "gateway": "fd00::1" }])), "the container has no IPv4 address"),
        (prev(json!([{ "address": "10.1.2.2/24" }])), "the container has no gateway"),
        (prev(json!([{ "address": "10.1.2.2/24" }])).key("address", "10.1.2.1"), "no route to 10.1.3.0/24, and no gateway"),
        (
            prev(json!([{ "address": "10.1.2.2/24", "gateway": "10.1.2.1" }, { "address": "fd00::2/64" }])).key("mtu", 1200),
            "the container has the IPv6 address fd00::2/64, which needs 1280",
        ),
    ] {
        refused(&bed.node, &call, "ADD", CONFIG, text);
    }
    let netns = bed.call().env("CNI_NETNS", "/run/nothing");
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

#[test]
fn namespaces() {
    for_each_plugin(try_namespaces);
}

fn try_namespaces(bed: &Bed) {
    fs::write("/run/file", "").unwrap();
    let call = bed.call();
    let fifo = "/run/fifo";
    bed.node.sh(&format!("mkfifo {fifo}"));
    for (path, text) in [
        ("/run/netns/gone", "No such file"),
        ("/run/file", "no namespace"),
        ("/run", "no namespace"),
        (fifo, "no namespace"),
        ("/proc/self/status", "Invalid argument"),
        ("/proc/self/ns/mnt", "Invalid argument"),
        ("relative", "No such file"),
        ("/proc/self/ns/net", "should not be the same"),
    ] {
        refused(&bed.node, &call.clone().env("CNI_NETNS", path), "ADD", NETNS, text);
    }
    refused(
        &bed.node,
        &call.clone().env("CNI_NETNS", "/proc/self/ns/net"),
        "DEL",
        NETNS,
        "should not be the same",
    );
    // A DEL must not be held up by a namespace that is no more.
    for path in ["/run/netns/gone", "/run/file"] {
        let before = bed.node.state();
        call.clone().env("CNI_NETNS", path).del().ok();
        assert_same!(without_folders(&before), without_folders(&bed.node.state()));
    }
}

#[test]
fn del_looks_past_mistakes_made_after_add() {
    let bed = Bed::bridge();
    let call = bed.call();
    let first = call.add().ok();
    call.clone().prev(&first).del().ok();
    let before = bed.node.state();
    for mistake in [
        json!({ "hairpinMode": true, "promiscMode": true }),
        json!({ "disableContainerInterface": true }),
        json!({ "ipMasqBackend": "magic" }),
        json!({ "vlan": 5000 }),
        json!({ "bridge": "almost-too-long", "vlan": 100 }),
        json!({ "bridge": "another" }),
        json!({ "vlanTrunk": [{ "minID": 7 }] }),
        json!({ "runtimeConfig": { "mac": "zz" } }),
    ] {
        let result = call.add().ok();
        let later = call.clone().conf(bed.config(mistake.clone())).prev(&result);
        later.check().err();
        later.del().ok();
        assert_same!(without_folders(&before), without_folders(&bed.node.state()), "{mistake}");
    }
}

/// Without what host-local remembers of a network.
fn without_folders(state: &str) -> String {
    state
        .lines()
        .filter(|line| !line.contains("/var/lib/cni/networks"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn things_that_are_there_already() {
    let bed = Bed::bridge();
    bed.pod.sh("ip link add eth0 type veth peer name eth9");
    refused(&bed.node, &bed.call(), "ADD", INTERNAL, "\"eth0\" already exists");
    bed.pod.sh("ip link del eth0");

    bed.node.sh("ip link add cbr0 type veth peer name other");
    refused_with_files(
        &bed.node,
        &bed.call(),
        INTERNAL,
        "\"cbr0\" already exists but is not a bridge",
    );
    bed.node.sh("ip link del cbr0; ip link add cbr0 type bridge; ip addr add 10.9.9.1/24 dev cbr0");
    refused_with_files(
        &bed.node,
        &bed.call(),
        INTERNAL,
        "\"cbr0\" already has an IP address different from 10.1.2.1/24",
    );
    bed.node.sh("ip link del cbr0");

    let tiny = bed.config(json!({ "ipam": { "type": "host-local", "subnet": "10.1.2.0/30" } }));
    bed.call().conf(&tiny).add().ok();
    let second = bed.node.pod("b");
    let full = bed.call().netns(&second).conf(&tiny).container("c2");
    refused(
        &bed.node,
        &full,
        "ADD",
        AGAIN,
        "no IP addresses available in range set: 10.1.2.1-10.1.2.2",
    );
}

/// As [`refused`], where host-local has handed out an address and taken it back: its folder stays.
#[track_caller]
fn refused_with_files(node: &Node, call: &Cni, code: u64, text: &str) {
    let before = without_folders(&node.state());
    let (seen, msg, details) = call.add().err();
    assert!(
        seen == code && msg.contains(text),
        "expected {code} with {text:?}: {seen} {msg} {details}"
    );
    assert_same!(before, without_folders(&node.state()));
    let left = fs::read_dir("/var/lib/cni/networks/pods").into_iter().flatten();
    let left: Vec<_> =
        left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!left.iter().any(|name| name.starts_with("10.")), "{left:?}");
}

#[test]
fn previous_results() {
    for_each_plugin(try_previous_results);
}

fn try_previous_results(bed: &Bed) {
    if bed.config["type"] == "ipip" {
        // Its ADD needs a kernel with tunnels: tests/lab/ipip.rs.
        return;
    }
    let result = bed.call().add().ok();
    let with = |prev: &Value| bed.call().prev(prev);
    let changed = |key: &str, value: Value| {
        let mut prev = result.clone();
        prev[key] = value;
        prev
    };
    refused(&bed.node, &bed.call(), "CHECK", CONFIG, "Required prevResult missing");
    for (prev, code, text) in [
        (json!("nonsense"), DECODE, "prevResult"),
        (json!([]), DECODE, "prevResult"),
        (changed("cniVersion", json!("0.2.0")), DECODE, "prevResult"),
        (changed("cniVersion", json!("7.0.0")), DECODE, "prevResult"),
        (changed("ips", json!([{ "address": "10.1.2.300/24" }])), DECODE, "ips[0].address"),
        (
            changed("ips", json!([{ "address": "10.1.2.2/24", "interface": -1 }])),
            DECODE,
            "ips[0].interface",
        ),
        (changed("interfaces", json!({})), DECODE, "interfaces"),
        (changed("routes", json!([{ "gw": "10.1.2.1" }])), DECODE, "dst"),
    ] {
        refused(&bed.node, &with(&prev), "CHECK", code, text);
    }
    let mut elsewhere = result.clone();
    elsewhere["interfaces"].as_array_mut().unwrap().last_mut().unwrap()["sandbox"] =
        json!("/run/netns/other");
    refused(&bed.node, &with(&elsewhere), "CHECK", CONFIG, "doesn't match configured netns");
    with(&result).check().ok();
}

#[test]
fn versions_that_lack_a_verb() {
    for_each_plugin(try_versions_that_lack_a_verb);
}

fn try_versions_that_lack_a_verb(bed: &Bed) {
    for (version, verb, code, text) in [
        ("0.3.1", "CHECK", 1, "config version does not allow CHECK"),
        ("1.0.0", "GC", 1, "config version does not allow GC"),
        ("1.0.0", "STATUS", 1, "config version does not allow STATUS"),
        ("1.0.x", "CHECK", DECODE, "version"),
        ("1.1.0.0", "GC", DECODE, "version"),
    ] {
        let call = bed.call().conf(bed.config(json!({ "cniVersion": version })));
        refused(&bed.node, &call, verb, code, text);
    }
}

#[test]
fn an_ipam_plugin_that_is_the_plugin_itself() {
    for_each_plugin(|bed| {
        let plugin = bed.config["type"].as_str().unwrap();
        let call = bed.call().conf(bed.config(json!({ "ipam": { "type": plugin } })));
        // STATUS of ipip first says whether the kernel has tunnels.
        let verbs = ["ADD", "CHECK", "PLAN", "STATUS"];
        let verbs = if plugin == "ipip" { &verbs[..3] } else { &verbs };
        for verb in verbs.iter().copied() {
            let call = match verb {
                "CHECK" => call.clone().prev(&json!({ "cniVersion": "1.1.0" })),
                _ => call.clone(),
            };
            let text = format!("ipam.type is {plugin}, which manages no addresses");
            refused(&bed.node, &call, verb, CONFIG, &text);
        }
        call.del().ok();
        // Nor by way of another.
        let other = if plugin == "ptp" { "bridge" } else { "ptp" };
        let call = bed.call().conf(bed.config(json!({ "ipam": { "type": other } })));
        let text = format!("ipam.type is {other}, which manages no addresses");
        refused(&bed.node, &call, "ADD", CONFIG, &text);
    });
}

/// Puts a program called `lying` into a folder of its own, to be used as IPAM plugin.
fn lying(script: &str) -> Value {
    let folder = Path::new("/run/plugins");
    fs::create_dir_all(folder).unwrap();
    let program = folder.join("lying");
    fs::write(
        &program,
        format!("#!/bin/sh\ncat >/dev/null\necho $CNI_COMMAND >>/run/plugins.log\n{script}\n"),
    )
    .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    json!({ "ipam": { "type": "lying" } })
}

#[test]
fn ipam_plugins_that_fail_hang_or_lie() {
    for_each_plugin(try_ipam_plugins_that_fail_hang_or_lie);
}

#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn try_ipam_plugins_that_fail_hang_or_lie(bed: &Bed) {
    let answer = |json: &str| format!("[ $CNI_COMMAND = ADD ] && echo '{json}'; exit 0");
    let on_add = |script: &str| format!("[ $CNI_COMMAND = ADD ] || exit 0; {script}");
    for (script, code, text) in [
        (on_add("echo '{\"code\": 123, \"msg\": \"no way\"}'; exit 1"), 123, "no way"),
        (on_add("exit 3"), INTERNAL, "exit status 3"),
        (on_add("echo oops >&2; exit 3"), INTERNAL, "oops"),
        (on_add("echo garbage; exit 1"), INTERNAL, "garbage"),
        (on_add("kill -SEGV $$"), INTERNAL, "SIGSEGV"),
        (on_add("sleep 1000"), AGAIN, "in time"),
        (on_add("exit 0"), DECODE, "printed nothing"),
        (answer("garbage"), DECODE, "JSON"),
        (answer("{}"), INTERNAL, "IPAM plugin returned missing IP config"),
        (answer("null"), INTERNAL, "IPAM plugin returned missing IP config"),
        (
            answer("{\"ips\": [{\"address\": \"0.0.0.0/0\"}]}"),
            INTERNAL,
            "no address for a container",
        ),
        (
            answer("{\"ips\": [{\"address\": \"224.0.0.5/24\"}]}"),
            INTERNAL,
            "no address for a container",
        ),
        (answer("{\"ips\": [{\"address\": \"10.1.2.256/24\"}]}"), DECODE, "ips[0].address"),
        (
            answer("{\"ips\": [{\"address\": \"10.1.2.3/24\", \"gateway\": \"fd00::1\"}]}"),
            INTERNAL,
            "another family",
        ),
        (
            answer("{\"ips\": [{\"address\": \"10.1.2.3/24\"}, {\"address\": \"10.1.2.3/24\"}]}"),
            INTERNAL,
            "twice",
        ),
        (
            answer("{\"cniVersion\": \"0.2.0\", \"ip4\": {\"ip\": \"10.1.2.3/24\"}}"),
            DECODE,
            "0.2.0",
        ),
        (
            answer(
                "{\"ips\": [{\"address\": \"10.1.2.3/24\"}], \"routes\": [{\"dst\": \"10.7.0.0/16\", \"gw\": \"10.99.0.1\"}]}",
            ),
            INTERNAL,
            "add the route 10.7.0.0/16 via 10.99.0.1 dev eth0",
        ),
    ] {
        if bed.config["type"] == "ipip" && text.starts_with("add the route") {
            continue; // This comes after the tunnel, which needs another kernel.
        }
        let config = bed.config(lying(&script));
        fs::write("/run/plugins.log", "").unwrap();
        let before = bed.node.state();
        let path = format!("/run/plugins:{}", testbed::bin().display());
        let outcome =
            bed.call().conf(&config).env("CNI_PATH", path).env("FERROCNI_TIMEOUT", "0.5").add();
        let (seen, msg, details) = outcome.err();
        assert!(
            seen == code && format!("{msg} {details}").contains(text),
            "{script}: expected {code} {text}\n{outcome}"
        );
        let asked = fs::read_to_string("/run/plugins.log").unwrap();
        // Whatever it has reserved is released.
        assert_eq!(asked, "ADD\nDEL\n", "{script}\n{outcome}");
        fs::write("/run/plugins.log", "").unwrap();
        assert_same!(before, bed.node.state(), "{script}");
    }
}
