//! Rules in the notation of `iptables-save` and `iptables-restore`.

use std::collections::BTreeSet;

/// A table as `iptables-save` prints it.
#[derive(Debug, Default)]
pub(super) struct Saved {
    pub(super) chains: BTreeSet<String>,
    pub(super) rules: Vec<Rule>,
}

/// A rule: its chain, and the words that follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    words: Vec<String>,
}

impl Rule {
    pub(super) fn new(words: Vec<&str>) -> Rule {
        Rule { words: words.into_iter().map(str::to_owned).collect() }
    }

    /// The chain that contains the rule.
    pub(super) fn chain(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// The word after `option`.
    pub(super) fn after(&self, option: &str) -> Option<&str> {
        let at = self.words.iter().position(|word| word == option)?;
        self.words.get(at + 1).map(String::as_str)
    }

    /// The target of the rule.
    pub(super) fn target(&self) -> Option<&str> {
        self.after("-j").or_else(|| self.after("-g"))
    }

    /// The rule as an argument list in the notation of iptables-restore.
    pub(super) fn line(&self) -> String {
        self.words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
    }

    /// The words, sorted, because versions of iptables print matches in different orders.
    fn sorted(&self) -> Vec<&str> {
        let mut words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        words.sort_unstable();
        words
    }
}

impl Saved {
    pub(super) fn parse(text: &str) -> Saved {
        let mut saved = Saved::default();
        for line in text.lines() {
            let mut words = split(line);
            if let Some(chain) = line.strip_prefix(':') {
                saved.chains.extend(chain.split_whitespace().next().map(str::to_owned));
            } else if words.first().is_some_and(|word| word == "-A") {
                words.remove(0);
                saved.rules.push(Rule { words });
            }
        }
        saved
    }

    pub(super) fn has(&self, rule: &Rule) -> bool {
        self.rules.iter().any(|other| other.sorted() == rule.sorted())
    }

    /// Removes the rules that jump to `chain` and that `is_meant` selects, and `chain` itself if
    /// none is left.
    pub(super) fn without(&self, chain: &str, is_meant: &dyn Fn(&Rule) -> bool) -> Change {
        let mut change = Change::default();
        let mut in_use = false;
        for rule in self.rules.iter().filter(|rule| rule.target() == Some(chain)) {
            if is_meant(rule) {
                change.commands.push(format!("-D {}", rule.line()));
            } else {
                in_use = true;
            }
        }
        if self.chains.contains(chain) && !in_use {
            change.commands.push(format!("-F {chain}"));
            change.commands.push(format!("-X {chain}"));
        }
        change
    }
}

/// Changes of a table, carried out atomically.
#[derive(Debug, Default)]
pub(super) struct Change {
    chains: Vec<String>,
    commands: Vec<String>,
}

impl Change {
    pub(super) fn is_empty(&self) -> bool {
        self.chains.is_empty() && self.commands.is_empty()
    }

    /// Creates a chain that does not exist. Restoring an existing chain would empty it.
    pub(super) fn new_chain(&mut self, name: &str) {
        self.chains.push(name.to_owned());
    }

    /// Adds a rule at the end of its chain, once.
    pub(super) fn add(&mut self, rule: &Rule) {
        self.once(format!("-A {}", rule.line()));
    }

    /// Inserts a rule at the start of its chain, once.
    pub(super) fn insert(&mut self, rule: &Rule) {
        self.once(format!("-I {}", rule.line()));
    }

    fn once(&mut self, command: String) {
        if !self.commands.contains(&command) {
            self.commands.push(command);
        }
    }

    pub(super) fn append(&mut self, mut other: Change) {
        self.chains.append(&mut other.chains);
        self.commands.append(&mut other.commands);
    }

    /// Each change as an argument list of iptables.
    pub(super) fn lines(&self) -> Vec<String> {
        let chains = self.chains.iter().map(|chain| format!("-N {chain}"));
        chains.chain(self.commands.iter().cloned()).collect()
    }

    /// The input of iptables-restore.
    pub(super) fn text(&self, table: &str) -> String {
        let chains = self.chains.iter().map(|chain| format!(":{chain} - [0:0]\n"));
        let commands = self.commands.iter().map(|command| format!("{command}\n"));
        let lines: String = chains.chain(commands).collect();
        format!("*{table}\n{lines}COMMIT\n")
    }
}

/// A word as iptables-restore reads it: quoted unless it is plain.
fn quote(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:,!".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The words of a line; the inverse of [`quote`].
fn split(line: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let (mut quoted, mut escaped) = (false, false);
    for c in line.chars() {
        match c {
            _ if escaped => {
                word.get_or_insert_default().push(c);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_quoting() {
        for word in ["plain", "name: \"a\" id: \"b\"", "back\\slash", "", "a'b"] {
            assert_eq!(split(&quote(word)), [word]);
        }
        assert_eq!(split("-A X  ! -d 224.0.0.0/4"), ["-A", "X", "!", "-d", "224.0.0.0/4"]);
    }

    #[test]
    fn a_shared_chain_stays_until_nothing_leads_to_it() {
        let saved = Saved::parse(
            ":CNI-1 - [0:0]\n-A POSTROUTING -s a -j CNI-1\n-A POSTROUTING -s b -j CNI-1\n",
        );
        let one = saved.without("CNI-1", &|rule| rule.after("-s") == Some("a"));
        assert_eq!(one.lines(), ["-D POSTROUTING -s a -j CNI-1"]);
        let both = saved.without("CNI-1", &|_| true);
        assert_eq!(both.lines().last().unwrap().as_str(), "-X CNI-1");
    }
}
