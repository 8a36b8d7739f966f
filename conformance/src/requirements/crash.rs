//! A plugin that is killed at any point leaves nothing behind for good.

use crate::requirement::Requirement;

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[];
