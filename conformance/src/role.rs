//! What a plugin does: it creates an interface, is chained after another plugin, or manages
//! addresses. A plain configuration does not say it, so the kit tries.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::attempt::{Attempt, Seen};
use crate::described::Described;
use crate::discovery::Plugin;
use crate::json::set;
use crate::profile::{Kind, Profile};
use crate::suite::Suite;
use crate::whose::Delegate;

/// The kinds in the order in which they are tried.
const KINDS: [Kind; 3] = [Kind::Interface, Kind::Chained, Kind::Ipam];

impl Seen {
    /// Checks that the plugin works as one of this kind.
    ///
    /// # Errors
    ///
    /// What is wrong, as the end of a sentence.
    pub fn works_as(&self, kind: Kind) -> Result<(), String> {
        if !self.error.is_empty() {
            return Err(format!("ADD fails: {}", self.error));
        }
        let (works, lacks) = match kind {
            Kind::Interface => (self.attached, "the container has no interface after ADD"),
            Kind::Chained => (self.repeats, "the result lacks what `prevResult` has"),
            Kind::Ipam => (self.only_addresses, "the result has no addresses, or has interfaces"),
        };
        if works { Ok(()) } else { Err(lacks.to_owned()) }
    }
}

/// Finds out what the plugins of plain configurations do, and which delegates the given plugins
/// run. Returns a line for the user about each plain configuration.
pub fn find_out(
    suite: &Suite,
    plugins: &mut [Plugin],
    given: &mut BTreeMap<String, Described>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for plugin in plugins {
        let Some(described) = given.get_mut(&plugin.name) else { continue };
        let Some(version) = plugin.versions.last() else { continue };
        let attempt = |kind, text: &str| Attempt {
            suite: suite.clone(),
            plugin: plugin.name.clone(),
            version: version.clone(),
            profile: with_kind(text, kind).to_string(),
        };
        let seen = if described.is_plain {
            let (kind, seen, line) =
                role(&plugin.name, |kind| attempt(kind, &described.text).run());
            lines.push(line);
            described.text = with_kind(&described.text, kind).to_string();
            described.is_plain = false;
            seen
        } else if described.profile.kind == Kind::Interface {
            attempt(Kind::Interface, &described.text).run().unwrap_or_default()
        } else {
            Seen::default()
        };
        learn_delegates(described, &seen);
        if let Ok((_, profile)) = Profile::parse(&described.text) {
            described.profile = profile.clone();
            plugin.profile = profile;
        }
    }
    lines
}

/// The kind of a plugin, what was seen of it, and a line for the user.
fn role(plugin: &str, attempt: impl Fn(Kind) -> Result<Seen, String>) -> (Kind, Seen, String) {
    let mut fails = Vec::new();
    let mut as_interface = Seen::default();
    for kind in KINDS {
        let seen = attempt(kind);
        let works = seen.as_ref().map_err(String::clone).and_then(|seen| seen.works_as(kind));
        let seen = seen.unwrap_or_default();
        let Err(why) = works else {
            let other = if kind == Kind::Interface { "another kind" } else { "`interface`" };
            let line = format!(
                "{plugin}: tested as {}, because its ADD works so; for {other}, give a profile: \
                 {{\"kind\": \"..\", \"config\": {{..}}}}",
                kind.description()
            );
            return (kind, seen, line);
        };
        fails.push(format!("as {}: {why}", kind.description()));
        if kind == Kind::Interface {
            as_interface = seen;
        }
    }
    let line = format!(
        "{plugin}: tested as {}, though no plain ADD works; {}. `cni-conformance init --plugins \
         {plugin}` looks for a configuration that works",
        Kind::Interface.description(),
        fails.join("; ")
    );
    (Kind::Interface, as_interface, line)
}

/// The profile of that kind with this text.
fn with_kind(text: &str, kind: Kind) -> Value {
    let mut profile: Value = serde_json::from_str(text).unwrap_or_default();
    if profile.get("config").is_none() {
        profile = json!({ "config": profile });
    }
    set(&mut profile, "kind", json!(kind));
    profile
}

/// Adds the delegates to a profile that does not name them.
fn learn_delegates(described: &mut Described, seen: &Seen) {
    described.delegates = Delegate::of(&described.text, &seen.delegates);
    let names: Vec<&String> = seen.delegates.keys().collect();
    if names.is_empty() || !described.profile.delegates.is_empty() {
        return;
    }
    let mut profile: Value = serde_json::from_str(&described.text).unwrap_or_default();
    set(&mut profile, "delegates", json!(names));
    described.text = profile.to_string();
}
