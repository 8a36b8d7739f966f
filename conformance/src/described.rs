//! The plugins that the user describes with `--config`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::json::text;
use crate::profile::{Profile, profile_of};
use crate::whose::Delegate;

/// A plugin that the user describes with `--config`.
#[derive(Debug, Clone)]
pub struct Described {
    /// The text of the profile.
    pub text: String,
    /// The profile.
    pub profile: Profile,
    /// Whether the file is a plain configuration, which does not say what the plugin does.
    pub is_plain: bool,
    /// The plugins that it runs as delegates.
    pub delegates: Vec<Delegate>,
}

/// Parses several files: returns the profile for each type of plugin. A network configuration
/// list has a profile for each of its plugins.
///
/// # Errors
///
/// If a text is not valid.
pub fn parse_all(texts: &[String]) -> Result<BTreeMap<String, Described>, String> {
    let mut all = BTreeMap::new();
    for given in texts {
        let value: Value = serde_json::from_str(given).map_err(|error| error.to_string())?;
        let has_profile = value.get("config").is_some();
        let plugins = value.get("plugins").and_then(Value::as_array);
        let configs = match plugins.filter(|_| !has_profile) {
            Some(plugins) => plugins.clone(),
            None => vec![value],
        };
        for (place, config) in configs.into_iter().enumerate() {
            let is_known = Profile::known(&text(&config, "type")).is_some();
            let is_plain = !has_profile && place == 0 && !is_known;
            let value = if has_profile { config } else { profile_of(config, place) };
            let text = value.to_string();
            let (name, profile) = Profile::parse(&text)?;
            all.insert(name, Described { text, profile, is_plain, delegates: Vec::new() });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::{Described, parse_all};
    use crate::profile::{Kind, Profile};

    #[test]
    fn a_list_has_a_profile_for_each_plugin_and_the_later_ones_are_chained() {
        let list = r#"{"name": "n", "plugins": [{"type": "a"}, {"type": "b"}, {"type": "sbr"}]}"#;
        let parsed = parse_all(&[list.to_owned()]).unwrap();
        let kinds: Vec<_> =
            parsed.iter().map(|(name, d)| (name.as_str(), d.profile.kind)).collect();
        let expected = [("a", Kind::Interface), ("b", Kind::Chained), ("sbr", Kind::Chained)];
        assert_eq!(kinds, expected);
        let Described { text, profile, .. } = &parsed["b"];
        assert_eq!(Profile::parse(text).unwrap().1.kind, profile.kind);
    }
}
