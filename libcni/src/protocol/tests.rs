use serde_json::json;

use super::*;
use crate::SUPPORTED;

fn version(verb: Verb, config: Value, supported: &[Version]) -> Result<Version, (u32, String)> {
    version_of(&config, verb, supported).map_err(|error| (error.code.into(), error.msg))
}

#[test]
fn versions_are_compared_as_names() {
    let add = |text: &str| version(Verb::Add, json!({ "cniVersion": text }), &SUPPORTED);
    assert_eq!(add(""), Ok(Version::new(0, 1, 0)));
    assert_eq!(add("0.3.1"), Ok(Version::new(0, 3, 1)));
    for text in ["1.1", "0.5.0", "x", "1.1.0 "] {
        assert_eq!(add(text), Err((1, "incompatible CNI versions".to_owned())), "{text}");
    }
    assert_eq!(version(Verb::Add, json!({}), &SUPPORTED), Ok(Version::new(0, 1, 0)));
    assert_eq!(version(Verb::Add, json!({"cniVersion": 1}), &SUPPORTED).unwrap_err().0, 6);
}

#[test]
fn the_details_list_the_supported_versions() {
    let error =
        version_of(&json!({"cniVersion": "9.9.9"}), Verb::Del, &SUPPORTED[..2]).unwrap_err();
    assert_eq!(error.details, r#"config is "9.9.9", plugin supports ["0.1.0" "0.2.0"]"#);
}

#[test]
fn check_gc_and_status_came_with_a_version() {
    for (verb, before, since) in
        [(Verb::Check, "0.3.1", "0.4.0"), (Verb::Gc, "1.0.0", "1.1.0"), (Verb::Status, "", "1.1.0")]
    {
        let name = verb.as_str();
        let of = |text: &str, supported| version(verb, json!({ "cniVersion": text }), supported);
        assert!(of(since, &SUPPORTED).is_ok());
        let refused = |why: &str| Err((1, format!("{why} version does not allow {name}")));
        assert_eq!(of(before, &SUPPORTED), refused("config"));
        assert_eq!(of(since, &SUPPORTED[..4]), refused("plugin"));
        assert_eq!(of("1.x", &SUPPORTED).unwrap_err().0, 6);
        assert_eq!(of("9.0.0", &SUPPORTED), refused("plugin"));
    }
    let between = version(Verb::Check, json!({"cniVersion": "0.4.1"}), &SUPPORTED);
    assert_eq!(between, Err((1, "incompatible CNI versions".to_owned())));
}

#[test]
fn missing_variables_come_in_order_and_a_malformed_one_comes_first() {
    let missing = |command, env: &Env| attachment_of(command, env).unwrap_err().msg;
    let none = Env::default();
    assert_eq!(
        missing("ADD", &none),
        "required env variables [CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH] missing"
    );
    assert_eq!(
        missing("DEL", &none),
        "required env variables [CNI_CONTAINERID,CNI_IFNAME,CNI_PATH] missing"
    );
    assert_eq!(missing("GC", &none), "required env variables [CNI_PATH] missing");
    assert_eq!(attachment_of("WHATEVER", &none).unwrap(), None);
    let bad = Env { container: Some("../x".to_owned()), ..Env::default() };
    assert_eq!(missing("ADD", &bad), "invalid characters in containerID");
    let long = Env { ifname: Some("x".repeat(16)), ..Env::default() };
    assert_eq!(missing("PLAN", &long), "interface name is too long");
    assert_eq!(missing("STATUS", &bad), "required env variables [CNI_PATH] missing");
}
