//! Reads JSON values whose mistakes must not matter.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::deserializer::{Misfit, try_from_value};
use crate::{Code, Error, Result};

/// As [`from_value`](super::from_value), but a key with a value of the wrong type counts as absent.
/// Also returns the mistake of each such key. In an object inside the document, each of its own
/// keys counts separately; a mistake at a deeper level discards the whole key above.
///
/// ```
/// #[derive(serde::Deserialize, Default)]
/// #[serde(default)]
/// struct Config {
///     mtu: u32,
///     bridge: String,
/// }
///
/// let value = serde_json::json!({ "mtu": -5, "bridge": "cbr0" });
/// let (config, mistakes) = libcni::json::from_value_without_mistakes::<Config>(&value, &[])?;
/// assert_eq!((config.mtu, config.bridge.as_str()), (0, "cbr0"));
/// assert_eq!(mistakes.len(), 1);
/// # Ok::<(), libcni::Error>(())
/// ```
///
/// # Errors
///
/// [`Code::DECODE_FAILURE`] if a key of `needed` (`ipam.dataDir`) has a value of the wrong type, or
/// if the value is not an object.
pub fn from_value_without_mistakes<T: DeserializeOwned>(
    value: &Value,
    needed: &[&str],
) -> Result<(T, Vec<String>)> {
    /// After so many mistakes under one key the whole key counts as absent, because a document may
    /// be large.
    const MISTAKES_UNDER_A_KEY: usize = 16;
    let failed = |misfit: &Misfit| Error::new(Code::DECODE_FAILURE, misfit.to_string());
    let mut misfit = match try_from_value(value) {
        Ok(read) => return Ok((read, Vec::new())),
        Err(misfit) => misfit,
    };
    let (mut rest, mut mistakes) = (value.clone(), Vec::new());
    let mut seen: Vec<String> = Vec::new();
    loop {
        let keys = misfit.keys();
        if needed.contains(&keys.join(".").as_str()) {
            return Err(failed(&misfit));
        }
        let Some((first, inner)) = keys.split_first() else { return Err(failed(&misfit)) };
        let known = seen.iter().filter(|key| *key == first).count();
        let removed = match inner.first() {
            Some(inner) if known < MISTAKES_UNDER_A_KEY => remove(&mut rest, &[first, inner]),
            _ => false,
        };
        if !removed && !remove(&mut rest, &[first]) {
            return Err(failed(&misfit));
        }
        seen.push(first.clone());
        mistakes.push(misfit.to_string());
        misfit = match try_from_value(&rest) {
            Ok(read) => return Ok((read, mistakes)),
            Err(misfit) => misfit,
        };
    }
}

/// Removes the key at a path, in any case. Returns false if there is none.
fn remove(value: &mut Value, path: &[&str]) -> bool {
    let (Some((key, rest)), Value::Object(object)) = (path.split_first(), value) else {
        return false;
    };
    let before = object.len();
    if rest.is_empty() {
        object.retain(|found, _| !found.eq_ignore_ascii_case(key));
        return object.len() < before;
    }
    let same = object.iter_mut().filter(|(found, _)| found.eq_ignore_ascii_case(key));
    let mut removed = false;
    same.for_each(|(_, inner)| removed |= remove(inner, rest));
    removed
}
