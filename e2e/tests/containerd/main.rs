//! containerd drives the plugins: pods start through the interface that the kubelet uses, and all that a node's network
//! does with them is looked at from outside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests report by panicking"
)]

mod calls;
mod failing;
mod killed;
mod many;
mod networks;
mod picture;
mod pods;
mod readme;
mod scene;
mod twice;
mod witness;
