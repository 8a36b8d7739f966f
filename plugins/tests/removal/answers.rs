//! An ADD that fails restores the state before it, even if the kernel carried out a request and its
//! answer is lost.
//!
//! `strace` makes one system call after the other fail, until an ADD succeeds.

use serde_json::{Value, json};
use testbed::{Cni, Node, assert_same};

use super::{assert_no_new_neighbours, call, config, lasting, neighbours, on_a_node, used};

/// Calls ADD with the `when`-th of such system calls failing for lack of memory. Returns true if it
/// succeeds. An ADD whose request was not sent says that the same call may succeed later, and no
/// rollback fails.
fn add_fails_at(call: &Cni, calls: &str, when: usize) -> bool {
    let trace = format!("trace={calls}");
    let inject = format!("inject={calls}:error=ENOBUFS:when={when}");
    let strace = ["strace", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    let ended = call.clone().under(&strace).raw("ADD");
    if !ended.status.success() {
        let error = ended.json();
        let said = format!("{calls} no. {when}: {error}");
        assert!(!said.contains("rollback failed"), "{said}");
        assert!(calls != "sendto" || error["code"] == 11, "{said}");
    }
    ended.status.success()
}

/// The calls whose failure is tested: the answer is lost, or the request is not sent.
const CALLS: [&str; 2] = ["recvfrom", "sendto"];

fn try_each(config: &Value) {
    on_a_node(|node| {
        used(node, config);
        for calls in CALLS {
            for when in 1.. {
                // The neighbour of an address is known from its ADD on, and stays the same.
                node.sh("rm -f /var/lib/cni/networks/pods/last_reserved_ip.*");
                let (before, known) = (lasting(node), neighbours(node));
                let pod = node.pod("c");
                let call = call(node, config, &pod);
                let is_done = add_fails_at(&call, calls, when);
                if is_done {
                    call.del().ok();
                } else {
                    let left = pod.sh("ip link");
                    assert!(!left.contains("eth0"), "{calls} no. {when}: {left}");
                }
                node.delete(&pod);
                let what = format!("{}: {calls} no. {when}", config["type"]);
                assert_same!(before, lasting(node), "{what}");
                assert_no_new_neighbours(&known, node, &what);
                if is_done {
                    println!("{}: ADD failed at {calls} at {} points", config["type"], when - 1);
                    assert!(when > 5, "it never failed");
                    break;
                }
            }
        }
    });
}

#[test]
fn a_bridge_after_a_lost_answer() {
    try_each(&config("bridge", json!({})));
}

#[test]
fn a_routed_veth_pair_after_a_lost_answer() {
    try_each(&config("ptp", json!({})));
}

#[test]
fn a_macvlan_link_after_a_lost_answer() {
    let host = json!({ "hostAccess": true });
    on_a_node(|_| {});
    try_each(&config("macvlan", host));
}

/// The first ADD of a node makes the bridge, too. The tables stay, and so does forwarding.
#[test]
fn the_first_bridge_after_a_lost_answer() {
    let config = config("bridge", json!({}));
    for calls in CALLS {
        let mut is_done = false;
        for when in 1.. {
            on_a_node(|node| {
                let pod = node.pod("c");
                let before = node.sh("ip -br link; ip -br addr; ip route; ip -6 route");
                is_done = add_fails_at(&call(node, &config, &pod), calls, when);
                if !is_done {
                    let after = node.sh("ip -br link; ip -br addr; ip route; ip -6 route");
                    assert_same!(before, after, "{calls} no. {when}");
                    let left = node.sh("nft list ruleset; grep -r . /var/lib/cni || true");
                    assert!(!left.contains("pods/c/") && !left.contains(":c\r"), "{left}");
                    call(node, &config, &pod).add().ok();
                    assert!(pod.ping("10.1.2.1"), "{calls} no. {when}");
                }
            });
            if is_done {
                assert!(when > 5, "it never failed");
                break;
            }
        }
    }
}

/// An ADD that is rejected because the attachment exists must not treat it as its own.
#[test]
fn a_live_attachment_stays_whatever_answer_is_lost() {
    let node = Node::new();
    for kind in ["bridge", "macvlan"] {
        let mut config = config(kind, json!({}));
        config.as_object_mut().unwrap().remove("ipam");
        let (live, other) = (node.pod(&format!("live{kind}")), node.pod(&format!("other{kind}")));
        if kind == "macvlan" {
            node.outside();
        }
        let container = |call: Cni| call.container("same");
        container(call(&node, &config, &live)).add().ok();
        let links = |pod: &testbed::Pod| pod.sh("ip -o link show eth0 | cut -d' ' -f2-12");
        let before = (lasting(&node), links(&live));
        for when in 1..60 {
            // A macvlan link of another namespace does not conflict, so ADD is tried in the same
            // one.
            let to = if kind == "bridge" { &other } else { &live };
            let again = container(call(&node, &config, to));
            assert!(!add_fails_at(&again, "recvfrom", when), "{kind}: an ADD again succeeded");
            assert_same!(before.1, links(&live), "{kind}: answer {when} was lost");
            assert_same!(before.0, lasting(&node), "{kind}: answer {when} was lost");
        }
        container(call(&node, &config, &live)).del().ok();
        node.delete(&live);
        node.delete(&other);
    }
}
