//! DEL of a chained plugin does not remove objects of the plugin before it.

use serde_json::{Value, json};
use testbed::{Node, assert_same};

use crate::{call, config};

#[test]
fn del_of_a_chained_plugin_leaves_the_attachment_alone() {
    for (kind, keys) in [
        ("bridge", json!({})),
        ("ptp", json!({ "ipam": with_default_route("10.1.2.0/24") })),
        ("bridge", json!({ "ipMasqBackend": "iptables" })),
        ("macvlan", json!({ "hostAccess": true, "ipam": with_default_route("192.0.2.0/24") })),
    ] {
        let tried = std::thread::spawn(move || {
            let (node, outside) = with_outside();
            let config = config(kind, keys);
            let pod = node.pod("p1");
            let first = call(&node, &config, &pod);
            let result = first.add().ok();
            let before = node.state();
            for chained in ["ipip", "loopback"] {
                let chained = json!({ "cniVersion": "1.1.0", "name": "pods", "type": chained });
                let chained = call(&node, &chained, &pod);
                for del in [
                    chained.clone().prev(&result),
                    chained.clone(),
                    chained.clone().unset("CNI_NETNS"),
                ] {
                    del.del().ok();
                    assert_same!(before, node.state(), "DEL of {chained:?} after {kind}");
                }
            }
            assert!(pod.ping(outside), "{kind}");
            first.clone().prev(&result).check().ok();
            first.del().ok();
            assert!(!node.state().contains("/p1/eth0"), "DEL of {kind}: {}", node.state());
        });
        tried.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
}

fn with_default_route(subnet: &str) -> Value {
    let first = subnet.replace("0/24", "7");
    let range = json!({ "subnet": subnet, "rangeStart": first });
    json!({ "type": "host-local", "ranges": [[range]], "routes": [{ "dst": "0.0.0.0/0" }] })
}

fn with_outside() -> (Node, &'static str) {
    let node = Node::new();
    let outside = node.outside().v4;
    (node, outside)
}
