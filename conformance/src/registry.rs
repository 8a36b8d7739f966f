//! The set of requirements that plugins are tested for, in chapters.

use crate::requirement::Requirement;
use crate::suggest;

/// Requirements that belong together.
#[derive(Debug, Clone, Copy)]
pub struct Chapter {
    /// The heading in a report.
    pub title: &'static str,
    /// The requirements, in the order of the report.
    pub requirements: &'static [Requirement],
}

/// All requirements, in the order of the report. The kit's own are
/// [`requirements::ALL`](crate::requirements::ALL).
#[derive(Debug, Clone, Copy)]
pub struct Registry {
    /// The chapters.
    pub chapters: &'static [Chapter],
}

impl Registry {
    /// All requirements.
    pub fn all(&self) -> impl Iterator<Item = &'static Requirement> + use<> {
        self.chapters.iter().flat_map(|chapter| chapter.requirements)
    }

    /// The requirement with that ID.
    pub fn find(&self, id: &str) -> Option<&'static Requirement> {
        self.all().find(|requirement| requirement.id == id)
    }

    /// The requirement with an ID that a person typed, in any case of letters.
    ///
    /// # Errors
    ///
    /// If no requirement has this ID; the error suggests the nearest one.
    pub fn find_or_suggest(&self, id: &str) -> Result<&'static Requirement, String> {
        let mut all = self.all();
        all.find(|requirement| requirement.id.eq_ignore_ascii_case(id))
            .ok_or_else(|| self.unknown(id))
    }

    /// The error about an ID, or a beginning of one, that no requirement has.
    pub fn unknown(&self, id: &str) -> String {
        let ids = self.all().map(|requirement| requirement.id);
        suggest::unknown(id, "requirement", ids, "see cni-conformance list")
    }

    /// The title of the chapter with the requirement of that ID.
    pub fn chapter_of(&self, id: &str) -> &'static str {
        let mut chapters = self.chapters.iter();
        let has = |chapter: &&Chapter| chapter.requirements.iter().any(|r| r.id == id);
        chapters.find(has).map_or("", |chapter| chapter.title)
    }
}
