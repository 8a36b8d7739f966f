//! The claim of conformance that a report makes.

use super::{Count, Report};
use crate::case::Verdict;
use crate::edition::{Frozen, NAME, frozen};

/// What a report says about the requirements of level `must` of the edition. It does not rely on
/// the list of requirements in the report, which anyone can shorten.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claim {
    /// The number of requirements that are met.
    pub met: usize,
    /// The IDs of the requirements that are not met.
    pub failed: Vec<&'static str>,
    /// The number of requirements that apply, or may apply, and were not tested.
    pub untested: usize,
}

impl Claim {
    /// The claim of a report.
    pub fn of(report: &Report) -> Claim {
        let mut claim = Claim::default();
        for Frozen { id, .. } in frozen().filter(|frozen| frozen.level == "must") {
            let count = Count::of(report.of(id));
            match count.verdict() {
                Verdict::Failed => claim.failed.push(id),
                Verdict::Broken | Verdict::Untestable => claim.untested += 1,
                Verdict::Passed if count.untestable > 0 => claim.untested += 1,
                Verdict::Passed => claim.met += 1,
                Verdict::NotApplicable if count.absent > 0 => {}
                Verdict::NotApplicable => claim.untested += 1,
            }
        }
        claim
    }

    /// Whether all requirements were tested and are met.
    pub fn holds(&self) -> bool {
        self.met > 0 && self.failed.is_empty() && self.untested == 0
    }

    /// The claim in one line.
    pub fn text(&self) -> String {
        let Claim { met, failed, untested } = self;
        let tested = met + failed.len();
        let mut text = match failed.as_slice() {
            [] => format!("{NAME}: {met} of {tested} tested musts are met"),
            ids => {
                format!("{NAME}: {met} of {tested} tested musts are met, not {}", ids.join(", "))
            }
        };
        if *untested > 0 {
            text.push_str(&format!("; {untested} were not tested for all plugins"));
        }
        if self.holds() {
            text.push_str("; the plugins conform");
        }
        text
    }
}
