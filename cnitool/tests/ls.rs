//! `cnitool ls` on nodes of its own: containers are joined by the built plugins, and then things go wrong.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a panic is how it reports"
)]

#[path = "ls/bed.rs"]
mod bed;
#[path = "ls/leaks.rs"]
mod leaks;
#[path = "ls/pools.rs"]
mod pools;
#[path = "ls/problems.rs"]
mod problems;
#[path = "ls/shown.rs"]
mod shown;
