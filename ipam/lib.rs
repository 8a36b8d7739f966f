//! The address management plugins, one file each.
//!
//! A library, so that a plugin that needs an address can have it without starting a second process. The binaries are
//! each a line that runs one of these.

#[path = "host-local.rs"]
mod host_local;

pub use host_local::{Holder, HostLocal, PoolConf, Range, RangeSet, Reserved, networks_in};
