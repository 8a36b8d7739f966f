//! The configuration as it comes on stdin.

use std::io::{self, Read};

use serde_json::Value;

use crate::{Code, Context, Error, NetworkName, Result, json};

/// A configuration, and its text if it came as text.
pub(super) struct Document {
    pub(super) value: Value,
    pub(super) text: Option<String>,
}

impl From<Value> for Document {
    fn from(value: Value) -> Document {
        Document { value, text: None }
    }
}

pub(super) fn read_config() -> Result<Document> {
    read_config_from(&mut io::stdin().lock(), "stdin")
}

/// Reads a configuration; `source` says where from.
pub(super) fn read_config_from(input: &mut dyn Read, source: &str) -> Result<Document> {
    let mut bytes = Vec::new();
    // One byte more than allowed tells that it is too much.
    let limit = u64::try_from(json::MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    input.take(limit).read_to_end(&mut bytes).context(|| format!("error reading from {source}"))?;
    let value = json::parse(&bytes).context(|| "error unmarshall network config")?;
    Ok(Document { value, text: String::from_utf8(bytes).ok() })
}

pub(super) fn network_of(config: &Value) -> Result<NetworkName> {
    match json::get(config, "name") {
        None => NetworkName::new(""),
        Some(Value::String(name)) => NetworkName::new(name.as_str()),
        Some(other) => {
            let msg = format!("error unmarshall network config: name is {other}, not a string");
            Err(Error::new(Code::DECODE_FAILURE, msg))
        }
    }
}
