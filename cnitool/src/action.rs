//! What `cnitool` can be asked to do.

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Add,
    Check,
    Del,
    Gc,
    Status,
    Plan,
    Repair,
    Ls,
    Lint,
    Version,
}
