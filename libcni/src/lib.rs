//! The CNI protocol: write plugins, and run them.
//!
//! # CNI in five lines
//!
//! To join a container to a network, a container runtime runs a program, the *plugin* that the
//! network's configuration names. `CNI_COMMAND` has the verb: ADD, CHECK, DEL, GC, STATUS or
//! VERSION. Other variables name the container, its network namespace and the interface to make.
//! The configuration comes on stdin, the result (interfaces, addresses, routes) goes to stdout, and
//! an error is JSON with a code. Addresses come from a second plugin, for *IPAM*, that the first
//! one runs the same way. The details are in the [specification](https://www.cni.dev/docs/spec/).
//!
//! # A plugin is a plan
//!
//! This crate does all of that. A plugin only declares what should exist: it is a pure function,
//! [`Plugin::plan`], from its configuration, the [`Call`] and the [`Addresses`] to a plan. An
//! [`Executor`] makes, compares and removes what is in plans; several plugins can share one.
//! Everything else follows:
//!
//! | verb | what happens |
//! |---|---|
//! | ADD | the IPAM plugin is asked, the plan is made and applied; if that fails, the addresses are released |
//! | CHECK | the plan is made again from `prevResult`; every difference is reported |
//! | DEL | what is in the plan is removed, then the addresses are released |
//! | GC | what belongs to no valid attachment is removed, here and in the IPAM plugin |
//! | STATUS | the plugin and the IPAM plugin check that they can serve an ADD |
//! | PLAN, REPAIR | not in the specification: shows what ADD would do; repairs what CHECK would report |
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
//! [`run`] is the body of a plugin's `main`. [`AddResult`] knows the shapes that results had in every version of the
//! specification. [`json`] and [`ip`] read configurations by the rules that all existing ones were written against.
//! [`exec`] runs plugins. With the feature `runtime` there is also what a container runtime needs: network
//! configurations, chains of plugins, and the cache of results.
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
