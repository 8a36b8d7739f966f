//! At DEL the path of a namespace may refer to nothing, to another container, or to the host.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::{Node, assert_same};

use super::{call, config, lasting, on_a_node, used};

/// The reference's own version of the package may be older than 1.1.0.
fn plain(kind: &str) -> Value {
    config(kind, json!({ "cniVersion": "1.0.0" }))
}

/// The process of a /proc/PID path has ended, and a host process has its PID.
#[test]
fn del_leaves_the_hosts_own_namespace_alone() {
    for kind in ["bridge", "ptp", "macvlan"] {
        on_a_node(|node| {
            let config = config(kind, json!({}));
            used(node, &config);
            node.sh("ip link add eth0 type veth peer name eth0-peer; ip addr add 10.1.2.4/24 dev \
                eth0; ip link set eth0 up");
            let before = lasting(node);
            for with_result in [true, false] {
                node.sh("echo -n 10.1.2.3 >/var/lib/cni/networks/pods/last_reserved_ip.0");
                let pod = node.pod("c");
                let mut call = call(node, &config, &pod);
                let result = call.add().ok();
                assert!(result.to_string().contains("\"10.1.2.4/24\""), "{result}");
                if with_result {
                    call = call.prev(&result);
                }
                let outcome = call.env("CNI_NETNS", "/proc/self/ns/net").del();
                outcome.ok();
                let said = outcome.stderr.matches("own network namespace").count();
                assert_eq!(said, 1, "{outcome}");
                node.delete(&pod);
                assert_same!(before, lasting(node), "{kind}, with the result: {with_result}");
            }
        });
    }
}

/// An unmarked link of the host is not treated as the container's either, if the path leads to the
/// host's namespace.
#[test]
fn del_takes_no_unmarked_link_of_the_host() {
    let node = Node::new();
    let config = config("bridge", json!({}));
    let pod = node.pod("c");
    call(&node, &config, &pod).add().ok();
    node.sh("ip link add eth0 type veth peer name eth0-peer; ip addr add 10.1.2.2/24 dev eth0");
    let call = call(&node, &config, &pod).env("CNI_NETNS", "/proc/self/ns/net");
    call.env("CNI_NETNS_OVERRIDE", "1").del().ok();
    let links = node.sh("ip -br addr");
    assert!(links.contains("eth0@eth0-peer") && links.contains("10.1.2.2/24"), "{links}");
}

#[test]
fn del_without_the_result_removes_attachments_of_the_reference() {
    for kind in ["bridge", "ptp", "macvlan"] {
        on_a_node(|node| {
            let config = plain(kind);
            used(node, &config);
            let before = lasting(node);
            for is_gone in [false, true] {
                let pod = node.pod("c");
                let ours = call(node, &config, &pod);
                ours.clone().suite(testbed::reference()).add().ok();
                assert!(pod.sh("ip link").contains("eth0"));
                if is_gone {
                    node.delete(&pod);
                    wait_for_the_kernel(node);
                }
                ours.del().ok();
                if !is_gone {
                    assert!(!pod.sh("ip link").contains("eth0"), "{kind}");
                    node.delete(&pod);
                }
                assert_same!(
                    without_theirs(&before),
                    without_theirs(&lasting(node)),
                    "{kind}, {is_gone}"
                );
            }
        });
    }
}

/// The kernel deletes a namespace without a name, with its links, after a delay: then only the
/// container that stays has a link on the host. A link of the reference has a random name, so no
/// other program finds it.
fn wait_for_the_kernel(node: &Node) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while node.sh("ip -o link").matches("veth").count() > 1 {
        assert!(Instant::now() < deadline, "the link of a namespace that is gone stays");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Without the tables that iptables and the reference's masquerade and spoof check make for all
/// containers.
fn without_theirs(state: &str) -> String {
    const TABLES: [&str; 5] =
        ["cni_plugins_masquerade", "table bridge nat", "table ip nat", "table ip6 nat", "-save:"];
    let mut in_theirs = false;
    let is_ours = |line: &&str| {
        let is_end = in_theirs && (line.starts_with('}') || line.starts_with("COMMIT"));
        in_theirs = (in_theirs && !is_end) || TABLES.iter().any(|table| line.contains(table));
        !in_theirs && !is_end && !line.starts_with("# Warning") && !line.contains("/pods/lock")
    };
    state.split_inclusive('\n').filter(is_ours).collect()
}

/// The path of a deleted container leads to another one, which keeps its interface, whichever suite
/// made it.
#[test]
fn del_leaves_another_container_its_interface() {
    for kind in ["bridge", "ptp", "macvlan"] {
        on_a_node(|node| {
            let config = plain(kind);
            used(node, &config);
            for (theirs_first, theirs_second) in
                [(true, true), (true, false), (false, true), (false, false)]
            {
                let (old, live) = (node.pod("old"), node.pod("live"));
                let add = |pod, theirs| {
                    let call = call(node, &config, pod);
                    let call = if theirs { call.suite(testbed::reference()) } else { call };
                    call.add().ok()
                };
                let result = add(&old, theirs_first);
                add(&live, theirs_second);
                node.delete(&old);
                let before = live.sh("ip -br addr show eth0; ip route; ip -6 route");
                let elsewhere = call(node, &config, &live).container("old");
                for call in [elsewhere.clone().prev(&result), elsewhere] {
                    call.del().ok();
                    let which = format!("{kind}, {theirs_first}, {theirs_second}");
                    assert_same!(
                        before,
                        live.sh("ip -br addr show eth0; ip route; ip -6 route"),
                        "{which}"
                    );
                }
                let held = node.sh("grep -rl old /var/lib/cni/networks/pods || true");
                assert_eq!(held, "", "{kind}");
                call(node, &config, &live).del().ok();
                node.delete(&live);
            }
        });
    }
}
