//! JSON as the CNI world reads it: by Go's rules, which every configuration in the field was
//! written against.
//!
//! Keys of a struct match without regard to case, `null` leaves the default, unknown keys are
//! ignored, and of duplicate keys the last wins ([`entries`] shows all of them). See [`from_value`]
//! for the types that this does not reach.

mod deserializer;
mod entries;
mod mistakes;
#[cfg(test)]
mod tests;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Code, Error, Result};

pub use deserializer::from_value;
pub use entries::entries;
pub use mistakes::from_value_without_mistakes;

/// The largest document [`parse`] takes, in bytes. A network configuration is a few kilobytes; GC
/// lists every attachment of a node, at about 200 bytes each.
pub const MAX_BYTES: usize = 8 << 20;

/// The maximum number of objects and lists in a document. Each takes more than half a kilobyte of
/// memory, however short it is. GC's list has one for each attachment of the node.
pub const MAX_OBJECTS: usize = 100_000;

/// The maximum number of values of any kind in a document.
pub const MAX_VALUES: usize = 400_000;

/// Reads one JSON object.
///
/// ```
/// assert!(libcni::json::parse(br#"{"name": "pods"}"#).is_ok());
/// assert!(libcni::json::parse(br#"{"name": "pods"} and more"#).is_err());
/// assert!(libcni::json::parse(b"[]").is_err());
/// ```
///
/// # Errors
///
/// As [`value`]; also fails for a value that is not an object.
pub fn parse(bytes: &[u8]) -> Result<Value> {
    match value(bytes)? {
        Value::Object(object) => Ok(Value::Object(object)),
        other => {
            let msg = format!("expected a JSON object, found {}", kind(&other));
            Err(Error::new(Code::DECODE_FAILURE, msg))
        }
    }
}

/// Reads one JSON value of any kind, with limited memory.
///
/// # Errors
///
/// [`Code::DECODE_FAILURE`] if `bytes` are more than [`MAX_BYTES`], not UTF-8 text, not JSON,
/// nested deeper than 128 levels, followed by other text, or more than [`MAX_OBJECTS`] or
/// [`MAX_VALUES`].
pub fn value(bytes: &[u8]) -> Result<Value> {
    let bad = |msg: String| Error::new(Code::DECODE_FAILURE, msg);
    if bytes.len() > MAX_BYTES {
        return Err(bad(format!("the document is larger than {MAX_BYTES} bytes")));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| bad(error.to_string()))?;
    let (objects, values) = count(bytes);
    if objects > MAX_OBJECTS {
        return Err(bad(format!("the document has more than {MAX_OBJECTS} objects and lists")));
    }
    if values > MAX_VALUES {
        return Err(bad(format!("the document has more than {MAX_VALUES} values")));
    }
    serde_json::from_str(text).map_err(|error| bad(error.to_string()))
}

/// Counts the objects and lists of a document, and the values in them, before any of them is built.
/// An object or list can have one value more than commas, so objects and lists count as values too.
fn count(json: &[u8]) -> (usize, usize) {
    let (mut objects, mut commas) = (0, 0);
    let (mut in_string, mut is_escaped) = (false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => objects += 1,
            b',' if !in_string => commas += 1,
            _ => {}
        }
    }
    (objects, commas + objects)
}

/// Looks up `key` in an object without regard to case; an exact match is preferred. `null` counts
/// as absent.
///
/// ```
/// let config = serde_json::json!({ "ISGATEWAY": true, "mtu": null });
/// assert_eq!(libcni::json::get(&config, "isGateway"), Some(&serde_json::Value::Bool(true)));
/// assert_eq!(libcni::json::get(&config, "mtu"), None);
/// ```
pub fn get<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    lookup(value.as_object()?, key)
}

/// Writes JSON as the reference plugins do: four spaces, no newline at the end, `<`, `>` and `&`
/// escaped.
///
/// # Errors
///
/// [`Code::INTERNAL`] if the value cannot be JSON.
pub fn pretty(value: &impl Serialize) -> Result<String> {
    let mut text = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut text, format))
        .map_err(|error| Error::internal(format!("failed to write JSON: {error}")))?;
    // These stand only in strings, so that they can be replaced in the finished text.
    let text = String::from_utf8_lossy(&text);
    Ok(text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"))
}

fn lookup<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    object
        .get(key)
        .or_else(|| {
            let same = |(found, _): &(&String, _)| found.eq_ignore_ascii_case(key);
            object.iter().rev().find(same).map(|(_, value)| value)
        })
        .filter(|value| !value.is_null())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
