//! The kit that judges any directory of CNI plugins, from outside: it knows the specification and Linux, not the plugins.
//!
//! A [`Requirement`] is one thing that is asked of a plugin: an id, where it is asked for, one line of text, and a
//! test. `requirements/` has them all, a file for each chapter. The [`runner`] takes each requirement, plugin and version of
//! the specification for a [case](case::Case), and gives each case a process in namespaces of its own. There the test
//! finds a [`Bench`]: a host, containers, and calls of the plugin that are kept as evidence. What comes of it is a
//! [`Report`], shown as a table, JSON, JUnit's XML or a page.
//!
//! How a plugin is configured to be tested is in its [profile](profile::Profile), a small JSON file.
#![forbid(unsafe_code)]

pub mod address;
pub mod bench;
pub mod case;
pub mod compare;
pub mod ipam;
pub mod lab;
pub mod linux;
pub mod profile;
pub mod report;
pub mod requirement;
pub mod requirements;
pub mod runner;
pub mod suggest;
pub mod suite;
pub mod trace;

pub use bench::Bench;
pub use report::Report;
pub use requirement::Requirement;

/// The examples of the documentation, which are compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/conformance.md")]
pub struct Documentation;
