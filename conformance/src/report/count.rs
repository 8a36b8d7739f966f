//! The number of cases for each verdict.

use super::CaseResult;
use crate::case::Verdict;

/// The number of cases for each verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// The plugin meets the requirement.
    pub passed: usize,
    /// The plugin does not meet the requirement.
    pub failed: usize,
    /// The requirement does not apply to the plugin.
    pub absent: usize,
    /// This machine cannot run the test.
    pub untestable: usize,
    /// The kit failed.
    pub broken: usize,
}

impl Count {
    /// The number of all cases.
    pub fn all(&self) -> usize {
        self.passed + self.failed + self.absent + self.untestable + self.broken
    }

    /// The verdict on all cases together: the most important one for a reader.
    pub fn verdict(&self) -> Verdict {
        match self {
            Count { failed: 1.., .. } => Verdict::Failed,
            Count { broken: 1.., .. } => Verdict::Broken,
            Count { passed: 1.., .. } => Verdict::Passed,
            Count { untestable: 1.., .. } => Verdict::Untestable,
            _ => Verdict::NotApplicable,
        }
    }

    /// Counts a verdict.
    pub fn add(&mut self, verdict: Verdict) {
        *match verdict {
            Verdict::Passed => &mut self.passed,
            Verdict::Failed => &mut self.failed,
            Verdict::NotApplicable => &mut self.absent,
            Verdict::Untestable => &mut self.untestable,
            Verdict::Broken => &mut self.broken,
        } += 1;
    }

    /// Counts the verdicts of cases.
    pub fn of<'a>(cases: impl IntoIterator<Item = &'a CaseResult>) -> Count {
        let mut count = Count::default();
        cases.into_iter().for_each(|case| count.add(case.outcome.verdict));
        count
    }
}
