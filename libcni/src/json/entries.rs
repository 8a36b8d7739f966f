//! Duplicate keys, which are gone in a [`Value`].

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::{Code, Error, Result};

/// The entries of the object that a document has under a key, in the order of the text, with every
/// duplicate. The key matches in any case, and all objects under it count. Without such a key, or
/// with `null` under it, there is no entry.
///
/// For plugins that refuse duplicate keys, or that follow Go, where a second object under the same
/// key adds to the first. The text of a call is [`Call::text`](crate::Call::text).
///
/// ```
/// let text = r#"{"sysctl": {"a": "1", "a": "2"}, "SysCtl": {"b": "3"}}"#;
/// let entries = libcni::json::entries(text, "sysctl")?;
/// let keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
/// assert_eq!(keys, ["a", "a", "b"]);
/// # Ok::<(), libcni::Error>(())
/// ```
///
/// # Errors
///
/// [`Code::DECODE_FAILURE`] if the text is not a JSON object, or has a value of another kind under
/// the key.
pub fn entries(text: &str, key: &str) -> Result<Vec<(String, Value)>> {
    let mut json = serde_json::Deserializer::from_str(text);
    let found = json.deserialize_map(Under(key)).and_then(|found| json.end().map(|()| found));
    found.map_err(|error| Error::new(Code::DECODE_FAILURE, error.to_string()))
}

/// The entries of all objects under a key.
struct Under<'a>(&'a str);

impl<'de> Visitor<'de> for Under<'_> {
    type Value = Vec<(String, Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(key) = object.next_key::<String>()? {
            if key.eq_ignore_ascii_case(self.0) {
                found.extend(
                    object.next_value::<Option<Entries>>()?.into_iter().flat_map(|it| it.0),
                );
            } else {
                object.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// The entries of an object.
struct Entries(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Entries, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Entries, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = object.next_entry()? {
                    all.push(entry);
                }
                Ok(Entries(all))
            }
        }
        from.deserialize_map(All)
    }
}
