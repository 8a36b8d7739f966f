//! The environment of the tests with real container runtimes: a [`Machine`] with the plugins
//! installed, [`Containerd`] on it, and its [`Pod`]s.
//!
//! A test runs in a node of `scripts/node`, because runtimes leave processes behind, and makes a
//! machine there:
//!
//! ```no_run
//! use e2e::{Containerd, Machine, Release};
//! use serde_json::json;
//!
//! let machine = Machine::new();
//! machine.network(json!({ "cniVersion": "1.0.0", "name": "pods", "plugins": [
//!     { "type": "ptp", "ipam": { "type": "host-local", "subnet": "10.1.2.0/24" } }
//! ]}));
//! let before = machine.state();
//! let containerd = Containerd::start(&machine, Release::Stable);
//! let (a, b) = (containerd.pod("a"), containerd.pod("b"));
//! assert!(a.ping(&b.addresses()[0]));
//! drop((a, b)); // stopped and removed
//! containerd.stop();
//! testbed::assert_same!(before, machine.state());
//! ```
//!
//! If anything is missing, the test panics with the remedy. It is never skipped.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a panic is how it reports"
)]

mod buildah;
mod containerd;
mod cri;
mod image;
mod machine;
mod pod;
mod podman;
mod recorder;
mod storage;
mod web;

pub use buildah::Buildah;
pub use containerd::{Containerd, Release};
pub use cri::{Cri, NetworkState, Sandbox};
pub use image::{IMAGE, image};
pub use machine::{Machine, PLUGINS, client, output};
pub use pod::{Container, Pod};
pub use podman::Podman;
pub use recorder::Recorder;
pub use web::{Web, page};
