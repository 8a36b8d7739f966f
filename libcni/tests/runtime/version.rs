//! VERSION, and what validation makes of it.

use libcni::PluginType;
use serde_json::json;

use crate::bed::{Bed, error, list};

/// What a plugin that answers VERSION like this is said to support.
fn supported(body: &str) -> Result<Vec<String>, String> {
    let bed = Bed::new();
    bed.script("x", body);
    let spoken = bed.runtime().version(&PluginType::new("x").unwrap());
    spoken.map(|spoken| spoken.supported).map_err(|error| error.to_string())
}

#[test]
fn every_form_of_the_answer_is_read() {
    let full = r#"echo '{"cniVersion": "1.1.0", "supportedVersions": ["0.4.0", "1.1.0"]}'"#;
    assert_eq!(supported(full).unwrap(), ["0.4.0", "1.1.0"]);
    assert_eq!(supported(r#"echo '{"cniVersion": "0.2.0"}'"#).unwrap(), ["0.1.0", "0.2.0"]);
    let older = r#"echo '{"code": 4, "msg": "unknown CNI_COMMAND: VERSION"}'; exit 1"#;
    assert_eq!(supported(older).unwrap(), ["0.1.0"]);
    let missing = supported(r#"echo '{"cniVersion": "1.0.0"}'"#).unwrap_err();
    assert_eq!(missing, "plugin x: decoding version info: missing field supportedVersions");
    let missing = supported(r#"echo '{"supportedVersions": []}'"#).unwrap_err();
    assert_eq!(missing, "plugin x: decoding version info: missing field cniVersion");
}

#[test]
fn validation_names_every_plugin_that_does_not_fit() {
    let bed = Bed::new();
    bed.plugin("old", r#"echo '{"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]}'"#);
    let network = |version: &str, plugins: &[&str]| {
        let plugins: Vec<_> = plugins
            .iter()
            .map(|kind| json!({ "type": kind, "capabilities": { "mac": true, "ips": false } }))
            .collect();
        list(json!({ "name": "net", "cniVersion": version, "plugins": plugins }))
    };
    let capabilities = bed.runtime().validate(&network("1.0.0", &["old"])).unwrap();
    assert_eq!(capabilities.into_iter().collect::<Vec<_>>(), ["mac"]);
    let refused = error(bed.runtime().validate(&network("1.1.0", &["old", "none"]))).to_string();
    assert!(refused.contains(r#"plugin old does not support config version "1.1.0""#), "{refused}");
    assert!(refused.contains(r#"failed to find plugin "none""#), "{refused}");
}
