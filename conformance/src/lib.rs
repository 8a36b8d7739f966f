//! Tests any directory of CNI plugins from outside. The kit knows the specification and Linux, but
//! not the plugins.
//!
//! A [`Requirement`] is one property that a plugin must have: an ID, a source, a statement and a
//! test. `requirements/` contains all of them, with a file for each chapter. The [`runner`] makes a
//! [case](case::Case) of each requirement, plugin and version of the specification, and runs each
//! case in a process and namespaces of its own. There the test uses a [`Fixture`]: a host,
//! containers, and recorded calls of the plugin. The outcome is a [`Report`], which can be shown as
//! a table, JSON, JUnit XML or an HTML page.
//!
//! A [profile](profile::Profile), a small JSON file, contains the configuration for the tests of a
//! plugin.
#![forbid(unsafe_code)]

pub mod address;
pub mod attempt;
pub mod case;
pub mod compare;
pub mod delegate;
pub mod described;
pub mod discovery;
pub mod disk;
pub mod edition;
pub mod evidence;
pub mod fixture;
pub mod init;
pub mod ipam;
pub mod isolation;
pub mod json;
pub mod kernel_support;
pub mod known;
pub mod lab;
pub mod library;
pub mod linux;
pub mod parallel;
pub mod place;
pub mod plan;
pub mod previous;
pub mod profile;
pub mod progress;
pub mod registry;
pub mod report;
pub mod requirement;
pub mod requirements;
pub mod role;
pub mod runner;
pub mod settling;
pub mod signals;
pub mod source;
pub mod suggest;
pub mod suite;
pub mod sysctl;
pub mod timeout;
pub mod trace;
pub mod trial;
pub mod verdict;
pub mod version;
pub mod whose;

pub use fixture::Fixture;
pub use report::Report;
pub use requirement::Requirement;

/// The examples of the documentation, compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/conformance.md")]
pub struct Documentation;
