//! The versions of the specification.

/// The versions of the specification that the kit tests.
pub const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// The oldest of them.
pub const OLDEST: &str = "0.3.0";
/// All versions of the specification.
pub const ALL: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// A version as numbers that can be compared: `1.0.0` is after `0.4.0`. A part that is not a number
/// counts as 0.
pub fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}
