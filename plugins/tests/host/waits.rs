//! An ADD does not fail because the kernel has not finished at its deadline.

use std::thread;
use std::time::Duration;

use serde_json::json;
use testbed::Node;

use super::{call, network};

/// Duplicate address detection takes 100 s at first, and one second after the test shortens it, as
/// on a host whose work queues are busy for that long.
#[test]
fn an_add_succeeds_before_its_addresses_are_in_use() {
    let node = Node::new();
    let pod = node.pod("a");
    pod.sh("sysctl -qw net.ipv6.conf.default.dad_transmits=100");
    let keys = json!({ "isDefaultGateway": true, "enabledad": true });
    let config = network("bridge", "pods", &["10.1.2.0/24", "fd00:1::/64"], keys);
    let result = call(&node, &config, &pod).env("FERROCNI_TIMEOUT", "6").add().ok();
    assert!(pod.sh("ip -6 address show dev eth0").contains("tentative"));
    assert!(pod.ping("10.1.2.1"));
    // CHECK names the reason why no packet passes yet.
    let check = || call(&node, &config, &pod).prev(&result).check();
    let (_, _, details) = check().err();
    assert!(details.contains("address fd00:1::2 of eth0 is not in use yet"), "{details}");
    pod.sh("sysctl -qw net.ipv6.neigh.eth0.retrans_time_ms=10");
    for _ in 0..4000 {
        if check().status.success() {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    check().ok();
    assert!(pod.ping("fd00:1::1"));
}
