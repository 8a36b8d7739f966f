//! What a job, such as masquerade, needs in a table, as data: sets and chains that all attachments
//! share, and the elements of one attachment. This file declares it, compares it with the kernel,
//! and finds what an owner has of it.

use std::collections::HashMap;

use nix::libc;

use super::batch::{Base, Batch, Table};
use super::expr::Expression;
use super::reply::{Data, Element, Reply, chain, is_rule, rule};
use super::set::Set;
use super::{Doomed, Nft};
use crate::Result;

/// The objects of a job.
pub(super) struct Job<'a> {
    pub(super) table: Table,
    pub(super) sets: &'a [Set<'a>],
    /// The base chain, and the chains that it leads to.
    pub(super) chains: Vec<Chain>,
    /// The elements of one attachment, the most important one last.
    pub(super) elements: Vec<Wanted>,
}

/// A chain.
pub(super) struct Chain {
    pub(super) name: String,
    pub(super) base: Option<Base>,
    pub(super) rules: Vec<Rule>,
}

/// A rule, and its nft notation.
pub(super) struct Rule {
    pub(super) nft: String,
    pub(super) expressions: Vec<Expression>,
}

/// An element that an attachment should have.
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

/// The existing objects of a job.
pub(super) struct Found<'a> {
    job: &'a Job<'a>,
    chains: Vec<bool>,
    sets: Vec<bool>,
    elements: Vec<Option<Element>>,
    rules: Vec<Reply>,
}

impl Nft {
    /// Declares all objects of a job and the attachment's elements. Returns whether something was
    /// missing.
    pub(super) fn declare(&mut self, job: &Job<'_>) -> Result<bool> {
        self.converge(|nft| {
            let mut batch = Batch::default();
            nft.look(job)?.declare(&mut batch);
            Ok(batch)
        })
    }

    /// Checks that the objects of a job can be declared. Changes nothing.
    pub(super) fn can_declare(&mut self, job: &Job<'_>) -> Result<()> {
        self.rehearse(|nft| {
            let found = nft.look(job)?;
            let mut batch = Batch::default();
            found.declare_base(&mut batch);
            if !batch.is_empty() {
                found.declare_chains(&mut batch);
            }
            Ok(batch)
        })
    }

    /// Reads the objects of a job: one datagram for the objects, one for the rules.
    pub(super) fn look<'a>(&mut self, job: &'a Job<'a>) -> Result<Found<'a>> {
        let Job { table, sets, .. } = job;
        let mut requests: Vec<_> =
            job.chains.iter().map(|chain| table.get_chain(&chain.name)).collect();
        requests.extend(sets.iter().map(|set| table.get_set(*set)));
        let elements = job.elements.iter();
        requests.extend(elements.map(|it| table.get_element(it.set, it.element.key.clone())));
        let mut replies = self.get(&requests)?.into_iter();
        let chains: Vec<bool> = job
            .chains
            .iter()
            .zip(replies.by_ref())
            .map(|(chain, reply)| {
                reply.is_some_and(|reply| chain.base.is_none() || is_base(&reply))
            })
            .collect();
        let sets = sets.iter().zip(replies.by_ref()).map(|(_, reply)| reply.is_some()).collect();
        let elements = replies.map(|reply| reply.and_then(|reply| reply.element())).collect();
        let rules = match chains.first() {
            Some(true) => self.dump(&table.get_rules(None))?,
            _ => Vec::new(),
        };
        Ok(Found { job, chains, sets, elements, rules })
    }

    /// The elements of the owners that the filter on tags selects.
    pub(super) fn owned(
        &mut self,
        table: Table,
        sets: &[Set<'static>],
        is_meant: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Doomed>> {
        let mut found = Vec::new();
        for set in sets.iter().copied() {
            let elements = self.elements(table, set)?.into_iter();
            found.extend(
                elements
                    .filter(|element| is_meant(&element.comment))
                    .map(|Element { key, comment, .. }| Doomed { table, set, key, comment }),
            );
        }
        Ok(found)
    }

    /// Removes the chains whose names start with `prefix` and that no element refers to. A chain
    /// that comes into use meanwhile stays (EBUSY).
    pub(super) fn collect_chains(&mut self, table: Table, prefix: &str) -> Result<()> {
        let mut rules: HashMap<String, u32> = HashMap::new();
        for reply in self.dump(&table.get_rules(None))? {
            *rules.entry(reply.text(rule::CHAIN)).or_default() += 1;
        }
        for reply in self.dump(&table.get_chains())? {
            let name = reply.text(chain::NAME);
            // The kernel counts rules and referring elements together.
            let used = reply.number(chain::USE).unwrap_or(u32::MAX);
            let is_ours = reply.text(chain::TABLE) == table.name && name.starts_with(prefix);
            if !is_ours || used > rules.get(&name).copied().unwrap_or_default() {
                continue;
            }
            let mut batch = Batch::default();
            batch.push(table.flush_chain(&name));
            batch.push(table.delete_chain(&name));
            match self.commit(&batch) {
                Err(error) if error.errno != libc::EBUSY && !error.is_gone() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Found<'_> {
    /// Adds all missing objects to a batch.
    pub(super) fn declare(&self, batch: &mut Batch) {
        self.declare_base(batch);
        self.declare_chains(batch);
        for (wanted, found) in self.job.elements.iter().zip(&self.elements) {
            match found {
                Some(found) if *found == wanted.element => continue,
                Some(found) => {
                    batch.push(self.job.table.delete_element(wanted.set, found.key.clone()));
                }
                None => {}
            }
            batch.push(self.job.table.add_element(wanted.set, &wanted.element));
        }
    }

    /// Declares only the missing parts, because declaring a base chain again costs 16 ms. Two
    /// processes that both find nothing write the same, the second after a flush.
    fn declare_base(&self, batch: &mut Batch) {
        let table = self.job.table;
        if !self.has_base() {
            batch.push(table.add());
        }
        for ((set, there), id) in self.job.sets.iter().zip(&self.sets).zip(1..) {
            if !there {
                batch.push(table.add_set(*set, id));
            }
        }
        self.chains().take(1).for_each(|(chain, there)| self.declare_chain(batch, chain, there));
    }

    fn declare_chains(&self, batch: &mut Batch) {
        self.chains().skip(1).for_each(|(chain, there)| self.declare_chain(batch, chain, there));
    }

    fn declare_chain(&self, batch: &mut Batch, chain: &Chain, is_there: bool) {
        let Job { table, .. } = self.job;
        if !is_there {
            batch.push(table.add_chain(&chain.name, chain.base));
        }
        if missing_rules(&self.rules, &chain.name, &chain.rules).next().is_none() {
            return;
        }
        batch.push(table.flush_chain(&chain.name));
        for rule in &chain.rules {
            batch.push(table.add_rule(&chain.name, rule.expressions.clone()));
        }
    }

    /// What differs from the job, in words.
    pub(super) fn differences(&self) -> Vec<String> {
        let mut differences = self.shared_differences();
        let elements = self.job.elements.iter().zip(&self.elements).rev();
        elements.for_each(|(wanted, found)| wanted.compare(found.as_ref(), &mut differences));
        differences
    }

    /// What differs of the objects that all attachments share. Without its base chain, a table has
    /// no sets.
    pub(super) fn shared_differences(&self) -> Vec<String> {
        let table = self.job.table.nft();
        let mut differences = Vec::new();
        for (set, there) in self.job.sets.iter().zip(&self.sets) {
            if !there && self.has_base() {
                let (kind, name) = (set.kind(), set.name);
                differences.push(format!("nf_tables {kind} {table} {name} is missing"));
            }
        }
        for (chain, there) in self.chains() {
            match there {
                true => differences.extend(self.lacking(chain)),
                false => {
                    differences.push(format!("nf_tables chain {table} {} is missing", chain.name));
                }
            }
        }
        differences
    }

    fn lacking(&self, chain: &Chain) -> Vec<String> {
        lacking(self.job.table, &self.rules, &chain.name, &chain.rules)
    }

    /// Whether the set has an element of the job, of any owner.
    pub(super) fn has(&self, set: Set<'_>) -> bool {
        let mut elements = self.job.elements.iter().zip(&self.elements);
        elements.any(|(wanted, found)| wanted.set.name == set.name && found.is_some())
    }

    fn has_base(&self) -> bool {
        self.chains.first() == Some(&true)
    }

    fn chains(&self) -> impl Iterator<Item = (&Chain, bool)> {
        self.job.chains.iter().zip(self.chains.iter().copied())
    }
}

impl Wanted {
    fn compare(&self, found: Option<&Element>, differences: &mut Vec<String>) {
        let Wanted { element, subject, .. } = self;
        let Some(found) = found else {
            return differences.push(format!("{subject} {}", self.missing));
        };
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
    }
}

/// Whether a chain has a hook.
pub(super) fn is_base(reply: &Reply) -> bool {
    reply.get(chain::HOOK).is_some()
}

/// The rules of `wanted` that a chain lacks or has in another order, in words.
pub(super) fn lacking(table: Table, found: &[Reply], chain: &str, wanted: &[Rule]) -> Vec<String> {
    let missing = missing_rules(found, chain, wanted);
    let table = table.nft();
    missing
        .map(|rule| format!("nf_tables chain {table} {chain} lacks the rule: {}", rule.nft))
        .collect()
}

fn missing_rules<'a>(
    found: &[Reply],
    chain: &str,
    wanted: &'a [Rule],
) -> impl Iterator<Item = &'a Rule> {
    let mut rest = found.iter().filter(move |reply| reply.text(rule::CHAIN) == chain);
    wanted.iter().filter(move |rule| {
        let from_here = rest.clone();
        let is_there = rest.any(|reply| is_rule(reply, &rule.expressions));
        if !is_there {
            rest = from_here;
        }
        !is_there
    })
}
