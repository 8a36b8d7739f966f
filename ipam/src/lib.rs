//! The address management plugins, one file each.
//!
//! A library, so that a plugin can get an address without starting a second process. Each binary is
//! one line that runs one of these modules.

mod host_local;

/// The release of the reference suite that these plugins replace.
pub const REFERENCE: &str = "1.9.1";

pub use host_local::{
    Holder, HostLocal, PoolConf, Range, RangeSet, Reserved, held, networks_in, stale,
};
