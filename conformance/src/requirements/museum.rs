//! Published holes in CNI plugins, one test for each.

use crate::requirement::Requirement;

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[];
