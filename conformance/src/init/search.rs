//! Looks for a profile with which a plugin works: each message of the plugin leads to the next try.

use std::collections::BTreeSet;

use super::draft::{Draft, Hint};
use super::hints::{hints, vocabulary};
use crate::attempt::{Attempt, Seen};
use crate::profile::Kind;
use crate::suite::Suite;

/// The maximum number of tries for one kind.
const TRIES: usize = 16;

/// A plugin whose profile is looked for.
#[derive(Debug, Clone)]
pub struct Search {
    suite: Suite,
    plugin: String,
    version: String,
    vocabulary: BTreeSet<String>,
}

/// The outcome of the tries with one kind.
#[derive(Debug, Clone)]
pub struct Found {
    pub draft: Draft,
    /// What was seen with it.
    pub seen: Seen,
    /// Why it does not work; [`None`] if it works.
    pub wrong: Option<String>,
    /// The number of hints in messages that changed the message.
    followed: usize,
    /// Whether a message says that the plugin must be chained.
    must_be_chained: bool,
    /// The tries in words.
    pub tries: Vec<String>,
}

impl Search {
    pub fn new(suite: &Suite, plugin: &str, version: &str) -> Search {
        let program = std::fs::read(suite.folder.join(plugin)).unwrap_or_default();
        Search {
            suite: suite.clone(),
            plugin: plugin.to_owned(),
            version: version.to_owned(),
            vocabulary: vocabulary(&program),
        }
    }

    /// Tries all kinds. Returns the first profile that works, or else the one that needs the least,
    /// with the tries of all kinds.
    pub fn run(&self) -> Found {
        let mut tries = Vec::new();
        let mut best: Option<Found> = None;
        let kinds = [
            (Kind::Interface, true),
            (Kind::Interface, false),
            (Kind::Chained, false),
            (Kind::Ipam, false),
        ];
        for (kind, ipam) in kinds {
            let found = self.look(Draft::new(&self.plugin, kind, ipam));
            let ignores_ipam = ipam && found.wrong.is_none() && !found.seen.called_ipam;
            tries.extend(found.tries.iter().cloned());
            if ignores_ipam {
                tries.push("  it does not call the IPAM plugin, so it needs no `ipam`".to_owned());
                continue;
            }
            if found.wrong.is_none() {
                return Found { tries, ..self.completed(found) };
            }
            // Each message that was followed brought it further.
            let is_better = |best: &Found| best.must_be_chained || found.followed > best.followed;
            if best.as_ref().is_none_or(is_better) {
                best = Some(found);
            }
        }
        let skeleton =
            best.unwrap_or_else(|| self.attempt(Draft::new(&self.plugin, Kind::Interface, true)));
        Found { tries, ..skeleton }
    }

    /// Follows the messages from a first draft on.
    fn look(&self, first: Draft) -> Found {
        let mut tries = Vec::new();
        let mut current = self.attempt(first);
        tries.push(said(&self.title(&current.draft), &current));
        let mut tried: BTreeSet<Hint> = BTreeSet::new();
        while let Some(wrong) = current.wrong.clone() {
            let next = self
                .hints(&current, &wrong)
                .into_iter()
                .find(|hint| !tried.contains(hint) && current.draft.with(hint).is_some());
            let Some(hint) = next.filter(|_| tries.len() < TRIES) else { break };
            // The chained kind has its own tries.
            if hint == Hint::Chain && current.draft.kind != Kind::Chained {
                current.must_be_chained = true;
                break;
            }
            tried.insert(hint.clone());
            let Some(draft) = current.draft.with(&hint) else { break };
            let after = self.attempt(draft);
            tries.push(said(&format!("  with {}", after.draft.difference(&current.draft)), &after));
            if after.wrong.as_ref() != Some(&wrong) {
                current = Found { followed: current.followed + 1, ..after };
            }
        }
        if current.wrong.is_some() && current.draft.config.contains_key("ipam") {
            current = self.with_ipv4_only(current, &mut tries);
        }
        Found { tries, ..current }
    }

    /// A plugin that calls its IPAM plugin and then fails may not expect IPv6 addresses.
    fn with_ipv4_only(&self, current: Found, tries: &mut Vec<String>) -> Found {
        let after = self.attempt(Draft { ipv4_only: true, ..current.draft.clone() });
        if after.wrong.is_some() {
            return current;
        }
        tries.push(said("  with IPv4 only", &after));
        after
    }

    fn hints(&self, current: &Found, wrong: &str) -> Vec<Hint> {
        let message = if current.seen.error.is_empty() { wrong } else { &current.seen.error };
        let mut found = hints(message, &self.vocabulary);
        // An IPAM plugin without addresses needs some.
        if current.draft.kind == Kind::Ipam && current.seen.error.is_empty() {
            let keys = ["addresses", "ranges", "subnet", "range"];
            let known = keys.iter().filter(|key| self.vocabulary.contains(**key));
            found.extend(known.map(|key| Hint::Key((*key).to_owned())));
        }
        found
    }

    fn attempt(&self, draft: Draft) -> Found {
        let attempt = Attempt {
            suite: self.suite.clone(),
            plugin: self.plugin.clone(),
            version: self.version.clone(),
            profile: draft.profile().to_string(),
        };
        let (seen, wrong) = match attempt.run() {
            Ok(seen) => {
                let wrong = seen.works_as(draft.kind).err();
                (seen, wrong)
            }
            Err(error) => (Seen::default(), Some(error)),
        };
        Found { draft, seen, wrong, followed: 0, must_be_chained: false, tries: Vec::new() }
    }

    /// Adds what was seen: the kinds of links that the kernel needs, and the delegates.
    fn completed(&self, mut found: Found) -> Found {
        let mut needs = found.seen.links.clone();
        needs.retain(|kind| kind != "tun");
        if found.draft.kind != Kind::Interface {
            needs.clear();
        }
        needs.extend(
            found.seen.links.iter().filter(|kind| *kind == "tun").map(|_| "tap".to_owned()),
        );
        if found.draft.profile().get("setup").is_some() || found.draft.kind == Kind::Chained {
            needs.push("veth".to_owned());
        }
        needs.sort();
        needs.dedup();
        found.draft.needs = needs;
        found.draft.delegates = found.seen.delegates.keys().cloned().collect();
        found
    }

    fn title(&self, draft: &Draft) -> String {
        let ipam = if draft.config.contains_key("ipam") { " with `ipam`" } else { "" };
        format!("as {}{ipam}", draft.kind.description())
    }
}

fn said(what: &str, found: &Found) -> String {
    format!("{what}: {}", found.wrong.as_deref().unwrap_or("ADD works"))
}
