//! nf_tables over netlink, without the `nft` binary.
//!
//! All containers share the sets and chains of a [`Job`], declared once. A container is one element
//! of a map, or of each of two sets, so the number of rules does not grow with the containers, and
//! an ADD writes one element in 0.03 ms. `nft list ruleset` shows all of it, with the owner's tag
//! as the comment, and `nft -f` can load it again.
//!
//! Every call reads first and writes only what is missing, so repeating a call changes nothing. A
//! batch that the kernel refuses would cost more than all of this (12 to 24 ms). The changes of one
//! call are one batch, which is atomic.
//!
//! The tables `inet ferrocni` and `bridge ferrocni` belong to this suite. A rule that another
//! program adds to one of their chains stays until a rule of the suite is missing; then the chain
//! is rewritten.

mod batch;
mod collect;
mod declare;
mod expr;
mod forward;
mod guard;
mod job;
mod masquerade;
mod pod_cidrs;
mod ranges;
mod reference;
mod rehearse;
mod reply;
mod set;
mod show;
mod socket;
mod sources;

use std::time::{Duration, Instant};

use netlink_packet_netfilter::NetfilterProtoFamily;
use netlink_sys::Socket;

use self::batch::{Batch, Table, get_generation};
use self::reply::{Element, Reply};
use self::set::Set;
use crate::{Error, Result};

pub use self::forward::ForwardDrop;
pub use self::job::Job;
pub use self::masquerade::Inside;
pub(crate) use self::pod_cidrs::show_pod_cidrs;
pub use self::reference::IptablesFamily;
pub(crate) use self::show::ADD;
pub(crate) use self::sources::is_missing;
pub use self::sources::{Sources, is_there};

/// A connection to the nf_tables of the network namespace in which it was opened.
///
/// ```no_run
/// # fn main() -> kernel::Result<()> {
/// use kernel::nft::{Job, Nft};
///
/// let mut nft = Nft::open()?;
/// let address = std::net::IpAddr::from([10, 1, 2, 5]);
/// let subnet: ipnetwork::IpNetwork = "10.1.2.0/24".parse().expect("a subnet");
/// nft.declare(&Job::masquerade("ferrocni:dbnet/c1/eth0", address, subnet)?)?;
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

/// The minimum number and duration of tries when other processes change the tables between a call's
/// read and its write. A refused write costs 12 to 24 ms.
const TRIES: usize = 30;
const PATIENCE: Duration = Duration::from_secs(30);
/// The same for removals: a removal that comes too late is refused before it starts, which costs
/// nothing.
const REMOVE_TRIES: usize = 1000;
/// After this number of refusals in a row without a change of the ruleset, another process is not
/// the reason.
const UNCHANGED: usize = 3;
/// The number of elements removed at once: their answers must fit into the socket's buffer.
const AT_ONCE: usize = 32;
/// The table of all kinds of rules except the guards.
const TABLE: Table = Table { family: NetfilterProtoFamily::Inet, name: "ferrocni" };
/// The maximum length of a tag that `nft` shows as a comment (128 bytes with the final zero byte).
const TAG_MAX: usize = 127;

/// An element to be removed if it still belongs to `comment`.
#[derive(Debug, Clone)]
pub(crate) struct Doomed {
    table: Table,
    set: Set<'static>,
    key: Vec<u8>,
    comment: String,
}

impl Nft {
    /// Writes what `plan` finds missing, and repeats if another process was faster. Returns whether
    /// it wrote.
    fn converge(&mut self, plan: impl Fn(&mut Nft) -> Result<Batch>) -> Result<bool> {
        let mut lost = None;
        let deadline = Instant::now() + PATIENCE;
        let mut tries = 0;
        let (mut seen, mut unchanged) = (None, 0);
        while tries < TRIES || Instant::now() < deadline {
            tries += 1;
            let batch = plan(self)?;
            if batch.is_empty() {
                return Ok(lost.is_some());
            }
            let error = match self.commit(&batch) {
                Ok(()) => return Ok(true),
                Err(error) if Batch::lost_race(&error) => error,
                Err(error) => return Err(error),
            };
            // If the ruleset is unchanged, no other process was faster: the kernel lacks a part
            // that the batch needs.
            let now = generation(self.get(&[get_generation()])?.into_iter().next().flatten())?;
            unchanged = if seen == Some(now) { unchanged + 1 } else { 0 };
            if unchanged == UNCHANGED {
                return Err(error);
            }
            (seen, lost) = (Some(now), Some(error));
        }
        Err(lost.unwrap_or_else(|| Error::found("write to nf_tables", "nothing was tried")))
    }

    /// Removes the elements that still have the comment they were found with, and returns their
    /// number.
    ///
    /// Between read and removal an element may pass to another owner (a container reuses the
    /// address), so the batch is valid only for the generation of the ruleset that was read.
    pub(crate) fn remove(&mut self, mut doomed: Vec<Doomed>) -> Result<usize> {
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
        let deadline = Instant::now() + PATIENCE;
        let mut tries = 0;
        while tries < REMOVE_TRIES || Instant::now() < deadline {
            tries += 1;
            // The answers come in order: the state of the elements is not older than the
            // generation.
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

    /// The elements of a set by their keys; none if the set does not exist.
    ///
    /// The kernel reports an element twice if the set's hash table grows or shrinks meanwhile, and
    /// would refuse a batch that deletes it twice. It also leaves elements out: a list that does
    /// not fit into one answer continues by counting the elements reported before, and elements
    /// that vanish between a commit's new number and its effect make it count too far, without a
    /// sign (`nf_tables_dump_set`). So a longer list is read twice.
    fn elements(&mut self, table: Table, set: Set<'_>) -> Result<Vec<Element>> {
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

/// The generation number of the ruleset; every commit changes it.
fn generation(reply: Option<Reply>) -> Result<u32> {
    reply.and_then(|reply| reply.number(reply::GENERATION)).ok_or_else(|| {
        Error::found("read the generation of nf_tables", "the kernel reported no number")
    })
}

impl Doomed {
    fn place(&self) -> (&str, &str, &[u8]) {
        (self.table.name, self.set.name, &self.key)
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
