//! Delegation: what a plugin passes on to another plugin, and what it makes of the answer.

use crate::requirement::Requirement;

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[];
