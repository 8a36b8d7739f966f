//! Address management plugins: addresses are handed out once, and taken back.

use crate::requirement::Requirement;

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[];
