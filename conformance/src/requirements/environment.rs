//! What a plugin is called with: variables, names, and what is wrong with them.

use crate::requirement::Requirement;

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[];
