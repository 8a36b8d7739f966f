//! The CNI protocol: write plugins, and run them.
//!
//! # CNI in five lines
//!
//! To connect a container to a network, a container runtime runs a program, the *plugin* that the
//! network's configuration names. `CNI_COMMAND` has the verb: ADD, CHECK, DEL, GC, STATUS or
//! VERSION. Other variables name the container, its network namespace and the interface to make.
//! The configuration comes on stdin, the result (interfaces, addresses, routes) goes to stdout, and
//! an error is JSON with a code. Addresses come from a second plugin, for *IPAM*, that the first
//! one runs the same way. The details are in the [specification](https://www.cni.dev/docs/spec/).
//!
//! # A plugin is a plan
//!
//! This crate implements the protocol. A plugin only declares the objects that should exist: it is
//! a pure function, [`Plugin::plan`], from its configuration, the [`Call`] and the [`Addresses`] to
//! a plan. An [`Executor`] creates, compares and removes the objects of plans; several plugins can
//! share one. Everything else follows:
//!
//! | verb | what happens |
//! |---|---|
//! | ADD | calls the IPAM plugin, makes the plan and applies it; releases the addresses on failure |
//! | CHECK | makes the plan from `prevResult`, and reports every difference |
//! | DEL | removes the objects of the plan, then releases the addresses |
//! | GC | removes the objects of stale attachments, and runs GC of the IPAM plugin |
//! | STATUS | verifies that the plugin and the IPAM plugin can serve an ADD |
//! | PLAN | not in the specification: shows what ADD would do |
//! | REPAIR | not in the specification: repairs the differences that CHECK would report |
//!
//! # A complete plugin
//!
//! This is `examples/notes.rs`, which the tests of this crate run. Its executor makes files; one
//! for Linux makes links.
//!
//! ```no_run
#![doc = include_str!("../examples/notes.rs")]
//! ```
//!
//! A plugin that is not a plan, such as one for IPAM, implements [`Verbs`] instead.
//!
//! # Modules
//!
//! [`run`] is the body of a plugin's `main`. [`AddResult`] supports the results of every version of
//! the specification. [`json`] and [`ip`] read configurations by the same rules as Go plugins do.
//! [`exec`] runs plugins. The feature `runtime` adds the runtime's side: network configurations,
//! chains of plugins, and the cache of results.
#![warn(missing_docs)]
#![forbid(unsafe_code)]

mod addresses;
mod args;
mod call;
mod delegate;
mod env;
mod error;
pub mod exec;
pub mod file;
mod help;
pub mod ip;
pub mod json;
mod lifecycle;
mod manual;
mod names;
mod netns;
pub mod output;
mod plugin;
mod protocol;
mod result;
#[cfg(feature = "runtime")]
pub mod runtime;
pub mod text;
mod verbs;
mod version;

pub use ipnetwork;
pub use serde_json;

pub use addresses::Addresses;
pub use call::{Attachment, Call, Verb};
pub use error::{Code, Context, Error, Result};
pub use manual::Manual;
pub use names::{ContainerId, IfName, NetworkName, PluginType};
pub use netns::is_same_netns;
pub use plugin::{Addressing, Executor, PlanOf, Plugin};
pub use protocol::{BuiltIn, run};
pub use result::{AddResult, Dns, Interface, IpConfig, Route};
pub use verbs::{Preview, Verbs};
pub use version::{SUPPORTED, Version};
