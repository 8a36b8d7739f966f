//! The same scenarios with two suites, and what differs in results and kernel state: what changes if plugins are swapped.

use serde::{Deserialize, Serialize};

/// One scenario with one suite.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Scenario {
    /// The plugin's type.
    pub plugin: String,
}

/// What was seen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seen {
    /// The result of ADD.
    pub result: String,
}

/// Runs a scenario on a host of its own.
pub fn run(_scenario: &Scenario) -> Seen {
    Seen { result: String::new() }
}
