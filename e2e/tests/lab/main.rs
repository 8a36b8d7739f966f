//! containerd on the kernel of a stock distribution, with only cgroups of version 2, and with what
//! many kernels do not support: tunnels and VLANs. `scripts/e2e lab` runs these in the lab,
//! `scripts/lab`.
#![cfg(test)]

mod stock;
mod tunnel;
