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

/// The chapters, in the order of the report.
const CHAPTERS: &[&[Requirement]] = &[
    configuration::REQUIREMENTS,
    environment::REQUIREMENTS,
    errors::REQUIREMENTS,
    version::REQUIREMENTS,
    add::REQUIREMENTS,
    del::REQUIREMENTS,
    check::REQUIREMENTS,
    gc::REQUIREMENTS,
    status::REQUIREMENTS,
    chaining::REQUIREMENTS,
    delegation::REQUIREMENTS,
    results::REQUIREMENTS,
    addresses::REQUIREMENTS,
    kernel::REQUIREMENTS,
    packets::REQUIREMENTS,
    concurrency::REQUIREMENTS,
    crash::REQUIREMENTS,
    museum::REQUIREMENTS,
];

/// All requirements.
pub fn all() -> impl Iterator<Item = &'static Requirement> {
    CHAPTERS.iter().flat_map(|chapter| chapter.iter())
}

/// The requirement with that id.
pub fn find(id: &str) -> Option<&'static Requirement> {
    all().find(|requirement| requirement.id == id)
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
