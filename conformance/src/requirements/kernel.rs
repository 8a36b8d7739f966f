//! Effects on the kernel: what a result says exists does, and after DEL it does not.

use crate::requirement::Requirement;

/// The chapter.
pub const REQUIREMENTS: &[Requirement] = &[];
