//! What a configuration list may say.

use libcni::runtime::NetworkConfig;
use libcni::{Code, Version};
use serde_json::json;

use crate::bed::{error, list};

fn refused(text: &str) -> String {
    error(NetworkConfig::parse(text.as_bytes())).to_string()
}

#[test]
fn versions_are_negotiated_as_the_reference_does() {
    let version = |config: &str| {
        let config = format!(r#"{{"name": "n", "plugins": [{{"type": "x"}}] {config}}}"#);
        NetworkConfig::parse(config.as_bytes()).map(|list| list.version.to_string())
    };
    for (config, chosen) in [
        (r#", "cniVersions": ["1.1.0", "0.4.0", "1.0.0"]"#, "1.1.0"),
        (r#", "cniVersions": ["99.0.0", "0.4.0"]"#, "0.4.0"),
        (r#", "cniVersions": ["0.4.0"], "cniVersion": "1.0.0""#, "1.0.0"),
        (r#", "cniVersions": ["0.4.0"], "cniVersion": "99.0.0""#, "0.4.0"),
        (r#", "cniVersions": ["99.0.0"], "cniVersion": "0.3.1""#, "0.3.1"),
        (r#", "cniVersion": "1.2.3""#, "1.2.3"),
        (r#", "cniVersions": []"#, "0.1.0"),
        (r#", "cniVersions": [], "cniVersion": "0.4.0""#, "0.4.0"),
        ("", "0.1.0"),
    ] {
        assert_eq!(version(config).as_deref(), Ok(chosen), "{config}");
    }
    let wrong = version(r#", "cniVersions": ["1.1.0", "1.0.f"]"#).unwrap_err();
    assert!(wrong.msg.contains(r#"invalid cniVersions entry "1.0.f" at index 1"#), "{wrong}");
    let wrong = version(r#", "cniVersion": 1"#).unwrap_err();
    assert!(wrong.msg.contains("invalid cniVersion type number"), "{wrong}");
}

#[test]
fn switches_are_booleans_or_words() {
    let off = list(json!({ "name": "n", "plugins": [{ "type": "x" }] }));
    assert!(!off.disable_check && !off.disable_gc);
    let on = list(json!({
        "name": "n", "plugins": [{ "type": "x" }], "disableCheck": "TRUE", "disableGC": true,
    }));
    assert!(on.disable_check && on.disable_gc);
    for (value, msg) in [
        (r#""Maybe""#, r#"invalid value "maybe" for disableCheck"#),
        ("1.5", "invalid type number for disableCheck"),
    ] {
        let text =
            format!(r#"{{"name": "n", "plugins": [{{"type": "x"}}], "disableCheck": {value}}}"#);
        assert!(refused(&text).contains(msg), "{}", refused(&text));
    }
}

#[test]
fn mistakes_are_named() {
    for (text, msg) in [
        (r#"{}"#, "error parsing configuration list: no name"),
        (r#"{"name": 5}"#, "invalid name type number"),
        (r#"{"name": ""}"#, "missing network name"),
        (r#"{"name": "../x"}"#, "invalid characters found in network name: ../x"),
        (r#"{"name": "n", "plugins": []}"#, "no plugins in list"),
        (r#"{"name": "n", "plugins": {}}"#, "invalid 'plugins' type object"),
        (
            r#"{"name": "n", "plugins": [1]}"#,
            "failed to parse plugin config 0: invalid type number",
        ),
        (r#"{"name": "n", "plugins": [{"type": "a"}, {}]}"#, "plugin config 1: missing 'type'"),
        (r#"{"name": "n", "plugins": [{"type": "../a"}]}"#, "invalid plugin name: ../a"),
        (r#"{"name": "n", "plugins": [{"type": ""}]}"#, "no plugin name provided"),
        (r#"{"name": "n", "loadOnlyInlinedPlugins": true}"#, "no 'plugins' key is there"),
        (r#"{"name": "n", "type": "bridge"}"#, "its file's name must end in .conf"),
        (
            r#"{"name": "n", "plugins": [{"type": "a", "capabilities": {"b": 1}}]}"#,
            r#"invalid type number for capability "b""#,
        ),
        ("[]", "an object was expected, not list"),
        ("{\n  \"name\": \"n\"\n  \"plugins\": []\n}", "line 3, column 3: expected `,` or `}`"),
        ("", "line 1, column 0: EOF while parsing a value"),
        ("{} x", "line 1, column 4: trailing characters"),
    ] {
        assert!(refused(text).contains(msg), "{text}: {}", refused(text));
    }
    assert_eq!(error(NetworkConfig::parse(b"{")).code, Code::DECODE_FAILURE);
    assert_eq!(error(NetworkConfig::parse(b"{}")).code, Code::INVALID_CONFIG);
}

#[test]
fn a_deeply_nested_list_is_an_error() {
    let text = format!(r#"{{"name": "n", "plugins": {}"#, "[".repeat(100_000));
    assert!(refused(&text).contains("recursion limit exceeded"), "{}", refused(&text));
}

#[test]
fn a_single_plugin_is_a_list_of_one() {
    let list = NetworkConfig::parse_single(
        br#"{"name": "n", "cniVersion": "0.3.0", "type": "ptp", "capabilities": {"a": true, "b": false}}"#,
    )
    .unwrap();
    assert_eq!((&*list.name, list.version), ("n", Version::new(0, 3, 0)));
    let [plugin] = list.plugins.as_slice() else { panic!("{list:?}") };
    assert_eq!((&*plugin.kind, plugin.name.as_deref()), ("ptp", Some("n")));
    assert_eq!(plugin.capabilities.iter().collect::<Vec<_>>(), ["a"]);
    assert_eq!(NetworkConfig::parse(list.as_bytes()).as_ref(), Ok(&list));
}
