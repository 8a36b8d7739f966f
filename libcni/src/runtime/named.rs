//! Reads the name of a configuration, even of an unusable one: a mistake in one file must not
//! affect other networks.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// The values of all keys `name` of a configuration, in any case.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named(Vec<String>);

impl Named {
    /// Whether the configuration could have this name.
    pub(super) fn is(&self, name: &str) -> bool {
        self.0.iter().any(|own| own == name)
    }
}

/// The name of an object that Go's decoder accepts: of any depth, with invalid UTF-8 replaced.
/// `None` if it is not JSON.
pub(super) fn named(bytes: &[u8]) -> Option<Named> {
    let text = String::from_utf8_lossy(bytes);
    let mut json = serde_json::Deserializer::from_str(&text);
    let named = json.deserialize_map(Names).ok()?;
    json.end().ok().map(|()| named)
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Named;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Named, A::Error> {
        let mut named = Named::default();
        while let Some(key) = object.next_key::<String>()? {
            match key.eq_ignore_ascii_case("name") {
                true => {
                    if let Value::String(name) = object.next_value()? {
                        named.0.push(name);
                    }
                }
                // serde skips ignored values without recursion, so they can be nested deeply.
                false => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_whatever_else_is_there() {
        let deep =
            format!("{{\"a\": {}{}, \"name\": \"n\"}}", "[".repeat(100_000), "]".repeat(100_000));
        let said = |text: &str| named(text.as_bytes()).map(|named| named.0);
        assert_eq!(said(&deep), Some(vec!["n".to_owned()]));
        assert_eq!(said(r#"{"Name": "m", "name": 5}"#), Some(vec!["m".to_owned()]));
        assert_eq!(said("{}"), Some(Vec::new()));
        assert_eq!(named(b"{\"x\": \"\xff\", \"name\": \"n\"}"), Some(Named(vec!["n".to_owned()])));
        for text in ["", "{", "[]", "{} x", r#"{"name": }"#, "{\"name\": \"n\", \"x\": [}"] {
            assert_eq!(said(text), None, "{text}");
        }
    }
}
