//! What a job, such as masquerade, needs in a table, as data: sets and chains that all attachments
//! share, and the elements of one attachment.

use super::batch::{Base, Table};
use super::check_tag;
use super::expr::Expression;
use super::reply::{Data, Element};
use super::set::Set;
use crate::Result;

/// The objects of a job, and the elements of one attachment.
#[derive(Debug)]
pub struct Job<'a> {
    pub(super) table: Table,
    pub(super) sets: &'a [Set<'a>],
    /// The base chain, and the chains that it leads to.
    pub(super) chains: Vec<Chain>,
    /// The elements of one attachment, the most important one last.
    pub(super) elements: Vec<Wanted>,
    pub(super) surplus: Option<Surplus>,
}

/// A chain.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) name: String,
    pub(super) base: Option<Base>,
    pub(super) rules: Vec<Rule>,
}

/// A rule, and its nft notation.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) nft: String,
    pub(super) expressions: Vec<Expression>,
}

/// An element that an attachment should have.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) set: Set<'static>,
    pub(super) element: Element,
    /// The key and the data in nft's notation.
    pub(super) nft: String,
    /// The subject of a difference: `port veth1a2b`.
    pub(super) subject: String,
    /// What a difference says of the subject if there is no element: `is not guarded`.
    pub(super) missing: String,
    /// What a difference says of the subject if another owner has the element: `is guarded`.
    pub(super) held: &'static str,
}

/// Elements that may not exist beside those of the attachment. Only an attachment that has its most
/// important element can have them.
#[derive(Debug)]
pub(super) struct Surplus {
    pub(super) set: Set<'static>,
    /// The first bytes of their keys.
    pub(super) prefix: Vec<u8>,
    /// What a difference says of a key.
    pub(super) describe: fn(&[u8]) -> String,
}

impl Job<'_> {
    pub(super) fn check(&self) -> Result<()> {
        self.elements.iter().try_for_each(|it| check_tag(&it.element.comment))
    }
}

impl Wanted {
    /// The differences of the existing element.
    pub(super) fn differences(&self, found: Option<&Element>) -> Vec<String> {
        let Wanted { element, subject, .. } = self;
        let Some(found) = found else { return vec![format!("{subject} {}", self.missing)] };
        let mut differences = Vec::new();
        if found.comment != element.comment {
            let (held, other, tag) = (self.held, &found.comment, &element.comment);
            differences.push(format!("{subject} {held} for {other:?}, not {tag:?}"));
        }
        match (&found.data, &element.data) {
            (found, wanted) if found == wanted => {}
            (Some(Data::Jump(other)), Some(Data::Jump(chain))) => {
                differences.push(format!("{subject} jumps to chain {other}, not {chain}"));
            }
            _ => differences.push(format!("{subject} differs from {}", self.nft)),
        }
        differences
    }
}
