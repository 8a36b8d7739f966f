//! The address management plugins, one file each. [`PLUGINS`] lists all of them.
//!
//! A library, so that a plugin can get an address without starting a second process. Each binary is
//! one line that runs one of these modules.

mod host_local;
#[cfg(test)]
mod result_keys;
mod static_ipam;

use libcni::{Manual, Verbs};

/// The release of the reference suite that these plugins replace.
pub const REFERENCE: &str = "1.9.1";

pub use host_local::{
    Holder, HostLocal, PoolConf, Range, RangeSet, Reserved, held, networks_in, stale,
};
pub use static_ipam::Static;

/// Every address management plugin of this suite, in alphabetical order.
pub const PLUGINS: &[Manual] = &[HostLocal::MANUAL, Static::MANUAL];
