//! nf_tables over netlink, without the `nft` binary.
//!
//! All containers share one skeleton per job, declared once; a container is one element of a map or two of a set, so
//! the number of rules does not grow with containers, and an ADD is one element of 0.03 ms. `nft list ruleset` shows
//! all of it, with the owner's tag as comment; it can be loaded again with `nft -f`.
//!
//! Every call looks first and writes only what is missing: repeating it changes nothing, and a batch that the kernel
//! refuses would cost more than all of this (12 to 24 ms). What one call writes is one batch: all of it or nothing.
//!
//! The tables `inet ferrocni` and `bridge ferrocni` are ours: a rule that others put into our chains is left alone
//! until one of ours is missing; then the chain is written anew.

mod batch;
mod expr;
mod guard;
mod masquerade;
mod reference;
mod reply;
mod socket;

use std::net::IpAddr;

use netlink_sys::Socket;

use self::batch::{Batch, Set, Table, get_generation};
use self::expr::Expression;
use self::reply::{Element, Reply, is_rule, rule};
use crate::{Error, Mac, Result};

pub use self::guard::show_guard;
pub use self::masquerade::show_masquerade;
pub use self::reference::IptablesFamily;

/// A conversation with the nf_tables of the network namespace it was opened in.
///
/// ```no_run
/// # fn main() -> kernel::Result<()> {
/// let mut nft = kernel::nft::Nft::open()?;
/// let address = std::net::IpAddr::from([10, 1, 2, 5]);
/// let subnet = "10.1.2.0/24".parse().expect("a subnet");
/// nft.masquerade("ferrocni:dbnet/c1/eth0", address, subnet)?;
/// nft.unmasquerade("ferrocni:dbnet/c1/eth0", Some(&[address]))?;
/// nft.close(); // waits for the kernel's grace period: after the links are gone
/// # Ok(())
/// # }
/// ```
pub struct Nft {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for Nft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nft").field("sequence", &self.sequence).finish_non_exhaustive()
    }
}

/// How often a call looks and writes again when other processes were faster. A refused write costs 12 to 24 ms.
const TRIES: usize = 30;
/// The same for removals: one that comes too late is refused before it starts, which costs nothing.
const REMOVE_TRIES: usize = 1000;
/// How many elements are removed at once: their answers must fit into the socket's buffer.
const AT_ONCE: usize = 32;
/// The longest tag that `nft` shows as a comment (128 bytes with its end).
const TAG_MAX: usize = 127;

/// An element to be removed if it still belongs to `comment`.
#[derive(Debug, Clone)]
struct Doomed {
    table: Table,
    set: Set,
    key: Vec<u8>,
    comment: String,
}

impl Nft {
    /// Writes what `plan` finds missing, and looks again where another process was faster. True if it wrote.
    fn converge(&mut self, plan: impl Fn(&mut Nft) -> Result<Batch>) -> Result<bool> {
        let mut lost = None;
        for _ in 0..TRIES {
            let batch = plan(self)?;
            if batch.is_empty() {
                return Ok(lost.is_some());
            }
            match self.commit(&batch) {
                Ok(()) => return Ok(true),
                Err(error) if Batch::lost_race(&error) => lost = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(lost.unwrap_or_else(|| Error::found("write to nf_tables", "nothing was tried")))
    }

    /// Ends what an attachment has in the tables of ours: the masquerade of its `addresses` and, where it may have `more`
    /// than these, of all that are its; and the guards of its `ports`, each given with the MAC address that it should
    /// be guarded with. One look and, if there is anything, one batch.
    ///
    /// # Errors
    ///
    /// A port cannot be an interface's name, or the kernel refuses.
    pub fn release(
        &mut self,
        tag: &str,
        addresses: &[IpAddr],
        more: bool,
        ports: &[(&str, Mac)],
    ) -> Result<()> {
        let mut doomed = self.doomed_masquerades(tag, Some(addresses))?;
        if more {
            doomed.extend(self.doomed_masquerades(tag, None)?);
        }
        for (port, mac) in ports {
            doomed.extend(self.doomed_guard(tag, port, *mac)?);
        }
        self.remove(doomed).map(drop)
    }

    /// Removes elements that still have the comment they were found with, and returns how many.
    ///
    /// Between look and removal an element may pass to another owner (a container reuses the address), so the batch
    /// holds only for the generation of the ruleset that was looked at.
    fn remove(&mut self, mut doomed: Vec<Doomed>) -> Result<usize> {
        doomed.sort_by(|one, other| one.place().cmp(&other.place()));
        doomed.dedup_by(|one, other| one.place() == other.place());
        let mut removed = 0;
        for chunk in doomed.chunks(AT_ONCE) {
            removed += self.remove_some(chunk)?;
        }
        Ok(removed)
    }

    fn remove_some(&mut self, doomed: &[Doomed]) -> Result<usize> {
        let elements = doomed.iter().map(|one| one.table.get_element(one.set, one.key.clone()));
        let requests: Vec<_> = [get_generation()].into_iter().chain(elements).collect();
        let mut lost = None;
        for _ in 0..REMOVE_TRIES {
            // Answered in order: what is seen of the elements is not older than the generation.
            let mut replies = self.get(&requests)?.into_iter();
            let generation = generation(replies.next().flatten())?;
            let mut batch = Batch { generation: Some(generation), ..Batch::default() };
            for (one, reply) in doomed.iter().zip(replies) {
                let comment = reply.and_then(|reply| reply.element()).map(|found| found.comment);
                if comment.as_deref() == Some(&one.comment) {
                    batch.push(one.table.delete_element(one.set, one.key.clone()));
                }
            }
            match self.commit(&batch) {
                Ok(()) => return Ok(batch.requests.len()),
                Err(error) if Batch::lost_race(&error) => lost = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(lost.unwrap_or_else(|| Error::found("remove from nf_tables", "nothing was tried")))
    }

    /// The elements of a set by their keys; none if it is not there.
    ///
    /// The kernel tells an element twice when the set's hash table grows or shrinks meanwhile, and a batch that deletes
    /// it twice would be refused. And it leaves elements out: a list that does not fit into one answer goes on by
    /// counting the elements told before, and elements that vanish in the moment between a commit's new number and its
    /// effect make it count too far, without a sign (`nf_tables_dump_set`). So a longer list is read twice.
    fn elements(&mut self, table: Table, set: Set) -> Result<Vec<Element>> {
        let mut elements: Vec<Element> = Vec::new();
        for _ in 0..2 {
            let replies = self.dump(&table.get_elements(set))?;
            elements.extend(replies.iter().flat_map(Reply::elements));
            if replies.len() < 2 {
                break; // each answer holds as many elements as fit
            }
        }
        elements.sort_by(|one, other| one.key.cmp(&other.key));
        elements.dedup_by(|one, other| one.key == other.key);
        Ok(elements)
    }
}

/// The number of the ruleset's present state; every commit changes it.
fn generation(reply: Option<Reply>) -> Result<u32> {
    reply.and_then(|reply| reply.number(reply::GENERATION)).ok_or_else(|| {
        Error::found("look at the generation of nf_tables", "the kernel told no number")
    })
}

impl Doomed {
    fn place(&self) -> (&str, &str, &[u8]) {
        (self.table.name, self.set.name, &self.key)
    }
}

/// A rule of a skeleton, and how nft writes it.
struct Rule {
    nft: String,
    expressions: Vec<Expression>,
}

/// The rules of `wanted` that chain `chain` lacks, or has in another order.
fn missing_rules<'a>(found: &[Reply], chain: &str, wanted: &'a [Rule]) -> Vec<&'a Rule> {
    let mut rest = found.iter().filter(|reply| reply.text(rule::CHAIN) == chain);
    wanted
        .iter()
        .filter(|rule| {
            let from_here = rest.clone();
            let is_there = rest.any(|reply| is_rule(reply, &rule.expressions));
            if !is_there {
                rest = from_here;
            }
            !is_there
        })
        .collect()
}

/// Writes the rules of a chain anew.
fn rewrite_chain(batch: &mut Batch, table: Table, chain: &str, rules: Vec<Rule>) {
    batch.push(table.flush_chain(chain));
    for rule in rules {
        batch.push(table.add_rule(chain, rule.expressions));
    }
}

/// A tag that can be a comment: `nft` prints it between quotes and knows no escapes.
fn check_tag(tag: &str) -> Result<()> {
    let fits = (1..=TAG_MAX).contains(&tag.len());
    let plain = !tag.chars().any(|c| c.is_control() || c == '"');
    if fits && plain {
        return Ok(());
    }
    Err(Error::found(
        format!("use {tag:?} as an nf_tables comment"),
        format!("it must have 1 to {TAG_MAX} bytes, no quotes and no control characters"),
    ))
}
