//! Errors: their shape, their codes, and what else must not be printed.

use crate::requirement::Requirement;

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[];
