//! The keys of a list: matched exactly and never `null`, as by Go's libcni; and lint says the same.

use serde_json::{Value, json};

use crate::bed::Bed;

const PLUGINS: &str = r#"[{"type": "one"}, {"TYPE": "two", "name": null, "capabilities": null}]"#;

/// A bed whose network is this text, with `PLUGINS` in the place of that word.
fn with_list(list: &str) -> Bed {
    let bed = Bed::with_network("1.0.0");
    bed.file("net.d/net.conflist", list.replace("PLUGINS", PLUGINS));
    bed
}

/// What lint says of it, each finding as severity and rule.
fn lint(bed: &Bed) -> Vec<String> {
    let text = |it: &Value, key: &str| it[key].as_str().unwrap().to_owned();
    bed.lint()
        .as_array()
        .unwrap()
        .iter()
        .map(|it| text(it, "severity") + " " + &text(it, "rule"))
        .collect()
}

#[test]
fn a_switch_in_another_case_is_ignored() {
    for (key, is_on) in [("disableCheck", true), ("DisableCheck", false), ("disablecheck", false)] {
        let list = format!(
            r#"{{"name": "net", "cniVersion": "1.1.0", "{key}": true, "plugins": PLUGINS}}"#
        );
        let bed = with_list(&list);
        assert_eq!(bed.run("add", "net").status, Some(0));
        bed.calls();
        assert_eq!(bed.run("check", "net").status, Some(0));
        assert_eq!(bed.calls().is_empty(), is_on, "{key}");
        let warning = "warning key-by-case".to_owned();
        assert_eq!(lint(&bed).contains(&warning), !is_on, "{key}");
    }
    for (key, is_on) in [("disableGC", true), ("DisableGC", false), ("disableGc", false)] {
        let list = format!(
            r#"{{"name": "net", "cniVersion": "1.1.0", "{key}": "True", "plugins": PLUGINS}}"#
        );
        let bed = with_list(&list);
        bed.run("gc", "net");
        assert_eq!(bed.calls().is_empty(), is_on, "{key}");
    }
    for (key, called) in [("loadOnlyInlinedPlugins", 2), ("LoadOnlyInlinedPlugins", 3)] {
        for value in ["true", r#""TRUE""#] {
            let list = format!(
                r#"{{"name": "net", "cniVersion": "1.0.0", "{key}": {value}, "plugins": PLUGINS}}"#
            );
            let bed = with_list(&list);
            bed.file("net.d/net/3.conf", r#"{"type": "one"}"#);
            assert_eq!(bed.run("add", "net").status, Some(0));
            assert_eq!(bed.calls().len(), called, "{key}: {value}");
        }
    }
}

#[test]
fn versions_in_another_case_are_ignored() {
    for (keys, version) in [
        (r#""cniVersion": "1.0.0""#, "1.0.0"),
        (r#""CNIVersion": "1.0.0""#, "0.1.0"),
        (r#""cniVersion": "0.4.0", "CNIVERSION": "1.0.0""#, "0.4.0"),
        (r#""cniVersion": "0.4.0", "cniversions": ["1.0.0"]"#, "0.4.0"),
        (r#""cniVersion": "0.4.0", "cniVersions": ["1.0.0"]"#, "1.0.0"),
    ] {
        let bed = with_list(&format!(r#"{{"name": "net", {keys}, "plugins": PLUGINS}}"#));
        let plugin = r#"[ $CNI_COMMAND != ADD ] || echo '{}'"#;
        bed.plugin("one", plugin);
        bed.plugin("two", plugin);
        let add = bed.run("add", "net");
        assert_eq!(add.status, Some(0), "{keys}: {add:?}");
        assert_eq!(bed.stdin("one", "ADD")["cniVersion"], version, "{keys}");
    }
}

#[test]
fn a_name_or_plugins_in_another_case_are_missing_and_named() {
    for (list, said, rule) in [
        (r#"{"Name": "net", "cniVersion": "1.0.0", "plugins": PLUGINS}"#, "no name", "key-by-case"),
        (
            r#"{"name": "net", "cniVersion": "1.0.0", "Plugins": PLUGINS}"#,
            "no plugin configs found",
            "key-by-case",
        ),
        (
            r#"{"name": "net", "loadOnlyInlinedPlugins": true, "cniVersion": "1.0.0", "Plugins": PLUGINS}"#,
            "write \"plugins\" instead of \"Plugins\"",
            "key-by-case",
        ),
    ] {
        let bed = with_list(list);
        let add = bed.run("add", "net");
        assert_eq!(add.status, Some(1), "{list}");
        assert!(add.stderr.contains(said), "{list}: {}", add.stderr);
        assert!(bed.calls().is_empty());
        assert_eq!(lint(&bed), [format!("error {rule}")], "{list}");
    }
}

#[test]
fn null_for_a_key_of_the_list_is_refused_by_loader_and_lint_alike() {
    for key in [
        "name",
        "cniVersion",
        "cniVersions",
        "disableCheck",
        "disableGC",
        "loadOnlyInlinedPlugins",
        "plugins",
    ] {
        let plugins: Value = serde_json::from_str(PLUGINS).unwrap();
        let mut list = json!({ "name": "net", "cniVersion": "1.0.0", "plugins": plugins });
        list[key] = Value::Null;
        let bed = with_list(&list.to_string());
        for verb in ["add", "check", "del"] {
            let run = bed.run(verb, "net");
            assert_eq!(run.status, Some(1), "{key}: {run:?}");
            assert!(run.stderr.contains("null"), "{key}: {}", run.stderr);
        }
        assert!(bed.calls().is_empty(), "{key}");
        assert!(lint(&bed).contains(&"error null".to_owned()), "{key}: {:?}", lint(&bed));
    }
    // In a file of a single plugin all keys are the plugin's.
    let bed = Bed::with_network("1.0.0");
    std::fs::remove_file(bed.path("net.d/net.conflist")).unwrap();
    bed.file("net.d/net.conf", r#"{"Name": "net", "CNIVersion": "1.0.0", "type": "one", "cniVersions": null, "dns": null}"#);
    assert_eq!(bed.run("add", "net").status, Some(0));
    assert_eq!(bed.stdin("one", "ADD")["cniVersion"], "1.0.0");
}

/// The reference takes the plugins from the folder, whatever else is in the list.
#[test]
fn a_list_without_plugins_has_those_of_its_folder() {
    for list in [
        r#"{"name": "net", "cniVersion": "1.0.0"}"#,
        r#"{"name": "net", "cniVersion": "1.0.0", "type": "one"}"#,
    ] {
        let bed = with_list(list);
        let add = bed.run("add", "net");
        assert_eq!(add.status, Some(1));
        assert!(add.stderr.contains("no plugin configs found"), "{}", add.stderr);
        assert_eq!(
            add.stderr.contains("must end in .conf"),
            list.contains("type"),
            "{}",
            add.stderr
        );
        assert!(lint(&bed).iter().any(|it| it.starts_with("error ")), "{list}");
        bed.file("net.d/net/10.conf", r#"{"type": "two"}"#);
        assert!(!lint(&bed).iter().any(|it| it.starts_with("error ")), "{list}: {:?}", lint(&bed));
        for (verb, call) in [("add", "ADD two"), ("check", "CHECK two"), ("del", "DEL two")] {
            let run = bed.run(verb, "net");
            assert_eq!(run.status, Some(0), "{list} {verb}: {run:?}");
            assert_eq!(bed.calls(), [call]);
        }
    }
}
