//! Root runs plugins on hostile input. Each call returns the specification's error code, one clear
//! message and exit status 1, and leaves the host exactly as before.
#![cfg(test)]

mod ipam;
mod keys;
mod later;

use std::fs;

use serde_json::{Value, json};
use testbed::{Cni, Node, Outcome, Pod, assert_same};

const ENVIRONMENT: u64 = 4;
const DECODE: u64 = 6;
const CONFIG: u64 = 7;
const NETNS: u64 = 8;
const AGAIN: u64 = 11;
const INTERNAL: u64 = 999;

/// The plugins that connect a container to a network, each with its own keys in these tests.
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

/// A node on which a plugin is tested.
struct Bed {
    node: Node,
    pod: Pod,
    /// The working configuration.
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

/// Runs `work` for each plugin, on a node of its own.
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

/// Calls `verb` and expects an error with this code and text, and an unchanged host.
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
        ("/run/file", "not a network namespace"),
        ("/run", "not a network namespace"),
        (fifo, "not a network namespace"),
        ("/proc/self/status", "Invalid argument"),
        ("/proc/self/ns/mnt", "Invalid argument"),
        ("relative", "No such file"),
        ("/proc/self/ns/net", "should not be the same"),
    ] {
        refused(&bed.node, &call.clone().env("CNI_NETNS", path), "ADD", NETNS, text);
    }
    // A deleted namespace, or a path that now leads to the host's own, must not block DEL.
    for path in ["/run/netns/gone", "/run/file", "/proc/self/ns/net"] {
        let before = bed.node.state();
        call.clone().env("CNI_NETNS", path).del().ok();
        assert_same!(without_folders(&before), without_folders(&bed.node.state()));
    }
}

/// The state without host-local's records of a network.
fn without_folders(state: &str) -> String {
    state
        .lines()
        .filter(|line| !line.contains("/var/lib/cni/networks"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// As [`refused`], after host-local has assigned and released an address: its directory stays.
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
