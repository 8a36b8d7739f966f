//! The sentence of the specification that a requirement stands on.

/// The repository of the specification.
pub const REPOSITORY: &str = "https://github.com/containernetworking/cni/blob";

/// A line for each requirement with a sentence, after a head, between tabs: the ID, the release,
/// the anchor of the section, the word, the sentence, and why the requirement follows.
const TABLE: &str = include_str!("../editions/sources.tsv");

/// A sentence of the specification. The specification is published for several versions; the
/// sentence is that of the newest one that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// The ID of the requirement.
    pub id: &'static str,
    /// The version of the specification.
    pub release: &'static str,
    /// The anchor of the section in `SPEC.md`.
    pub anchor: &'static str,
    /// `MUST` or `SHOULD`, if the sentence says so to the plugin; otherwise `-`.
    pub word: &'static str,
    /// The sentence, or the part of it that matters.
    pub quote: &'static str,
    /// Why the requirement follows, if it does not just repeat the sentence; otherwise empty.
    pub follows: &'static str,
}

/// All sentences, in the order of the IDs.
pub fn all() -> impl Iterator<Item = Source> {
    TABLE.lines().skip(1).filter_map(Source::parse)
}

/// The sentence that a requirement stands on; [`None`] if the specification is not its source.
pub fn of(id: &str) -> Option<Source> {
    all().find(|source| source.id == id)
}

impl Source {
    fn parse(line: &'static str) -> Option<Source> {
        let mut cells = line.split('\t');
        let mut cell = || cells.next();
        Some(Source {
            id: cell()?,
            release: cell()?,
            anchor: cell()?,
            word: cell()?,
            quote: cell()?,
            follows: cell()?,
        })
    }

    /// The address of the section.
    pub fn link(&self) -> String {
        // 1.1.0 has no tag of its own. This is the release that was read for the table.
        let tag = match self.release {
            "1.1.0" => "v1.3.0".to_owned(),
            older => format!("spec-v{older}"),
        };
        format!("{REPOSITORY}/{tag}/SPEC.md#{}", self.anchor)
    }

    /// What the sentence says to the plugin, in words.
    pub fn binding(&self) -> &'static str {
        match self.word {
            "MUST" => "must",
            "SHOULD" => "should",
            _ => "neither must nor should",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{all, of};

    #[test]
    fn a_sentence_has_a_link_to_its_section() {
        let source = of("S2.DEL.3").unwrap();
        assert_eq!(source.word, "MUST");
        assert!(source.quote.starts_with("Plugins MUST accept multiple `DEL` calls"));
        assert_eq!(
            source.link(),
            "https://github.com/containernetworking/cni/blob/v1.3.0/SPEC.md\
             #del-remove-container-from-network-or-un-apply-modifications"
        );
        assert!(of("S2.CHECK.2").unwrap().link().contains("/spec-v0.3.1/"));
        assert_eq!(of("NET.PING.1"), None);
    }

    #[test]
    fn each_line_of_the_table_is_complete() {
        assert_eq!(all().count(), super::TABLE.lines().count() - 1);
        for source in all() {
            assert!(["MUST", "SHOULD", "-"].contains(&source.word), "{source:?}");
            assert!(["1.1.0", "1.0.0", "0.4.0", "0.3.1"].contains(&source.release), "{source:?}");
            assert!((10..=120).contains(&source.quote.len()), "{source:?}");
        }
    }
}
