//! The plan and the answer of each documented configuration, as `CNI_COMMAND=PLAN` prints them: a
//! snapshot each, in `snapshots/`. Names and MAC addresses derive from the attachment, so they are
//! the same everywhere.
#![cfg(test)]

mod built;
mod cases;
mod memory;
