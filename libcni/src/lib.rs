//! The CNI protocol: write plugins, and run them.
#![warn(missing_docs)]
#![forbid(unsafe_code)]

mod addresses;
mod args;
mod call;
mod delegate;
mod env;
mod error;
pub mod exec;
mod help;
pub mod ip;
pub mod json;
mod lifecycle;
mod names;
mod plugin;
mod protocol;
mod result;
#[cfg(feature = "runtime")]
pub mod runtime;
mod version;

pub use addresses::Addresses;
pub use call::{Attachment, Call, Verb};
pub use error::{Context, Error, Result, code};
pub use names::{ContainerId, IfName, NetworkName, PluginType};
pub use plugin::{Addressing, Executor, Manual, PlanOf, Plugin, Preview, Verbs};
pub use protocol::run;
pub use result::{AddResult, Dns, Interface, IpConfig, Route};
pub use version::{SUPPORTED, Version};
