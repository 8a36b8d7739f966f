//! What a job, such as masquerade, has in a table of iptables: a chain for each container on a
//! network, and rules of other chains that jump to it. This file declares it, compares it with the
//! kernel, and removes it. The comments of the rules name the network and the container.

use std::collections::BTreeSet;

use sha2::{Digest, Sha512};

use super::chain::Chain;
use super::rules::{Change, Rule, Saved};
use super::run::{Family, Table, restore, save};
use crate::owner::hex;
use crate::{Error, Result};

/// A job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    /// `nat`, `filter`.
    pub(super) table: &'static str,
    /// The prefix of the names of containers' chains.
    pub(super) chain: &'static str,
    /// The prefix of the comments.
    pub(super) comment: &'static str,
    /// The setting with which the job needs no iptables.
    pub(super) instead: &'static str,
}

/// Selects containers by their IDs.
type Filter<'a> = &'a dyn Fn(&str) -> bool;

/// The length of a chain's name: the kernel allows 28 bytes.
const NAME_LENGTH: usize = 28;
/// How many times the rules may change between `iptables-save` and `iptables-restore`, for example
/// by a process that a killed plugin has started.
const TRIES: usize = 5;

impl Job {
    /// The chain of a container on a network, without rules.
    ///
    /// # Errors
    ///
    /// Returns an error if a name cannot be part of a rule.
    pub(super) fn chain(&self, network: &str, container: &str) -> Result<Chain> {
        let bad = |name: &str| name.is_empty() || name.chars().any(|c| c.is_control() || c == '\'');
        for name in [network, container] {
            if bad(name) {
                let action = format!("name {name:?} in an iptables rule");
                return Err(Error::found(action, "it is empty or contains invalid characters"));
            }
        }
        let (name, comment) = (self.chain_name(network, container), self.of(network, container));
        Ok(Chain::new(name, comment))
    }

    /// The prefix, and the first hex digits of the SHA-512 of both names.
    pub(super) fn chain_name(&self, network: &str, container: &str) -> String {
        let digest = hex(&Sha512::digest(format!("{network}{container}")));
        let mut name = format!("{}{digest}", self.chain);
        name.truncate(NAME_LENGTH);
        name
    }

    /// The comment `name: "dbnet" id: "c1"`.
    fn of(&self, network: &str, container: &str) -> String {
        let quoted = |name: &str| name.replace('\\', "\\\\").replace('"', "\\\"");
        format!("{}name: \"{}\" id: \"{}\"", self.comment, quoted(network), quoted(container))
    }

    /// The container whose chain on `network` contains the rule, or is its target.
    fn container_of(&self, rule: &Rule, network: &str) -> Option<String> {
        let rest = rule.after("--comment")?.strip_prefix(self.comment)?;
        let rest = rest.strip_prefix("name: \"")?.strip_suffix('"')?;
        let (of, container) = rest.split_once("\" id: \"")?;
        let container = container.replace("\\\"", "\"").replace("\\\\", "\\");
        let name = self.chain_name(network, &container);
        let is_ours = rule.chain() == name || rule.target() == Some(&name);
        (of == network && is_ours).then_some(container)
    }

    fn table(&self, family: Family) -> Table {
        Table { family, name: self.table, instead: self.instead }
    }

    /// Writes what is missing of a chain. Returns whether something was.
    pub(super) fn declare(&self, family: Family, chain: &Chain) -> Result<bool> {
        self.converge(family, |saved| chain.missing(saved))
    }

    /// The commands that write what is missing of a chain.
    pub(super) fn missing(&self, family: Family, chain: &Chain) -> Result<Vec<String>> {
        Ok(self.commands(family, &chain.missing(&self.read(family)?)))
    }

    /// The commands that write a chain if nothing exists.
    pub(super) fn shown(&self, family: Family, chain: &Chain) -> Vec<String> {
        self.commands(family, &chain.missing(&Saved::default()))
    }

    fn commands(&self, family: Family, change: &Change) -> Vec<String> {
        let command = |line| format!("{} -t {} {line}", family.name(), self.table);
        change.lines().into_iter().map(command).collect()
    }

    /// Removes the rules that jump to a chain and that `is_meant` selects, and the chain if none is
    /// left. Returns whether there was anything.
    pub(super) fn remove(
        &self,
        family: Family,
        chain: &Chain,
        is_meant: &dyn Fn(&Rule) -> bool,
    ) -> Result<bool> {
        match family.is_installed() {
            true => self.converge(family, |saved| saved.without(&chain.name, is_meant)),
            false => Ok(false), // nothing can be there
        }
    }

    /// The containers of `network` that have rules and whose ID is stale.
    pub(super) fn stale(&self, network: &str, is_stale: Filter<'_>) -> Result<Vec<String>> {
        let mut found = BTreeSet::new();
        for family in Family::BOTH.into_iter().filter(|family| family.is_installed()) {
            found.extend(self.stale_in(&self.read(family)?, network, is_stale));
        }
        Ok(found.into_iter().collect())
    }

    /// Removes the chains of the same containers, and the rules that jump to them. Returns the IDs.
    pub(super) fn collect(&self, network: &str, is_stale: Filter<'_>) -> Result<Vec<String>> {
        let mut gone = BTreeSet::new();
        for family in Family::BOTH.into_iter().filter(|family| family.is_installed()) {
            gone.extend(self.stale_in(&self.read(family)?, network, is_stale));
            self.converge(family, |saved| {
                let mut change = Change::default();
                for container in self.stale_in(saved, network, is_stale) {
                    let chain = self.chain_name(network, &container);
                    change.append(saved.without(&chain, &|_| true));
                }
                change
            })?;
        }
        Ok(gone.into_iter().collect())
    }

    fn stale_in(&self, saved: &Saved, network: &str, is_stale: Filter<'_>) -> BTreeSet<String> {
        let containers = saved.rules.iter().filter_map(|rule| self.container_of(rule, network));
        containers.filter(|container| is_stale(container)).collect()
    }

    fn read(&self, family: Family) -> Result<Saved> {
        Ok(Saved::parse(&save(self.table(family))?))
    }

    /// Reads the rules and writes the changes that `plan` derives from them. If iptables refuses,
    /// it reads again, until no change is left. Returns whether it wrote a change.
    fn converge(&self, family: Family, plan: impl Fn(&Saved) -> Change) -> Result<bool> {
        let mut refused = Ok(false);
        for _ in 0..TRIES {
            let change = plan(&self.read(family)?);
            if change.is_empty() {
                return Ok(false);
            }
            match restore(self.table(family), &change.text(self.table)) {
                Ok(()) => return Ok(true),
                Err(error) => refused = Err(error),
            }
        }
        refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: Job = Job { table: "nat", chain: "CNI-DN-", comment: "dnat ", instead: "" };

    #[test]
    fn the_container_is_read_from_a_comment() {
        let mut chain = JOB.chain("dbnet", "c \"1\\").unwrap();
        chain.add(&["-p", "tcp"], "DNAT");
        chain.add_jump("PREROUTING", &[]);
        for rule in chain.rules.iter().chain(&chain.jumps) {
            assert_eq!(JOB.container_of(rule, "dbnet").as_deref(), Some("c \"1\\"));
            assert_eq!(JOB.container_of(rule, "db"), None);
            assert_eq!(Job { comment: "", ..JOB }.container_of(rule, "dbnet"), None);
            assert_eq!(Job { chain: "CNI-", ..JOB }.container_of(rule, "dbnet"), None);
        }
    }
}
