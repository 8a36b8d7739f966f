//! Finding networks in a folder.

use std::fs;

use libcni::runtime::NetworkConfig;

use crate::bed::{Bed, without};

fn conflist(name: &str, plugin: &str) -> String {
    format!(r#"{{"name": "{name}", "cniVersion": "1.0.0", "plugins": [{{"type": "{plugin}"}}]}}"#)
}

fn conf(name: &str, plugin: &str) -> String {
    format!(r#"{{"name": "{name}", "cniVersion": "0.4.0", "type": "{plugin}"}}"#)
}

/// The plugins of the network, or the error.
fn find(bed: &Bed, name: &str) -> Result<String, String> {
    let found = NetworkConfig::find(&bed.path("net.d"), name);
    let list = found.map_err(|error| without(&bed.path("net.d"), &error.to_string()))?;
    Ok(list.plugins.iter().map(|plugin| plugin.kind.to_string()).collect::<Vec<_>>().join(" "))
}

#[test]
fn lists_come_first_and_each_kind_in_the_order_of_names() {
    let bed = Bed::new();
    bed.file("net.d/20.conflist", &conflist("a", "second"));
    bed.file("net.d/10.conflist", &conflist("a", "first"));
    bed.file("net.d/00.conf", &conf("a", "single"));
    bed.file("net.d/31.conf", &conf("b", "conf"));
    bed.file("net.d/30.json", &conf("b", "json"));
    bed.file("net.d/sub/c.conf", &conf("c", "below"));
    bed.file("net.d/d.yaml", &conf("d", "other"));
    fs::create_dir(bed.path("net.d/folder.conflist")).unwrap();
    assert_eq!(find(&bed, "a").as_deref(), Ok("first"));
    assert_eq!(find(&bed, "b").as_deref(), Ok("json"));
    assert!(find(&bed, "c").is_err());
    let missing = r#"no net configuration with name "d" in DIR: existing networks: a, a, a, b, b"#;
    assert_eq!(find(&bed, "d"), Err(missing.to_owned()));
}

#[test]
fn an_empty_or_missing_folder_has_no_configurations() {
    let bed = Bed::new();
    let none = Err("no net configurations found in DIR".to_owned());
    assert_eq!(find(&bed, "a"), none);
    fs::remove_dir(bed.path("net.d")).unwrap();
    assert_eq!(find(&bed, "a"), none);
}

#[test]
fn a_malformed_file_before_the_one_looked_for_is_an_error_that_names_it() {
    let bed = Bed::new();
    bed.file("net.d/20.conflist", &conflist("a", "x"));
    bed.file("net.d/30.conflist", "{");
    assert_eq!(find(&bed, "a").as_deref(), Ok("x"));
    bed.file("net.d/10.conflist", "{\n\"name\": }");
    let said = find(&bed, "a").unwrap_err();
    assert_eq!(said, "DIR/10.conflist: line 2, column 9: expected value");
}

#[test]
fn a_list_in_a_file_for_single_plugins_is_an_error_with_the_remedy() {
    let bed = Bed::new();
    bed.file("net.d/a.conf", &conflist("a", "x"));
    let said = find(&bed, "a").unwrap_err();
    assert!(said.starts_with("DIR/a.conf: error parsing configuration: missing 'type'"), "{said}");
    assert!(said.contains("must end in .conflist"), "{said}");
}

#[test]
fn plugins_of_the_networks_folder_come_after_the_lists_own() {
    let bed = Bed::new();
    bed.file("net.d/a.conflist", &conflist("a", "own"));
    bed.file("net.d/a/20.conf", r#"{"type": "later"}"#);
    bed.file("net.d/a/10.conf", r#"{"type": "sooner"}"#);
    bed.file("net.d/a/05.json", r#"{"type": "ignored"}"#);
    bed.file("net.d/b.conflist", r#"{"name": "b"}"#);
    bed.file("net.d/b/1.conf", r#"{"type": "only"}"#);
    bed.file(
        "net.d/c.conflist",
        r#"{"name": "c", "loadOnlyInlinedPlugins": "true", "plugins": [{"type": "own"}]}"#,
    );
    bed.file("net.d/c/1.conf", r#"{"type": "ignored"}"#);
    assert_eq!(find(&bed, "a").as_deref(), Ok("own sooner later"));
    assert_eq!(find(&bed, "b").as_deref(), Ok("only"));
    assert_eq!(find(&bed, "c").as_deref(), Ok("own"));
    // What is cached of such a network is the whole of it.
    let whole = NetworkConfig::find(&bed.path("net.d"), "a").unwrap();
    assert_eq!(NetworkConfig::parse(whole.as_bytes()).unwrap().plugins, whole.plugins);
}

#[test]
fn a_list_without_plugins_anywhere_and_a_broken_one_in_its_folder_are_errors() {
    let bed = Bed::new();
    bed.file("net.d/a.conflist", r#"{"name": "a"}"#);
    assert_eq!(find(&bed, "a").unwrap_err(), "DIR/a.conflist: no plugin configs found");
    bed.file("net.d/a/1.conf", r#"{"name": "x"}"#);
    let said = find(&bed, "a").unwrap_err();
    assert_eq!(said, "DIR/a/1.conf: error parsing configuration: missing 'type'");
}

#[test]
fn all_networks_of_a_folder_are_there_and_a_bad_file_hides_no_other() {
    let bed = Bed::new();
    bed.file("net.d/10.conflist", &conflist("a", "one"));
    bed.file("net.d/20.conflist", "{");
    bed.file("net.d/30.conflist", &conflist("b", "two"));
    bed.file("net.d/00.conf", &conf("c", "three"));
    bed.file("net.d/40.conf", r#"{"type": "nameless"}"#);
    bed.file("net.d/50.json", r#"{"name": "d"}"#);
    let all = NetworkConfig::all(&bed.path("net.d")).unwrap();
    let shown = all.iter().map(|(file, list)| {
        let file = file.file_name().unwrap().to_str().unwrap();
        match list {
            Ok(list) => format!("{file} {}", list.name),
            Err(error) => without(&bed.path("net.d"), &error.to_string()),
        }
    });
    let expected = [
        "10.conflist a",
        "DIR/20.conflist: line 1, column 1: EOF while parsing an object",
        "30.conflist b",
        "00.conf c",
        "DIR/50.json: error parsing configuration: missing 'type'",
    ];
    assert_eq!(shown.collect::<Vec<_>>(), expected);
    assert_eq!(NetworkConfig::all(&bed.path("missing")), Ok(Vec::new()));
    assert!(NetworkConfig::all(&bed.path("net.d/10.conflist")).is_err());
}
