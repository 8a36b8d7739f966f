//! Time limits.

use std::time::Duration;

/// The time limit for a call of a plugin.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// The time limit for a case.
pub const CASE: Duration = Duration::from_secs(120);
/// The environment variable with a factor for all time limits, for slow machines.
pub const FACTOR_VARIABLE: &str = "CNI_CONFORMANCE_PATIENCE";
/// What to do if a limit is too short for this machine.
pub const SLOW_MACHINE: &str =
    "On a slow machine, set CNI_CONFORMANCE_PATIENCE=4, which multiplies all time limits";

/// A time limit, multiplied by the factor for this machine.
pub fn scaled(time: Duration) -> Duration {
    let factor = std::env::var(FACTOR_VARIABLE).ok().and_then(|factor| factor.parse().ok());
    time * factor.unwrap_or(1).max(1)
}
