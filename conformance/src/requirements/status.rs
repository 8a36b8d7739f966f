//! STATUS: whether a plugin could serve an ADD.

use crate::requirement::Requirement;

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[];
