//! Finds what owners have of a job, and removes what nothing uses.

use std::collections::HashMap;

use nix::libc;

use super::batch::{Batch, Table};
use super::reply::{Element, chain, rule};
use super::set::Set;
use super::{Doomed, Nft};
use crate::Result;

/// Selects owners by their tags.
type Filter<'a> = &'a dyn Fn(&str) -> bool;

impl Nft {
    /// The elements of the selected owners.
    pub(super) fn owned(
        &mut self,
        table: Table,
        sets: &[Set<'static>],
        is_meant: Filter<'_>,
    ) -> Result<Vec<Doomed>> {
        let mut found = Vec::new();
        for set in sets.iter().copied() {
            let mut elements = self.elements(table, set)?;
            elements.retain(|element| is_meant(&element.comment));
            let doom = |Element { key, comment, .. }| Doomed { table, set, key, comment };
            found.extend(elements.into_iter().map(doom));
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
