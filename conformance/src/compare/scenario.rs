//! One scenario with one suite: two containers are added, checked and deleted, and everything that is seen is written down
//! as lines that say by themselves what they are about.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use testbed::{Outcome, Pod};

use super::names::Names;
use super::state;
use crate::bench::{Bench, Call, Container, broken};
use crate::case::{self, Case};
use crate::suite::Suite;

/// One scenario with one suite.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Scenario {
    /// The plugin's type.
    pub plugin: String,
    /// The version of the specification.
    pub version: String,
    /// Where the plugin is.
    pub suite: Suite,
    /// The text of the plugin's profile, if it is not one that everybody knows.
    pub profile: Option<String>,
    /// The profile's variant by its name; its configuration itself, if it is none.
    pub variant: Option<String>,
}

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Whether each ADD succeeded.
    pub added: bool,
    /// In the order of what happened.
    pub parts: Vec<Part>,
}

/// What was seen of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Of what.
    pub what: What,
    /// Where: `host`, `container a`, `files`.
    pub place: String,
    /// The lines.
    pub lines: Vec<String>,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// How ADD ended, and its result.
    Add,
    /// The state of the host and the containers then.
    StateAfterAdd,
    /// The same lines in both states.
    StateAfterBoth,
    /// How CHECK ended.
    Check,
    /// How DEL ended.
    Del,
    /// The state then.
    StateAfterDel,
}

/// The names of the containers.
pub const CONTAINERS: [&str; 2] = ["a", "b"];

/// Runs a scenario on a host of its own.
pub fn run(scenario: &Scenario) -> Seen {
    let profile = case::profile(&scenario.plugin, scenario.profile.as_deref());
    let variant = scenario.variant.as_ref().map(|name| {
        let found = profile.variants.iter().find(|variant| variant.name == *name);
        found.cloned().unwrap_or_else(|| broken(&format!("{name}: no such scenario")))
    });
    let bench = Bench::new(scenario.case(), profile);
    variant.iter().for_each(|variant| bench.prepare(variant));
    let containers = CONTAINERS.map(|name| bench.container(name));
    let calls: Vec<(&Container, Call<'_>)> = containers
        .iter()
        .map(|container| (container, bench.call_in(variant.as_ref(), container)))
        .collect();
    let added: Vec<Outcome> = calls.iter().map(|(_, call)| call.add()).collect();
    let results: Vec<Option<Value>> = added.iter().map(result).collect();
    let mut names = Names::default();
    for ((container, call), result) in calls.iter().zip(&results) {
        names.learn(&bench, container, call, result.as_ref());
    }
    let mut seen = Seen { added: results.iter().all(Option::is_some), parts: Vec::new() };
    let mut tell = |what, outcomes: Vec<(&Container, Vec<String>)>| {
        seen.parts.extend(outcomes.into_iter().map(|(container, lines)| Part {
            what,
            place: place(&container.pod),
            lines,
        }));
    };
    let told = calls.iter().zip(&added).zip(&results);
    tell(
        What::Add,
        told.map(|(((c, _), outcome), result)| (*c, answer(outcome, result.as_ref(), &names)))
            .collect(),
    );
    let after_add = state::of(&bench, &names, What::StateAfterAdd);
    if bench.is_from("0.4.0") {
        let checked = calls.iter().zip(&results).filter_map(|((container, call), result)| {
            let outcome = call.check(result.as_ref()?);
            Some((*container, vec![ending(&outcome, &names)]))
        });
        tell(What::Check, checked.collect());
    }
    let deleted = calls.iter().zip(&results).map(|((container, call), result)| {
        let call = match result {
            Some(result) if bench.is_from("0.4.0") => call.clone().with(|cni| cni.prev(result)),
            _ => call.clone(),
        };
        (*container, vec![ending(&call.del(), &names)])
    });
    tell(What::Del, deleted.collect());
    seen.parts.extend(after_add);
    seen.parts.extend(state::of(&bench, &names, What::StateAfterDel));
    seen.parts.sort_by_key(|part| part.what);
    seen
}

impl Scenario {
    /// What a bench has to know of it.
    fn case(&self) -> Case {
        Case {
            requirement: String::new(),
            plugin: self.plugin.clone(),
            version: self.version.clone(),
            suite: self.suite.clone(),
            profile: self.profile.clone(),
            part: (0, 1),
            crash_every: 1,
        }
    }
}

/// How a place is called.
fn place(pod: &Pod) -> String {
    format!("container {}", pod.name())
}

/// The result, if a call succeeded with one.
fn result(outcome: &Outcome) -> Option<Value> {
    let printed = outcome.status.success().then(|| serde_json::from_str(&outcome.stdout).ok())?;
    printed.filter(Value::is_object)
}

/// How a call ended, and the result: a line for each value in it.
fn answer(outcome: &Outcome, result: Option<&Value>, names: &Names) -> Vec<String> {
    let mut lines = vec![ending(outcome, names)];
    match result {
        Some(result) => flatten("", result, &mut lines),
        None if outcome.status.success() => lines.push(format!("prints {:?}", outcome.stdout)),
        None => {}
    }
    lines.iter().map(|line| names.hide(line)).collect()
}

/// `interfaces[1].name = "eth0"`
fn flatten(path: &str, value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::Object(keys) if !keys.is_empty() => {
            let dot = if path.is_empty() { "" } else { "." };
            keys.iter()
                .for_each(|(key, value)| flatten(&format!("{path}{dot}{key}"), value, lines));
        }
        Value::Array(items) if !items.is_empty() => {
            let numbered = items.iter().enumerate();
            numbered.for_each(|(at, item)| flatten(&format!("{path}[{at}]"), item, lines));
        }
        _ => lines.push(format!("{path} = {value}")),
    }
}

/// How a call ended, in one line.
fn ending(outcome: &Outcome, names: &Names) -> String {
    if outcome.hung {
        return "hangs".to_owned();
    }
    if outcome.status.success() {
        return "succeeds".to_owned();
    }
    let error: Option<Value> = serde_json::from_str(&outcome.stdout).ok();
    let code = error.as_ref().and_then(|error| error.get("code")).and_then(Value::as_u64);
    let text = |key: &str| {
        let text = error.as_ref().and_then(|error| error.get(key)).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let line = match code {
        Some(code) if text("details").is_empty() => {
            format!("fails with code {code}: {}", text("msg"))
        }
        Some(code) => format!("fails with code {code}: {}; {}", text("msg"), text("details")),
        None => format!("fails without an error object, {}: {:?}", outcome.status, outcome.stdout),
    };
    let line = line.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    names.hide_all(&line)
}
