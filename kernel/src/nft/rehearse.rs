//! Checks that rules can be written, without writing them, as `nft --check` does.
//!
//! The kernel judges a batch without its end request by request, and then discards it. That takes a
//! grace period, so this is done only if a set, chain or rule is missing.

use crate::Result;

use super::Nft;
use super::batch::Batch;

/// The number of further tries when other processes are faster.
const TRIES: usize = 3;

impl Nft {
    /// Checks that what `plan` finds missing can be written. Writes nothing.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be written.
    pub(super) fn rehearse(&mut self, plan: impl Fn(&mut Nft) -> Result<Batch>) -> Result<()> {
        let mut tries = TRIES;
        loop {
            let batch = plan(self)?;
            tries -= 1;
            match self.judge(&batch) {
                Err(error) if Batch::lost_race(&error) && tries > 0 => {}
                judged => return judged,
            }
        }
    }
}
