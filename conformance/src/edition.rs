//! The edition: the frozen set of requirements that a claim of conformance names. IDs of an edition
//! never disappear and never change their meaning; `conformance/CHANGELOG.md` lists the changes.

/// The name of the edition.
pub const NAME: &str = "cni-linux-1";

/// Its requirements: a line for each with the ID, the level and the statement, between tabs.
pub const FROZEN: &str = include_str!("../editions/cni-linux-1.tsv");

/// A requirement of the edition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frozen<'a> {
    /// The ID.
    pub id: &'a str,
    /// The name of the level.
    pub level: &'a str,
    /// The statement.
    pub statement: &'a str,
}

/// The requirements of the edition.
pub fn frozen() -> impl Iterator<Item = Frozen<'static>> {
    FROZEN.lines().filter_map(|line| {
        let mut parts = line.splitn(3, '\t');
        Some(Frozen { id: parts.next()?, level: parts.next()?, statement: parts.next()? })
    })
}
