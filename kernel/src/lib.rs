//! Linux networking as plans: what should exist, applied, compared and removed by one executor.
#![warn(missing_docs)]

mod error;
pub mod iptables;
pub mod nft;
mod owner;

pub use error::{Doing, Error, Result};
pub use owner::{Mac, Owner};
