//! One scenario with one suite: ADD, CHECK and DEL of two containers. All observations are recorded
//! as lines that can be understood without their context.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use testbed::{Outcome, Pod};

use super::names::Names;
use super::part::{Aspect, CONTAINERS, Observation, Part};
use super::state;
use crate::case::Case;
use crate::fixture::{Call, Container, Fixture};
use crate::isolation::broken;
use crate::profile::Profile;
use crate::suite::Suite;

/// One scenario with one suite.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Scenario {
    /// The type of the plugin.
    pub plugin: String,
    /// The version of the specification.
    pub version: String,
    /// The suite with the plugin.
    pub suite: Suite,
    /// The text of the plugin's profile, if the user gave one.
    pub profile: Option<String>,
    /// The name of the profile's variant; [`None`] for the profile's own configuration.
    pub variant: Option<String>,
}

/// Runs a scenario on a host of its own.
pub fn run(scenario: &Scenario) -> Observation {
    let profile = Profile::of(&scenario.plugin, scenario.profile.as_deref())
        .unwrap_or_else(|error| broken(&error));
    let variant = scenario.variant.as_ref().map(|name| {
        let found = profile.variants.iter().find(|variant| variant.name == *name);
        found.cloned().unwrap_or_else(|| broken(&format!("{name}: no such scenario")))
    });
    let fixture = Fixture::new(scenario.case(), profile);
    variant.iter().for_each(|variant| fixture.prepare(variant));
    let containers = CONTAINERS.map(|name| fixture.container(name));
    let calls: Vec<(&Container, Call<'_>)> = containers
        .iter()
        .map(|container| (container, fixture.call_in(variant.as_ref(), container)))
        .collect();
    let added: Vec<Outcome> = calls.iter().map(|(_, call)| call.add()).collect();
    let results: Vec<Option<Value>> = added.iter().map(result).collect();
    let mut names = Names::default();
    for ((container, call), result) in calls.iter().zip(&results) {
        names.learn(&fixture, container, call, result.as_ref());
    }
    let mut seen = Observation { added: results.iter().all(Option::is_some), parts: Vec::new() };
    let mut tell = |what, outcomes: Vec<(&Container, Vec<String>)>| {
        seen.parts.extend(outcomes.into_iter().map(|(container, lines)| Part {
            what,
            place: place(&container.pod),
            lines,
        }));
    };
    let told = calls.iter().zip(&added).zip(&results);
    tell(
        Aspect::Add,
        told.map(|(((c, _), outcome), result)| (*c, answer(outcome, result.as_ref(), &names)))
            .collect(),
    );
    let after_add = state::of(&fixture, &names, Aspect::StateAfterAdd);
    if fixture.is_from("0.4.0") {
        let checked = calls.iter().zip(&results).filter_map(|((container, call), result)| {
            let outcome = call.check(result.as_ref()?);
            Some((*container, vec![ending(&outcome, &names)]))
        });
        tell(Aspect::Check, checked.collect());
    }
    let deleted = calls.iter().zip(&results).map(|((container, call), result)| {
        let call = match result {
            Some(result) if fixture.is_from("0.4.0") => call.clone().with(|cni| cni.prev(result)),
            _ => call.clone(),
        };
        (*container, vec![ending(&call.del(), &names)])
    });
    tell(Aspect::Del, deleted.collect());
    seen.parts.extend(after_add);
    seen.parts.extend(state::of(&fixture, &names, Aspect::StateAfterDel));
    seen.parts.sort_by_key(|part| part.what);
    seen
}

impl Scenario {
    /// The case for the fixture.
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

/// The name of a place.
fn place(pod: &Pod) -> String {
    format!("container {}", pod.name())
}

/// The result, if a call printed one.
fn result(outcome: &Outcome) -> Option<Value> {
    let printed = outcome.status.success().then(|| serde_json::from_str(&outcome.stdout).ok())?;
    printed.filter(Value::is_object)
}

/// The outcome of a call and the result, with a line for each value.
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

/// The outcome of a call in one line.
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
