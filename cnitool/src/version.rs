//! `cnitool version`: which versions of the specification this command and a network's plugins
//! speak.

use libcni::{Result, SUPPORTED};
use serde_json::json;

use crate::Session;

/// Our own version.
pub fn own(as_json: bool) -> String {
    let (version, spoken) =
        (env!("CARGO_PKG_VERSION"), SUPPORTED.map(|version| version.to_string()));
    match as_json {
        true => format!("{:#}\n", json!({ "cnitool": version, "supportedVersions": spoken })),
        false => {
            format!("cnitool {version}\nCNI protocol versions supported: {}\n", spoken.join(", "))
        }
    }
}

/// What every plugin of a network says.
pub fn of_plugins(session: &Session<'_>) -> Result<String> {
    let (mut text, mut all) = (String::new(), Vec::new());
    for plugin in &session.list.plugins {
        let spoken = session.runtime.version(&plugin.kind)?;
        text += &format!("{}: {}\n", plugin.kind, spoken.supported.join(", "));
        all.push(json!({ "type": plugin.kind, "supportedVersions": spoken.supported }));
    }
    // A network that its plugins cannot serve is an error here, not only at the first ADD.
    session.runtime.validate(&session.list)?;
    Ok(if session.arguments.json { format!("{:#}\n", json!(all)) } else { text })
}
