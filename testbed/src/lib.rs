//! The environment of the tests: private namespaces, the built binaries, and the state of the
//! kernel as text.
//!
//! A test makes a [`Node`]: network and mount namespaces of its own. Tests therefore run in
//! parallel, and the machine stays unchanged. In the node, the test makes [pods](Node::pod), calls
//! [plugins](Node::plugin), sends packets and compares [states](Node::state):
//!
//! ```no_run
//! let node = testbed::Node::new();
//! let pod = node.pod("a");
//! let before = node.state();
//! let call = node
//!     .plugin("bridge")
//!     .conf(r#"{"cniVersion": "1.1.0", "name": "net", "type": "bridge", "isGateway": true,
//!               "ipam": {"type": "host-local", "subnet": "10.1.2.0/24"}}"#)
//!     .container("c1")
//!     .netns(&pod);
//! let result = call.add().ok();
//! assert_eq!(result["ips"][0]["address"], "10.1.2.2/24");
//! assert!(pod.ping("10.1.2.1"));
//! call.del().ok();
//! node.run(&["ip", "link", "del", "cni0"]);
//! testbed::assert_same!(before, node.state());
//! ```
//!
//! If anything is missing (root privileges, a tool, the binaries, an up-to-date build), the test
//! panics with the remedy. It is never skipped.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a panic is how it reports"
)]

mod bin;
mod cni;
mod compare;
mod firewall;
mod listing;
#[cfg(feature = "manual")]
mod manual;
mod node;
mod packets;
#[cfg(feature = "plan")]
pub mod plan;
mod pod;
mod removal;
mod state;
mod text;

pub use bin::{assert_fresh, bin, binary, host_local_apart, reference};
pub use cni::{Cni, Outcome};
pub use compare::assert_same_as_reference;
#[cfg(feature = "manual")]
pub use manual::{assert_manual, example};
pub use node::{Node, Outside};
pub use packets::Exchange;
pub use pod::{Output, Pod};
pub use removal::await_deleted_namespaces;
pub use state::View;
pub use text::{diff, normalise};

/// Panics with the differing lines if two states differ.
#[macro_export]
macro_rules! assert_same {
    ($before:expr, $after:expr $(,)?) => {
        $crate::assert_same!($before, $after, "the state changed")
    };
    ($before:expr, $after:expr, $($why:tt)+) => {{
        let changes = $crate::diff(&$before, &$after);
        assert!(changes.is_empty(), "{}:\n{changes}", format_args!($($why)+));
    }};
}
