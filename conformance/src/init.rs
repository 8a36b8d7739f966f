//! Makes a profile of a plugin that the kit does not know.

mod draft;
mod hints;
mod search;

use std::fmt::Write;

use serde_json::Value;

use crate::discovery::{self, Answer};
use crate::profile::{Kind, Profile};
use crate::suite::Suite;
use search::{Found, Search};

/// The version of the specification for a plugin that does not say which ones it supports.
const USUAL_VERSION: &str = "1.0.0";

/// What was found out about a program.
#[derive(Debug, Clone)]
pub struct Probed {
    /// The name of the program.
    pub name: String,
    /// The profile; [`None`] if the program is not a plugin.
    pub profile: Option<String>,
    /// Whether ADD works with the profile.
    pub works: bool,
    /// What was tried and found, for the user.
    pub text: String,
}

/// The programs of a suite without a profile of the kit.
pub fn unknown(suite: &Suite) -> Vec<String> {
    suite.not_judged(&std::collections::BTreeMap::new()).into_iter().map(|(name, _)| name).collect()
}

/// Probes a program. `is_asked_for`: the user named it, so it counts as a plugin.
///
/// # Errors
///
/// If the kit cannot work on this machine.
pub fn probe(suite: &Suite, name: &str, is_asked_for: bool) -> Result<Probed, String> {
    let answer = discovery::ask(suite, name)?;
    let mut text = match &answer {
        Answer::Versions(versions) => format!("{name}: a plugin, {}\n", versions.join(", ")),
        Answer::Invalid(seen) => format!("{name}: no valid answer to VERSION: {seen}\n"),
    };
    let version = match &answer {
        Answer::Versions(versions) => versions.last().map_or(USUAL_VERSION, String::as_str),
        Answer::Invalid(_) if is_asked_for => USUAL_VERSION,
        Answer::Invalid(_) => {
            text.push_str("  not a plugin\n");
            return Ok(Probed { name: name.to_owned(), profile: None, works: false, text });
        }
    };
    let found = Search::new(suite, name, version).run();
    for line in &found.tries {
        let _ = writeln!(text, "  {line}");
    }
    text.push_str(&conclusion(&found));
    let profile = pretty(&found.draft.profile());
    // A profile that the kit itself cannot read would be a fault of the kit.
    Profile::parse(&profile)?;
    Ok(Probed { name: name.to_owned(), profile: Some(profile), works: found.wrong.is_none(), text })
}

fn pretty(profile: &Value) -> String {
    serde_json::to_string_pretty(profile).unwrap_or_default() + "\n"
}

/// What was found, and what the user should fill in.
fn conclusion(found: &Found) -> String {
    let mut lines = Vec::new();
    let kind = found.draft.kind;
    match &found.wrong {
        None => lines.push(format!("found: {}", kind.description())),
        Some(_) => lines.push(format!(
            "found: no configuration with which ADD works; the profile is the nearest, as {}",
            kind.description()
        )),
    }
    if !found.seen.delegates.is_empty() {
        let names: Vec<&str> = found.seen.delegates.keys().map(String::as_str).collect();
        lines.push(format!("found: it runs other plugins as delegates: {}", names.join(", ")));
    }
    if let Some((verb, why)) = &found.seen.later {
        lines.push(format!("found: {verb} fails after this ADD: {why}"));
    }
    let mut advice: Vec<String> =
        found.tries.iter().filter_map(|line| hints::advice(line)).collect();
    advice.sort();
    advice.dedup();
    match found.wrong {
        Some(_) if advice.is_empty() => lines.push(
            "missing: what the messages above ask for; put it in `config`, `env` or `setup`"
                .to_owned(),
        ),
        Some(_) => lines.extend(advice.into_iter().map(|line| format!("missing: {line}"))),
        None => {}
    }
    lines.push(not_found_out(kind).to_owned());
    lines.iter().map(|line| format!("  {line}\n")).collect()
}

/// What no trial shows.
fn not_found_out(kind: Kind) -> &'static str {
    match kind {
        Kind::Interface => {
            "to fill in: the values in `config` that you use; `reaches`, if containers reach the \
             host or each other; `per_network`, the keys that differ between networks; \
             `variants`, other configurations"
        }
        Kind::Chained => {
            "to fill in: the keys in `config` that make the plugin do its work; `variants`, \
             other configurations"
        }
        Kind::Ipam => {
            "to fill in: the values in `ipam` that you use; `per_network`, the keys that differ \
             between networks; `variants`, other configurations"
        }
    }
}
