//! The plan of a crash test: the call that is killed, and the calls that follow.

/// The plan of a crash test.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The command of the call that is killed.
    pub verb: &'static str,
    /// The calls that follow.
    pub then: FollowUp,
    /// Only every N-th system call is tested; this is N.
    pub step: usize,
}

/// The calls that follow the killed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowUp {
    /// A DEL.
    Del,
    /// A DEL, then an ADD of the same container, which must work, and a DEL.
    DelAndAdd,
    /// A GC.
    Gc,
}
