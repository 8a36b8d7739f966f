//! DEL and GC remove all that ADD made, even if the result, the configuration or the namespace has
//! changed since; and a failed ADD leaves nothing.
#![cfg(test)]

mod answers;
mod chain;
mod keys;
mod namespaces;
mod results;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testbed::{Cni, Node, Pod};

/// Everything at once: dual stack, a gateway on the host, masquerade, spoof check.
fn config(kind: &str, keys: Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.1.0",
        "name": "pods",
        "type": kind,
        "ipam": {
            "type": "host-local",
            "ranges": [[{ "subnet": "10.1.2.0/24" }], [{ "subnet": "fd00:1:2::/64" }]]
        }
    });
    let of_kind = match kind {
        "bridge" => {
            json!({ "bridge": "cbr0", "isDefaultGateway": true, "ipMasq": true, "macspoofchk": true })
        }
        "ptp" => json!({ "ipMasq": true }),
        _ => json!({ "master": "uplink" }),
    };
    for more in [of_kind, keys] {
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    }
    config
}

fn call(node: &Node, config: &Value, pod: &Pod) -> Cni {
    let plugin = config["type"].as_str().unwrap();
    node.plugin(plugin).conf(config).container(pod.name()).netns(pod)
}

/// The state of the node without shared files that change: those with the last assigned address.
fn lasting(node: &Node) -> String {
    let state = node.state();
    state.split_inclusive('\n').filter(|line| !line.contains("last_reserved_ip")).collect()
}

/// The host's neighbours at the containers' addresses, except that of the container that stays:
/// address, link, MAC address.
fn neighbours(node: &Node) -> BTreeSet<String> {
    let all = node.sh("ip neigh show nud all; ip -6 neigh show nud all");
    let is_meant = |words: &[&str]| match words {
        [address, "dev", _, "lladdr", ..] => {
            let is_of_a_container = address.starts_with("10.1.2.") || address.starts_with("fd00:");
            is_of_a_container && !["10.1.2.3", "fd00:1:2::3"].contains(address)
        }
        _ => false,
    };
    let words = all.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    words.filter(|words| is_meant(words)).map(|words| words[..5].join(" ")).collect()
}

/// Nothing of the later containers is left. Entries that the kernel has dropped meanwhile do not
/// matter.
#[track_caller]
fn assert_no_new_neighbours(before: &BTreeSet<String>, node: &Node, what: &str) {
    let now = neighbours(node);
    let new: Vec<_> = now.difference(before).collect();
    assert!(new.is_empty(), "{what}: {new:?}");
}

/// A network with one deleted and one live container, so that the shared objects exist.
fn used(node: &Node, config: &Value) -> Pod {
    if config["type"] == "macvlan" {
        node.outside();
    }
    let (gone, keep) = (node.pod("first"), node.pod("keep"));
    call(node, config, &gone).add().ok();
    call(node, config, &keep).add().ok();
    call(node, config, &gone).del().ok();
    node.delete(&gone);
    keep
}

/// A node is a thread.
fn on_a_node(work: impl FnOnce(&Node) + Send) {
    let work = || work(&Node::new());
    let done = std::thread::scope(|scope| scope.spawn(work).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}
