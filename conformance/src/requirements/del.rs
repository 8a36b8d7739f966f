//! DEL: a container leaves a network, however little is left of it.

use crate::requirement::Requirement;

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[];
