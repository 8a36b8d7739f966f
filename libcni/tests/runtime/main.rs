//! The runtime side, with shell scripts in the place of foreign plugins.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a panic is how it reports"
)]

mod bed;
mod cache;
mod chain;
mod conf;
mod folder;
mod gc;
mod misbehaviour;
mod ours;
mod version;
