//! The observations of a scenario, in parts that are compared.

use serde::{Deserialize, Serialize};

/// The observations of a scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Whether each ADD succeeded.
    pub added: bool,
    /// The parts, in the order of the scenario.
    pub parts: Vec<Part>,
}

/// The observation of one aspect at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The aspect that is compared.
    pub what: Aspect,
    /// The place: `host`, `container a`, `files`.
    pub place: String,
    /// The lines.
    pub lines: Vec<String>,
}

/// An aspect of a scenario that is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aspect {
    /// The outcome of ADD, with its result.
    Add,
    /// The state of the host and the containers after ADD.
    StateAfterAdd,
    /// Equal lines in the states after ADD and after DEL.
    StateAfterBoth,
    /// The outcome of CHECK.
    Check,
    /// The outcome of DEL.
    Del,
    /// The state after DEL.
    StateAfterDel,
}

/// The names of the containers.
pub const CONTAINERS: [&str; 2] = ["a", "b"];
