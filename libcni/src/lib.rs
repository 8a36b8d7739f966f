//! The CNI protocol: write plugins, and run them.
#![warn(missing_docs)]
#![forbid(unsafe_code)]

mod addresses;
mod call;
mod error;
pub mod exec;
pub mod ip;
pub mod json;
mod names;
mod plugin;
mod result;
#[cfg(feature = "runtime")]
pub mod runtime;
mod version;

pub use addresses::Addresses;
pub use call::{Attachment, Call, Verb};
pub use error::{Context, Error, Result, code};
pub use names::{ContainerId, IfName, NetworkName, PluginType};
pub use plugin::{Addressing, Executor, Manual, PlanOf, Plugin, Preview, Verbs};
pub use result::{AddResult, Dns, Interface, IpConfig, Route};
pub use version::{SUPPORTED, Version};
