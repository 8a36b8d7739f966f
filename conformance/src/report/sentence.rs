//! The sentence of the specification in a report.

use serde::{Deserialize, Serialize};

use crate::source::{self, Source};

/// The sentence that a requirement stands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sentence {
    /// The address of the section.
    pub link: String,
    /// `MUST` or `SHOULD`, if the sentence says so to the plugin; otherwise `-`.
    pub word: String,
    /// The sentence, or the part of it that matters.
    pub quote: String,
    /// Why the requirement follows; empty if it just repeats the sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub follows: String,
}

impl Sentence {
    /// The sentence that the requirement with this ID stands on.
    pub fn of(id: &str) -> Option<Sentence> {
        let source = source::of(id)?;
        let Source { word, quote, follows, .. } = source;
        Some(Sentence {
            link: source.link(),
            word: word.to_owned(),
            quote: quote.to_owned(),
            follows: follows.to_owned(),
        })
    }
}
