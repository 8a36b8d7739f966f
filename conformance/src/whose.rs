//! Whose failure it is: that of a meta-plugin, or that of a delegate that it runs. The kit tests the
//! same requirement with the delegate alone, with the configuration that the meta-plugin gives it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::case::{Case, CaseOutcome, Verdict};
use crate::json::set;
use crate::suite::Suite;

/// A delegate that can be tested alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delegate {
    /// The type of the plugin.
    name: String,
    /// The text of its profile.
    profile: String,
}

/// What a runtime adds to a configuration, and the kit adds again.
const OF_THE_CALL: [&str; 4] =
    ["prevResult", "cniVersion", "cni.dev/valid-attachments", "cni.dev/attachments"];

impl Delegate {
    /// The delegates with the configurations that a plugin with this profile gives them.
    pub fn of(profile: &str, configs: &BTreeMap<String, Value>) -> Vec<Delegate> {
        let profile: Value = serde_json::from_str(profile).unwrap_or_default();
        let alone = |(name, config): (&String, &Value)| {
            let mut config = config.clone();
            if let Some(keys) = config.as_object_mut() {
                OF_THE_CALL.iter().for_each(|key| drop(keys.remove(*key)));
            }
            let mut own = json!({ "config": config });
            for key in ["setup", "container_setup", "env", "needs", "ipv4_only", "forwarding"] {
                if let Some(value) = profile.get(key) {
                    set(&mut own, key, value.clone());
                }
            }
            Delegate { name: name.clone(), profile: own.to_string() }
        };
        configs.iter().map(alone).collect()
    }

    /// The case of a meta-plugin, for the delegate alone.
    fn case(&self, case: &Case) -> Option<Case> {
        let suite = &case.suite;
        let folder = suite.folder_of(&self.name)?.to_owned();
        let path = suite.path.iter().chain([&suite.folder]).cloned().collect();
        Some(Case {
            plugin: self.name.clone(),
            suite: Suite { folder, path },
            profile: Some(self.profile.clone()),
            ..case.clone()
        })
    }
}

/// Says whose a failure of a case is. `test` tests a case in a process of its own.
pub fn whose(case: &Case, delegates: &[Delegate], test: impl Fn(&Case) -> CaseOutcome) -> String {
    let plugin = &case.plugin;
    let mut innocent = Vec::new();
    for delegate in delegates {
        let name = &delegate.name;
        let Some(alone) = delegate.case(case) else { continue };
        match test(&alone).verdict {
            Verdict::Failed => {
                return format!("{name}, the delegate of {plugin}: it fails alone, too");
            }
            Verdict::Passed => innocent.push(name.as_str()),
            Verdict::NotApplicable | Verdict::Untestable | Verdict::Broken => {}
        }
    }
    match innocent.as_slice() {
        [] => String::new(),
        names => format!("{plugin} itself: alone, its delegate {} passes", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::Delegate;

    #[test]
    fn a_delegate_has_the_preparation_of_its_plugin() {
        let config = json!({ "type": "ptp", "name": "n", "cniVersion": "1.0.0", "prevResult": {} });
        let configs = BTreeMap::from([("ptp".to_owned(), config)]);
        let delegates =
            Delegate::of(r#"{"setup": ["true"], "config": {"type": "mine"}}"#, &configs);
        let profile: Value = serde_json::from_str(&delegates[0].profile).unwrap();
        assert_eq!(profile, json!({ "setup": ["true"], "config": { "type": "ptp", "name": "n" } }));
    }
}
