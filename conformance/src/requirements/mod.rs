//! All requirements, a file for each chapter.

mod add;
mod addresses;
mod chaining;
mod check;
mod concurrency;
mod configuration;
mod crash;
mod del;
pub(crate) mod delegation;
mod environment;
mod errors;
mod gc;
mod kernel;
mod museum;
mod packets;
pub(crate) mod results;
mod status;
mod steps;
mod version;

use crate::requirement::Requirement;
use crate::suggest;

/// Requirements that belong together.
#[derive(Debug, Clone, Copy)]
pub struct Chapter {
    /// What they are about, as a report has it.
    pub title: &'static str,
    /// They.
    pub requirements: &'static [Requirement],
}

const fn chapter(title: &'static str, requirements: &'static [Requirement]) -> Chapter {
    Chapter { title, requirements }
}

/// The chapters, in the order of the report.
pub const CHAPTERS: &[Chapter] = &[
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
    chapter("Delegation", delegation::REQUIREMENTS),
    chapter("Results", results::REQUIREMENTS),
    chapter("Addresses", addresses::REQUIREMENTS),
    chapter("Kernel", kernel::REQUIREMENTS),
    chapter("Packets", packets::REQUIREMENTS),
    chapter("Concurrency", concurrency::REQUIREMENTS),
    chapter("Crashes", crash::REQUIREMENTS),
    chapter("Museum", museum::REQUIREMENTS),
];

/// All requirements.
pub fn all() -> impl Iterator<Item = &'static Requirement> {
    CHAPTERS.iter().flat_map(|chapter| chapter.requirements)
}

/// The requirement with that id.
pub fn find(id: &str) -> Option<&'static Requirement> {
    all().find(|requirement| requirement.id == id)
}

/// The same for an id that a person gave.
///
/// # Errors
///
/// If there is none: what may have been meant.
pub fn find_or_suggest(id: &str) -> Result<&'static Requirement, String> {
    all().find(|requirement| requirement.id.eq_ignore_ascii_case(id)).ok_or_else(|| no_such(id))
}

/// The complaint about an id, or a beginning of one, that no requirement has.
pub fn no_such(id: &str) -> String {
    let ids = all().map(|requirement| requirement.id);
    suggest::unknown(id, "requirement", ids, "cni-conformance list shows them all")
}

/// The title of the chapter that has a requirement of that id.
pub fn chapter_of(id: &str) -> &'static str {
    let mut chapters = CHAPTERS.iter();
    let holds = |chapter: &&Chapter| chapter.requirements.iter().any(|r| r.id == id);
    chapters.find(holds).map_or("", |chapter| chapter.title)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::all;

    #[test]
    fn no_id_is_given_twice() {
        let mut seen = HashSet::new();
        let twice: Vec<_> = all().filter(|r| !seen.insert(r.id)).map(|r| r.id).collect();
        assert!(twice.is_empty(), "{twice:?}");
    }

    #[test]
    fn every_requirement_says_in_one_line_what_and_where_from() {
        for requirement in all() {
            let says = requirement.says;
            assert!(!says.is_empty() && !says.contains('\n') && says.len() < 160, "{says}");
            assert!(!requirement.source.is_empty(), "{}", requirement.id);
        }
    }
}
