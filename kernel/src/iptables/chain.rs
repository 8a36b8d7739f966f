//! A chain of one owner.

use super::rules::{Change, Rule, Saved};

/// A chain, and the rules of other chains that jump to it.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) name: String,
    /// The comment on all its rules.
    comment: String,
    /// In order.
    pub(super) rules: Vec<Rule>,
    pub(super) jumps: Vec<Rule>,
}

impl Chain {
    /// A chain without rules.
    pub(super) fn new(name: String, comment: String) -> Chain {
        Chain { name, comment, rules: Vec::new(), jumps: Vec::new() }
    }

    /// Adds a rule to the chain.
    pub(super) fn add(&mut self, matching: &[&str], target: &str) {
        self.rules.push(self.rule(&self.name, matching, target));
    }

    /// Adds a rule to another chain that jumps to this one.
    pub(super) fn add_jump(&mut self, from: &str, matching: &[&str]) {
        self.jumps.push(self.rule(from, matching, &self.name));
    }

    fn rule(&self, chain: &str, matching: &[&str], target: &str) -> Rule {
        let mut words = vec![chain];
        words.extend(matching);
        words.extend(["-m", "comment", "--comment", &self.comment, "-j", target]);
        Rule::new(words)
    }

    /// What is missing. Missing rules come before the existing ones that follow them, because an
    /// existing rule may end the chain.
    pub(super) fn missing(&self, saved: &Saved) -> Change {
        let mut change = Change::default();
        if !saved.chains.contains(&self.name) {
            change.new_chain(&self.name);
        }
        let is_missing = |rule: &&Rule| !saved.has(rule);
        let last = self.rules.iter().rposition(|rule| saved.has(rule)).unwrap_or_default();
        let before = self.rules.iter().take(last).rev();
        before.filter(is_missing).for_each(|rule| change.insert(rule));
        let after = self.rules.iter().skip(last).chain(&self.jumps);
        after.filter(is_missing).for_each(|rule| change.add(rule));
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_rules_come_before_those_that_follow_them() {
        let mut chain = Chain::new("CNI-1".to_owned(), "dbnet".to_owned());
        for port in ["1", "2", "3", "4"] {
            chain.add(&["--dport", port], "DNAT");
        }
        let saved = |line: String| Saved::parse(&format!(":{}\n{line}\n", chain.name));
        let third = format!("-A {}", chain.rules[2].line());
        let rule = |command: &str, at: usize| format!("{command} {}", chain.rules[at].line());
        let change = chain.missing(&saved(third));
        assert_eq!(change.lines(), [rule("-I", 1), rule("-I", 0), rule("-A", 3)]);
    }
}
