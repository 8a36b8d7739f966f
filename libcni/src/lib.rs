//! The CNI protocol: write plugins, and run them.
//!
//! # CNI in five lines
//!
//! To join a container to a network, a container runtime runs a program, the *plugin* that the network's configuration
//! names. `CNI_COMMAND` says what is wanted: ADD, CHECK, DEL, GC, STATUS or VERSION. Other variables name the container,
//! its network namespace and the interface to make. The configuration comes on stdin, the result (interfaces, addresses,
//! routes) goes to stdout, and an error is JSON with a code. Addresses come from a second plugin, for *IPAM*, that the
//! first one runs the same way. The details are in the [specification](https://www.cni.dev/docs/spec/).
//!
//! # A plugin is a plan
//!
//! This crate does all of that. A plugin says only what should exist: it is a pure function, [`Plugin::plan`], from its
//! configuration, the [`Call`] and the [`Addresses`] to a plan. An [`Executor`] makes, compares and removes what is in
//! plans; several plugins can share one. Everything else follows:
//!
//! | verb | what happens |
//! |---|---|
//! | ADD | the IPAM plugin is asked, the plan is made and applied; if that fails, the addresses are released |
//! | CHECK | the plan is made again from `prevResult`; every difference is reported |
//! | DEL | what is in the plan is removed, then the addresses are released |
//! | GC | what belongs to no valid attachment is removed, here and in the IPAM plugin |
//! | STATUS | the plugin and the IPAM plugin say whether an ADD could be served |
//! | PLAN, REPAIR | not in the specification: shows what ADD would do; puts right what CHECK would report |
//!
//! # A complete plugin
//!
//! This is `examples/notes.rs`, which the tests of this crate run. Its executor makes files; one for Linux makes links.
//!
//! ```no_run
#![doc = include_str!("../examples/notes.rs")]
//! ```
//!
//! A plugin that is no plan, as those for IPAM are, implements [`Verbs`] instead.
//!
//! # What is where
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
pub use protocol::{BuiltIn, run};
pub use result::{AddResult, Dns, Interface, IpConfig, Route};
pub use version::{SUPPORTED, Version};
