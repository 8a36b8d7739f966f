//! The plugins that connect containers to networks, one module each: [`bridge::run`] is the whole
//! of the program `bridge`. Shared code is in [`common`] and [`nodes`]. [`PLUGINS`] lists all of
//! them.

use std::path::PathBuf;
use std::process::ExitCode;

use common::Sweeps;
use kernel::Swept;
use libcni::{Addresses, Call, Context, Error, Manual, Preview, Result, Verbs, json};
use serde_json::Value;

pub mod bridge;
pub mod common;
pub mod dummy;
pub mod ipip;
pub mod loopback;
pub mod macvlan;
pub mod nodes;
pub mod ptp;
pub mod tuning;

/// A plugin of this suite.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The plugin's manual.
    pub manual: Manual,
    /// Its place in a network's list of plugins.
    pub role: Role,
    /// The kinds of kernel objects that its GC removes.
    pub swept: &'static [Swept],
    /// The directory of the files that its GC removes, in a network with this configuration.
    pub memory: fn(&Value) -> Option<PathBuf>,
}

/// The place of a plugin in a network's list of plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The plugin makes the container's interface.
    Interface,
    /// The plugin works on the interface that an earlier plugin made.
    Chained,
    /// The configuration decides which of the two.
    Either,
}

/// Generates from one table the lists and functions that name every plugin.
macro_rules! table {
    ($($role:ident $plugin:ty),* $(,)?) => {
        /// Every plugin of this suite, in alphabetical order. It does not link the plugins' verbs.
        pub const PLUGINS: &[Entry] = &[$(Entry {
            manual: <$plugin as Verbs>::MANUAL,
            role: Role::$role,
            swept: <$plugin as Sweeps>::SWEPT,
            memory: <$plugin as Sweeps>::memory,
        }),*];

        /// Serves one call of the protocol with the named plugin; `None` if there is no such
        /// plugin. A program that contains several plugins passes the name that it was started
        /// with.
        pub fn run(name: &str) -> Option<ExitCode> {
            $(if name == <$plugin as Verbs>::MANUAL.name {
                return Some(libcni::run::<$plugin>());
            })*
            None
        }

        /// Makes in memory the plan and the result of a plugin for a call with these addresses.
        ///
        /// # Errors
        ///
        /// Returns the plugin's error, or an error if there is no plugin of this name.
        pub fn plan(name: &str, call: &Call, addresses: &Addresses) -> Result<Preview> {
            $(if name == <$plugin as Verbs>::MANUAL.name {
                return plan_of::<$plugin>(call, addresses);
            })*
            Err(Error::config(format!("no plugin is called {name}")))
        }
    };
}

// One line for each plugin. Tests compare every other list of plugins with this table.
table! {
    Interface bridge::Bridge,
    Interface dummy::Dummy,
    Either ipip::Ipip,
    Either loopback::Loopback,
    Interface macvlan::Macvlan,
    Interface ptp::Ptp,
    Chained common::InChain<tuning::Tuning>,
}

/// Every kind of kernel object that the GC of a plugin removes, once.
pub fn swept() -> Vec<Swept> {
    let mut all: Vec<Swept> = Vec::new();
    for kind in PLUGINS.iter().flat_map(|plugin| plugin.swept) {
        if !all.contains(kind) {
            all.push(*kind);
        }
    }
    all
}

fn plan_of<P>(call: &Call, addresses: &Addresses) -> Result<Preview>
where
    P: libcni::Plugin,
    P::Executor: libcni::Executor<Plan = kernel::Plan>,
{
    let plugin: P = json::from_value(&call.config).context(|| "failed to load netconf")?;
    let (plan, result) = plugin.plan(call, addresses)?;
    let plan = serde_json::to_value(plan)
        .map_err(|error| Error::internal(format!("write the plan as JSON: {error}")))?;
    Ok(Preview::new(result).with_plan(plan))
}
