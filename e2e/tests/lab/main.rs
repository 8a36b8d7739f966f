//! containerd on the kernel of a stock distribution, with cgroups of version 2 alone and what many machines' kernels lack:
//! tunnels and VLANs. `scripts/e2e lab` runs these in the lab, `scripts/lab`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests report by panicking"
)]

mod stock;
mod tunnel;
