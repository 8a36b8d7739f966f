//! An attempt: ADD, CHECK and DEL of a plugin with a profile that may not be right, and what can be
//! seen of it. The kit finds out in this way what a plugin does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use testbed::{Outcome, Pod};

use crate::case::Case;
use crate::delegate;
use crate::fixture::{Call, Container, Fixture, addresses, has_interface};
use crate::ipam;
use crate::isolation::{self, Task, broken};
use crate::json::{each, set, text};
use crate::profile::{Kind, Profile};
use crate::suite::{LINKS, Suite};
use crate::timeout;
use crate::verdict::{NotPassed, OutcomeExt};

/// The maximum length of a plugin's message, in characters.
const LONGEST: usize = 300;

/// The task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attempt {
    /// The suite with the plugin.
    pub suite: Suite,
    /// The type of the plugin.
    pub plugin: String,
    /// The version of the specification.
    pub version: String,
    /// The text of the profile.
    pub profile: String,
}

/// What was seen.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Seen {
    /// Why ADD fails, in the plugin's words; empty if it succeeds.
    pub error: String,
    /// Whether the container has an interface of the plugin.
    pub attached: bool,
    /// Whether the result repeats the one of the plugin before it.
    pub repeats: bool,
    /// Whether the result has addresses and no interfaces.
    pub only_addresses: bool,
    /// Whether the plugin called the IPAM plugin of its configuration.
    pub called_ipam: bool,
    /// The kinds of the links in the container, as the kernel names them.
    pub links: Vec<String>,
    /// The plugins that it ran as delegates, each with the configuration that it gave them.
    pub delegates: BTreeMap<String, Value>,
    /// The command after ADD that fails, and why.
    pub later: Option<(String, String)>,
}

impl Task for Attempt {
    const NAME: &'static str = "attempt";
    type Answer = Seen;
}

impl Attempt {
    /// Makes the calls in namespaces of their own.
    ///
    /// # Errors
    ///
    /// If the kit cannot make them: the profile's `setup` fails, for example.
    pub fn run(&self) -> Result<Seen, String> {
        isolation::run(self, timeout::CASE)
    }

    /// Makes the calls, as the task.
    pub fn perform(self) -> Seen {
        let profile = Profile::of(&self.plugin, Some(&self.profile));
        let profile = profile.unwrap_or_else(|error| broken(&error));
        let case = Case {
            requirement: String::new(),
            plugin: self.plugin,
            version: self.version,
            suite: self.suite,
            profile: Some(self.profile),
            part: (0, 1),
            crash_every: 1,
        };
        let plugin = case.plugin.clone();
        let fixture = Fixture::new(case, profile);
        delegate::watch_all(&plugin).unwrap_or_else(|error| broken(&error));
        let container = fixture.container("a");
        let call = fixture.call(&container).with(|cni| cni.env("CNI_PATH", LINKS));
        let mut seen = Seen::default();
        match call.add().succeeds() {
            Ok(result) => after_add(&fixture, &container, &call, &result, &mut seen),
            Err(error) => seen.error = message(&error),
        }
        (seen.called_ipam, seen.delegates) = delegates(&fixture);
        seen
    }
}

fn after_add(
    fixture: &Fixture,
    container: &Container,
    call: &Call<'_>,
    result: &Value,
    seen: &mut Seen,
) {
    let pod = &container.pod;
    let is_new = fixture.profile.kind != Kind::Chained;
    seen.attached = has_interface(pod, result)
        || (is_new && pod.try_run(&["ip", "link", "show", "dev", "eth0"]).status.success());
    seen.repeats = container.prev.as_ref().is_some_and(|prev| repeats(result, prev));
    let has_interfaces = each(result, "interfaces").next().is_some();
    seen.only_addresses = !addresses(result).is_empty() && !has_interfaces;
    seen.links = link_kinds(pod);
    seen.later = later(fixture, call, result).err();
}

/// CHECK and DEL: returns the command that fails, and why.
fn later(fixture: &Fixture, call: &Call<'_>, result: &Value) -> Result<(), (String, String)> {
    let fails = |verb: &str, outcome: &Outcome| match outcome.succeeds() {
        Ok(_) => Ok(()),
        Err(error) => Err((verb.to_owned(), message(&error))),
    };
    let mut del = call.clone();
    if fixture.is_from("0.4.0") && result.is_object() {
        fails("CHECK", &call.check(result))?;
        del = del.with(|cni| cni.prev(result));
    }
    fails("DEL", &del.del())
}

/// Whether a result has everything that the result of the plugin before it has.
fn repeats(result: &Value, prev: &Value) -> bool {
    let has = |key: &str, name: &str| {
        let own: Vec<String> = each(result, key).map(|item| text(item, name)).collect();
        each(prev, key).all(|item| own.contains(&text(item, name)))
    };
    has("interfaces", "name") && has("ips", "address")
}

/// Whether the IPAM plugin of the configuration was called, and the plugins that were run besides.
fn delegates(fixture: &Fixture) -> (bool, BTreeMap<String, Value>) {
    let config = fixture.config();
    let ipam = config.get("ipam").map(|ipam| text(ipam, "type")).unwrap_or_default();
    let names = delegate::called();
    let called_ipam = !ipam::calls().is_empty() || names.contains(&ipam);
    let mut delegates = BTreeMap::new();
    for name in names.into_iter().filter(|name| *name != ipam) {
        let adds = delegate::calls(&name).into_iter().find(|call| call.verb() == "ADD");
        let config = adds.and_then(|call| serde_json::from_str::<Value>(&call.stdin).ok());
        // An IPAM plugin that a delegate calls gets the configuration of the delegate.
        let is_ipam = |config: &Value| config.get("type").is_some_and(|own| *own != *name);
        if let Some(mut config) = config.filter(|config| !is_ipam(config)) {
            set(&mut config, "type", name.as_str());
            delegates.insert(name, config);
        }
    }
    (called_ipam, delegates)
}

/// The kinds of the links in a container, without `lo`.
fn link_kinds(pod: &Pod) -> Vec<String> {
    let links = pod.try_run(&["ip", "-d", "-j", "link", "show"]).stdout;
    let links: Value = serde_json::from_str(&links).unwrap_or_default();
    let kinds = links.as_array().into_iter().flatten();
    let kind = |link: &Value| Some(link.pointer("/linkinfo/info_kind")?.as_str()?.to_owned());
    kinds.filter_map(kind).collect()
}

/// The plugin's own message in a failure, in one line; otherwise all that was seen.
fn message(failure: &NotPassed) -> String {
    let (NotPassed::NotApplicable(seen) | NotPassed::Untestable(seen)) = failure else {
        let NotPassed::Failed(finding) = failure else { return String::new() };
        return own_message(&finding.seen);
    };
    seen.clone()
}

fn own_message(seen: &str) -> String {
    let printed = seen.find('{').and_then(|start| seen.get(start..)).unwrap_or_default();
    let mut values = serde_json::Deserializer::from_str(printed).into_iter::<Value>();
    let printed = values.next().and_then(Result::ok).unwrap_or_default();
    let words = match (text(&printed, "msg"), text(&printed, "details")) {
        (msg, _) if msg.is_empty() => seen.to_owned(),
        (msg, details) if details.is_empty() => msg,
        (msg, details) => format!("{msg}: {details}"),
    };
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ..", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{own_message, repeats};

    #[test]
    fn the_message_is_the_plugins_own() {
        let seen = "exit status: 1; standard output: {\"code\": 7, \"msg\": \"no\\n master\"}\nx";
        assert_eq!(own_message(seen), "no master");
        assert_eq!(
            own_message("exit status: 127; standard error: sh: x"),
            "exit status: 127; standard error: sh: x"
        );
    }

    #[test]
    fn a_result_repeats_another_one_if_it_has_all_of_it() {
        let prev =
            json!({ "interfaces": [{ "name": "eth0" }], "ips": [{ "address": "10.0.0.1/24" }] });
        let more = json!({
            "interfaces": [{ "name": "tap0" }, { "name": "eth0" }], "ips": [{ "address": "10.0.0.1/24" }]
        });
        assert!(repeats(&more, &prev));
        assert!(!repeats(&json!({}), &prev));
    }
}
