//! Packets: between containers, to the host and back, from the first one on.

use crate::requirement::Requirement;

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[];
