//! Access to JSON values.

use serde_json::Value;

/// Sets a key of a JSON object. Does nothing if the value is not an object.
pub fn set(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(keys) = object.as_object_mut() {
        keys.insert(key.to_owned(), value.into());
    }
}

/// A string in an object; empty if there is none.
pub fn text(object: &Value, key: &str) -> String {
    object.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A number in an object. Some tools print numbers as strings.
pub fn number(object: &Value, key: &str) -> Option<u64> {
    let value = object.get(key)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// The entries of an array in an object.
pub fn each<'a>(object: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    object.get(key).and_then(Value::as_array).into_iter().flatten()
}
