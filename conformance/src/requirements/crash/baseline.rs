//! The baseline: the states of a machine after undisturbed rounds. Later states are compared with
//! it.

use std::collections::{BTreeMap, BTreeSet};

/// A state as objects with their properties, so that a changed object can be told from a new one.
pub type State = BTreeMap<String, String>;

/// The properties in all rounds.
#[derive(Debug, Clone, Default)]
pub struct Baseline {
    rounds: usize,
    things: BTreeMap<String, Thing>,
}

#[derive(Debug, Clone, Default)]
struct Thing {
    /// The number of rounds that had the object.
    times: usize,
    values: BTreeSet<String>,
}

/// Parses the text of a state.
pub fn read(text: &str) -> State {
    let mut state = State::new();
    let (mut place, mut table, mut block) = (String::new(), String::new(), String::new());
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("== ") {
            place = match heading {
                "node" | "files" | "mounts" | "disk" => String::new(),
                pod => format!("in {pod}: "),
            };
            (table, block) = (String::new(), String::new());
            continue;
        }
        let word = line.trim();
        let opens = word.strip_suffix(" {");
        match opens {
            Some(name) if !line.starts_with('\t') => {
                (table, block) = (format!("{name} "), String::new());
            }
            Some(name) => block = format!("{name} "),
            None if word.ends_with("tables-legacy-save:") || word.ends_with("tables-nft-save:") => {
                (table, block) = (word.replace("-save:", " "), String::new());
                continue;
            }
            None if table.contains("tables-") && word.starts_with('*') => {
                block = format!("{} ", word.trim_start_matches('*'));
            }
            None if word.starts_with("conntrack ") => {
                (table, block) = (String::new(), String::new());
            }
            None if word == "}" || word == "COMMIT" || word.is_empty() => continue,
            None => {}
        }
        let (thing, value) = parts(word);
        let thing = match opens {
            Some(_) => format!("{place}{table}{block}").trim_end().to_owned(),
            None => format!("{place}{table}{block}{thing}"),
        };
        let mut key = thing.clone();
        let mut count = 1;
        while state.contains_key(&key) {
            count += 1;
            key = format!("{thing} (no. {count})");
        }
        state.insert(key, value.to_owned());
    }
    state
}

/// An object and its properties.
fn parts(line: &str) -> (String, &str) {
    let mut words = line.splitn(3, ' ');
    let (kind, second, rest) = (words.next(), words.next(), words.next().unwrap_or_default());
    match (kind, second) {
        (Some("link"), Some(name)) => (format!("link {name}"), rest),
        (Some("file"), Some(_)) => {
            let (path, content) = rest.split_once(' ').unwrap_or((rest, ""));
            (format!("file {path}"), content)
        }
        (Some("sysctl"), Some(name)) => (format!("sysctl {name}"), rest),
        _ => (line.to_owned(), ""),
    }
}

/// The objects in a state that an earlier state does not have.
pub fn new_in(state: &State, earlier: &State) -> Vec<String> {
    state.keys().filter(|thing| !earlier.contains_key(*thing)).cloned().collect()
}

impl Baseline {
    /// Adds a round to the baseline.
    pub fn learn(&mut self, state: &State) {
        self.rounds += 1;
        for (thing, value) in state {
            let known = self.things.entry(thing.clone()).or_default();
            known.times += 1;
            known.values.insert(value.clone());
        }
    }

    /// The differences from all rounds: new, missing and changed objects. Objects that differ
    /// between rounds may change.
    pub fn differences(&self, state: &State) -> Vec<String> {
        let mut found = Vec::new();
        for (thing, value) in state {
            match self.things.get(thing) {
                None => found.push(format!("left {}", shown(thing, value))),
                Some(known) if known.values.len() == 1 && !known.values.contains(value) => {
                    let before: String = known.values.iter().cloned().collect();
                    found.push(format!("{} was {before}", shown(thing, value)));
                }
                Some(_) => {}
            }
        }
        let gone = self
            .things
            .iter()
            .filter(|(thing, known)| known.times == self.rounds && !state.contains_key(*thing));
        found.extend(gone.map(|(thing, _)| format!("gone {thing}")));
        found
    }
}

fn shown(thing: &str, value: &str) -> String {
    if value.is_empty() { thing.to_owned() } else { format!("{thing} {value}") }
}

#[cfg(test)]
mod tests {
    use super::{Baseline, read};

    const ONE: &str = "== node\nlink lo loopback up\nlink br0 bridge up\n\
        table ip t {\n\tchain c {\n\t\taccept\n\t}\n}\n\
        == living\nlink eth0 veth up\n== files\nfile 0644 /run/last \"10.1.2.3\"\n";

    fn baseline() -> Baseline {
        let mut baseline = Baseline::default();
        baseline.learn(&read(ONE));
        baseline.learn(&read(&ONE.replace("10.1.2.3", "10.1.2.4")));
        baseline
    }

    #[test]
    fn what_changes_by_itself_is_no_difference() {
        let third = ONE.replace("10.1.2.3", "10.1.2.5");
        assert!(baseline().differences(&read(&third)).is_empty());
    }

    #[test]
    fn what_is_left_gone_or_changed_is_named() {
        let after = ONE
            .replace("link lo", "link veth1 veth down\nlink lo")
            .replace("bridge up", "bridge down")
            .replace("\t\taccept\n", "\t\taccept\n\t\taccept\n")
            .replace("link eth0 veth up\n", "");
        assert_eq!(
            baseline().differences(&read(&after)),
            [
                "link br0 bridge down was bridge up",
                "left link veth1 veth down",
                "left table ip t chain c accept (no. 2)",
                "gone in living: link eth0",
            ]
        );
    }

    #[test]
    fn what_is_there_only_sometimes_may_be_missing() {
        let mut baseline = baseline();
        baseline.learn(&read("== node\nlink lo loopback up\n"));
        assert!(baseline.differences(&read("== node\nlink lo loopback up\n")).is_empty());
    }
}
