//! Tests that need kernel features that many hosts lack: VLANs, tunnels, several kinds of links.
//! `scripts/test` runs them in the lab, `scripts/lab`, unless the host's own kernel has all
//! features.
#![cfg(test)]

mod bridge;
mod cluster;
mod dummy;
mod examples;
mod ipip;
mod macvlan;
mod plans;

use std::sync::OnceLock;

use testbed::Node;

/// A node on a kernel with the features that these tests need.
fn node() -> Node {
    static LACKS: OnceLock<Option<String>> = OnceLock::new();
    let node = Node::new();
    // The lab's kernel has them, and the check would take seconds there.
    if std::env::var_os("LAB_HAS_ALL").is_some() {
        return node;
    }
    let lacks = LACKS.get_or_init(|| {
        let scratch = node.pod("scratch");
        let made = scratch.try_run(&["sh", "-ec", include_str!("needs.sh")]);
        node.delete(&scratch);
        (!made.status.success()).then_some(made.stderr)
    });
    if let Some(lacks) = lacks {
        panic!(
            "this host's kernel lacks something: {lacks}\
             run the test in the lab: scripts/test --lab NAME (or scripts/lab COMMAND...)"
        );
    }
    node
}
