//! The network configuration: what a plugin reads, and what is wrong with it.

use crate::requirement::Requirement;

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[];
