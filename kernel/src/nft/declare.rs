//! Declares the objects of a job, and compares them with the kernel.

use super::Nft;
use super::batch::{Batch, Table};
use super::job::{Chain, Job, Rule, Surplus, Wanted};
use super::reply::{Element, Reply, chain, is_rule, rule};
use super::set::Set;
use crate::Result;

/// The objects of a job, and which of them exist.
struct Found<'a> {
    table: Table,
    chains: Vec<(&'a Chain, bool)>,
    sets: Vec<(&'a Set<'a>, bool)>,
    elements: Vec<(&'a Wanted, Option<Element>)>,
    surplus: Vec<(&'a Surplus, Vec<u8>)>,
    /// The rules of all chains of the table.
    rules: Vec<Reply>,
}

impl Nft {
    /// Declares the objects of a job. Returns whether something was missing.
    ///
    /// An element of another owner passes to this one.
    ///
    /// # Errors
    ///
    /// Returns an error if the owner's tag cannot be a comment, or if the kernel refuses.
    pub fn declare(&mut self, job: &Job<'_>) -> Result<bool> {
        job.check()?;
        self.converge(|nft| {
            let found = nft.look(job)?;
            let mut batch = Batch::default();
            found.declare_base(&mut batch);
            found.declare_chains(&mut batch);
            found.declare_elements(&mut batch);
            Ok(batch)
        })
    }

    /// The differences between the state and what [`declare`](Nft::declare) creates; empty if there
    /// are none.
    ///
    /// # Errors
    ///
    /// As for [`declare`](Nft::declare).
    pub fn differences(&mut self, job: &Job<'_>) -> Result<Vec<String>> {
        job.check()?;
        let found = self.look(job)?;
        let mut differences = found.shared_differences();
        for (wanted, element) in found.elements.iter().rev() {
            differences.extend(wanted.differences(element.as_ref()));
        }
        differences.extend(found.surplus.iter().map(|(surplus, key)| (surplus.describe)(key)));
        Ok(differences)
    }

    /// Whether all objects exist that the job's attachments share.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel refuses the request.
    pub fn is_declared(&mut self, job: &Job<'_>) -> Result<bool> {
        Ok(self.look(job)?.shared_differences().is_empty())
    }

    /// Checks that the objects of a job can be declared. Changes nothing.
    ///
    /// # Errors
    ///
    /// Returns an error if the kernel lacks a part of nf_tables, or if another object has one of
    /// the names.
    pub fn can_declare(&mut self, job: &Job<'_>) -> Result<()> {
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
    fn look<'a>(&mut self, job: &'a Job<'a>) -> Result<Found<'a>> {
        let table = job.table;
        let chains = job.chains.iter().map(|chain| table.get_chain(&chain.name));
        let sets = job.sets.iter().map(|set| table.get_set(*set));
        let elements =
            job.elements.iter().map(|it| table.get_element(it.set, it.element.key.clone()));
        let requests: Vec<_> = chains.chain(sets).chain(elements).collect();
        let mut replies = self.get(&requests)?.into_iter();
        let chains = job.chains.iter().zip(replies.by_ref());
        let chains: Vec<_> = chains.map(|(chain, reply)| (chain, exists(chain, reply))).collect();
        let sets = job.sets.iter().zip(replies.by_ref());
        let sets = sets.map(|(set, reply)| (set, reply.is_some())).collect();
        let elements = job.elements.iter().zip(replies);
        let elements: Vec<_> =
            elements.map(|(it, reply)| (it, reply.and_then(|reply| reply.element()))).collect();
        let rules = match chains.first() {
            Some((_, true)) => self.dump(&table.get_rules(None))?,
            _ => Vec::new(),
        };
        let surplus = match (&job.surplus, elements.last()) {
            (Some(surplus), Some((_, Some(_)))) => self.surplus(job, surplus)?,
            _ => Vec::new(),
        };
        Ok(Found { table, chains, sets, elements, surplus, rules })
    }

    fn surplus<'a>(
        &mut self,
        job: &Job<'_>,
        surplus: &'a Surplus,
    ) -> Result<Vec<(&'a Surplus, Vec<u8>)>> {
        let elements = self.elements(job.table, surplus.set)?.into_iter();
        let is_wanted = |key: &[u8]| job.elements.iter().any(|it| it.element.key == key);
        let keys = elements.map(|element| element.key);
        let found = keys.filter(|key| key.starts_with(&surplus.prefix) && !is_wanted(key));
        Ok(found.map(|key| (surplus, key)).collect())
    }
}

impl Found<'_> {
    /// Declares only the missing parts, because declaring a base chain again costs 16 ms. Two
    /// processes that both find nothing write the same, the second after a flush.
    fn declare_base(&self, batch: &mut Batch) {
        if !self.has_base() {
            batch.push(self.table.add());
        }
        for ((set, is_there), id) in self.sets.iter().zip(1..) {
            if !is_there {
                batch.push(self.table.add_set(**set, id));
            }
        }
        self.chains
            .iter()
            .take(1)
            .for_each(|(chain, there)| self.declare_chain(batch, chain, *there));
    }

    fn declare_chains(&self, batch: &mut Batch) {
        self.chains
            .iter()
            .skip(1)
            .for_each(|(chain, there)| self.declare_chain(batch, chain, *there));
    }

    fn declare_chain(&self, batch: &mut Batch, chain: &Chain, is_there: bool) {
        if !is_there {
            batch.push(self.table.add_chain(&chain.name, chain.base));
        }
        if missing_rules(&self.rules, &chain.name, &chain.rules).next().is_none() {
            return;
        }
        batch.push(self.table.flush_chain(&chain.name));
        for rule in &chain.rules {
            batch.push(self.table.add_rule(&chain.name, rule.expressions.clone()));
        }
    }

    fn declare_elements(&self, batch: &mut Batch) {
        for (surplus, key) in &self.surplus {
            batch.push(self.table.delete_element(surplus.set, key.clone()));
        }
        for (Wanted { set, element, .. }, found) in &self.elements {
            match found {
                Some(found) if found == element => continue,
                Some(found) => batch.push(self.table.delete_element(*set, found.key.clone())),
                None => {}
            }
            batch.push(self.table.add_element(*set, element));
        }
    }

    /// What differs of the objects that all attachments share. Without its base chain, a table has
    /// no sets.
    fn shared_differences(&self) -> Vec<String> {
        let table = self.table.nft();
        let mut differences = Vec::new();
        for (set, _) in self.sets.iter().filter(|(_, is_there)| self.has_base() && !is_there) {
            let (kind, name) = (set.kind(), set.name);
            differences.push(format!("nf_tables {kind} {table} {name} is missing"));
        }
        for (Chain { name, rules, .. }, is_there) in &self.chains {
            match is_there {
                true => differences.extend(lacking(self.table, &self.rules, name, rules)),
                false => differences.push(format!("nf_tables chain {table} {name} is missing")),
            }
        }
        differences
    }

    fn has_base(&self) -> bool {
        matches!(self.chains.first(), Some((_, true)))
    }
}

/// Whether the chain that the kernel reports is of the same type.
fn exists(chain: &Chain, reply: Option<Reply>) -> bool {
    reply.is_some_and(|reply| chain.base.is_none() || is_base(&reply))
}

/// Whether a chain has a hook.
pub(super) fn is_base(reply: &Reply) -> bool {
    reply.get(chain::HOOK).is_some()
}

/// The rules of `wanted` that a chain lacks or has in another order, in words.
pub(super) fn lacking(table: Table, found: &[Reply], chain: &str, wanted: &[Rule]) -> Vec<String> {
    let table = table.nft();
    missing_rules(found, chain, wanted)
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
