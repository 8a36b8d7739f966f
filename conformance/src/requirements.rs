//! All requirements, with a file for each chapter.

mod add;
mod addresses;
mod allocation;
mod chaining;
mod check;
mod concurrency;
mod configuration;
mod crash;
mod del;
mod delegation;
mod environment;
mod errors;
mod gc;
mod kernel;
mod lists;
mod meta;
mod museum;
mod packets;
mod results;
mod status;
mod steps;
mod version;

use crate::registry::{Chapter, Registry};
use crate::requirement::Requirement;

const fn chapter(title: &'static str, requirements: &'static [Requirement]) -> Chapter {
    Chapter { title, requirements }
}

/// All requirements of the kit.
pub const ALL: Registry = Registry { chapters: CHAPTERS };

const CHAPTERS: &[Chapter] = &[
    chapter("Configuration", configuration::REQUIREMENTS),
    chapter("Environment", environment::REQUIREMENTS),
    chapter("Errors", errors::REQUIREMENTS),
    chapter("VERSION", version::REQUIREMENTS),
    chapter("ADD", add::REQUIREMENTS),
    chapter("DEL", del::REQUIREMENTS),
    chapter("CHECK", check::REQUIREMENTS),
    chapter("GC", gc::REQUIREMENTS),
    chapter("STATUS", status::REQUIREMENTS),
    chapter("Chaining", chaining::REQUIREMENTS),
    chapter("Lists", lists::REQUIREMENTS),
    chapter("Delegation", delegation::REQUIREMENTS),
    chapter("Meta-plugins", meta::REQUIREMENTS),
    chapter("Results", results::REQUIREMENTS),
    chapter("Addresses", addresses::REQUIREMENTS),
    chapter("Allocation", allocation::REQUIREMENTS),
    chapter("Kernel", kernel::REQUIREMENTS),
    chapter("Kernel, chained", kernel::CHAINED),
    chapter("Packets", packets::REQUIREMENTS),
    chapter("Concurrency", concurrency::REQUIREMENTS),
    chapter("Crashes", crash::REQUIREMENTS),
    chapter("Museum", museum::REQUIREMENTS),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::ALL;

    #[test]
    fn no_id_is_given_twice() {
        let mut seen = HashSet::new();
        let twice: Vec<_> = ALL.all().filter(|r| !seen.insert(r.id)).map(|r| r.id).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }

    #[test]
    fn every_requirement_says_in_one_line_what_and_where_from() {
        for requirement in ALL.all() {
            let statement = requirement.statement;
            assert!(
                !statement.is_empty() && !statement.contains('\n') && statement.len() < 160,
                "{statement}"
            );
            assert!(!requirement.source.is_empty(), "{}", requirement.id);
        }
    }
}
