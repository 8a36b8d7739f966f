//! What needs more of the kernel than many machines have: VLANs, tunnels, several kinds of links. `scripts/test` runs
//! these tests in the lab, `scripts/lab`, unless the machine's own kernel has everything.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests report by panicking"
)]

mod bridge;
mod cluster;
#[path = "../compare/mod.rs"]
mod compare;
mod examples;
mod ipip;
mod macvlan;

use std::sync::OnceLock;

use testbed::Node;

/// A node on a kernel that has what these tests need.
fn node() -> Node {
    static LACKS: OnceLock<Option<String>> = OnceLock::new();
    let node = Node::new();
    // The lab's kernel has, and looking takes it seconds.
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
            "this machine's kernel lacks something: {lacks}\
             run the test in the lab: scripts/test --lab NAME (or scripts/lab COMMAND...)"
        );
    }
    node
}
