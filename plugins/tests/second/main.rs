//! A second ADD of a live attachment is rejected, and the objects of the first one stay unchanged,
//! above all its addresses.
#![cfg(test)]

mod cnitool;
mod compensation;
mod race;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testbed::{Cni, Node, Outside, Pod, assert_same};

/// A node with a link `uplink`, whose containers get addresses of the network behind it.
struct Lab {
    node: Node,
    outside: Outside,
    plugin: &'static str,
    config: Value,
    /// Other binaries than the built ones.
    suite: Option<PathBuf>,
}

/// The plugins that make links, and their configurations.
const PLUGINS: [&str; 3] = ["bridge", "ptp", "macvlan"];

impl Lab {
    fn new(plugin: &'static str) -> Lab {
        let node = Node::new();
        let outside = node.outside();
        let subnet = match plugin {
            "macvlan" => {
                json!({ "subnet": "192.0.2.0/24", "rangeStart": "192.0.2.100", "gateway": "192.0.2.2" })
            }
            _ => json!({ "subnet": "10.1.2.0/24" }),
        };
        let config = json!({
            "cniVersion": "1.1.0", "name": "pods", "type": plugin, "isDefaultGateway": true, "ipMasq": true,
            "master": "uplink", "hostAccess": true, "ipam": { "type": "host-local", "ranges": [[subnet]] },
        });
        Lab { node, outside, plugin, config, suite: None }
    }

    /// With a host-local of another build, which is run as a process of its own.
    fn apart(plugin: &'static str) -> Lab {
        let lab = Lab::new(plugin);
        let suite = testbed::host_local_apart(Path::new("/run/suite"));
        Lab { suite: Some(suite), ..lab }
    }

    fn call(&self, container: &str, pod: &Pod) -> Cni {
        let call = self.node.plugin(self.plugin).conf(&self.config).container(container).netns(pod);
        self.suite.iter().fold(call, |call, suite| call.suite(suite))
    }

    /// Whether packets pass between the pod and its gateway, or the other host.
    fn works(&self, pod: &Pod) -> bool {
        match self.plugin {
            "macvlan" => {
                let reaches_host = self.config["hostAccess"] == false || pod.ping("192.0.2.1");
                pod.ping(self.outside.v4) && reaches_host
            }
            _ => pod.ping("10.1.2.1"),
        }
    }

    /// The objects of attachments: links, rules, routes and addresses.
    fn owned(&self) -> Vec<String> {
        let links = ["link veth", "link shim-", "link eth0 macvlan"];
        let marks = ["ferrocni:", "pods/10.1.2.", "pods/192.0.2."];
        let is_owned = |line: &str| {
            links.iter().any(|link| line.starts_with(link))
                || marks.iter().any(|mark| line.contains(mark))
        };
        self.node.state().lines().filter(|line| is_owned(line)).map(str::to_owned).collect()
    }
}

/// Nodes are threads.
fn on_a_node<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let done = std::thread::scope(|scope| scope.spawn(work).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The addresses of a result.
fn ips(result: &Value) -> Vec<String> {
    let ips = result["ips"].as_array().unwrap().iter();
    ips.map(|ip| ip["address"].as_str().unwrap().to_owned()).collect()
}

/// An IPAM plugin that is a shell script, and logs its calls in `/run/calls`. Returns `CNI_PATH`.
fn script(name: &str, text: &str) -> String {
    fs::create_dir_all("/run/plugins").unwrap();
    let file = Path::new("/run/plugins").join(name);
    fs::write(
        &file,
        format!("#!/bin/sh\ncat >/dev/null\necho $CNI_COMMAND >>/run/calls\n{text}\n"),
    )
    .unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    format!("/run/plugins:{}", testbed::bin().display())
}

/// The calls of [`script`]'s plugins since the last time.
fn calls() -> Vec<String> {
    let calls = fs::read_to_string("/run/calls").unwrap_or_default();
    fs::remove_file("/run/calls").ok();
    calls.lines().map(str::to_owned).collect()
}

fn refused_in_another_namespace(lab: &Lab) {
    let plugin = lab.plugin;
    let [a, b, c] = ["a", "b", "c"].map(|name| lab.node.pod(name));
    let first = lab.call("c1", &a);
    let result = first.add().ok();
    let before = lab.node.state();

    let (_, msg, details) = lab.call("c1", &b).add().err();
    if plugin == "macvlan" {
        assert!(msg.contains("duplicate allocation is not allowed"), "{msg}");
    } else {
        let said = "container c1 is attached to network pods as eth0 already, in the network \
            namespace /run/netns/a";
        assert!(msg.contains(said), "{plugin}: {msg}");
        assert_eq!(details, "DEL the attachment before the next ADD");
    }
    assert_same!(before, lab.node.state(), "{plugin}");
    assert!(lab.works(&a), "{plugin}");
    first.clone().prev(&result).check().ok();

    let other = lab.call("c2", &c);
    assert_ne!(ips(&other.add().ok()), ips(&result), "{plugin}");
    assert!(lab.works(&a) && lab.works(&c), "{plugin}");
    other.del().ok();
    first.del().ok();
    assert_eq!(lab.owned(), Vec::<String>::new(), "{plugin}");
    // Now another container may have it.
    lab.call("c1", &b).add().ok();
    assert!(lab.works(&b), "{plugin}");
}

#[test]
fn the_second_add_is_refused_in_another_namespace() {
    for plugin in PLUGINS {
        on_a_node(|| refused_in_another_namespace(&Lab::new(plugin)));
    }
}

#[test]
fn the_second_add_is_refused_in_another_namespace_by_a_process_of_its_own() {
    for plugin in PLUGINS {
        on_a_node(|| refused_in_another_namespace(&Lab::apart(plugin)));
    }
}

#[test]
fn the_second_add_is_refused_in_the_same_namespace() {
    for plugin in PLUGINS {
        on_a_node(|| {
            let lab = Lab::new(plugin);
            let pod = lab.node.pod("a");
            lab.call("c1", &pod).add().ok();
            let before = lab.node.state();
            let (_, msg, _) = lab.call("c1", &pod).add().err();
            assert!(msg.contains("\"eth0\" already exists in the container"), "{msg}");
            assert_same!(before, lab.node.state(), "{plugin}");
            assert!(lab.works(&pod), "{plugin}");
        });
    }
}
