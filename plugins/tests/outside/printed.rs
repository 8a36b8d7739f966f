//! Errors quote foreign text without its control characters, and not all of it.

use serde_json::{Value, json};
use testbed::{Cni, Outcome, binary};

use crate::{kind, plugins};

/// 100 kB that would clear a terminal, end a line and end a string of C.
fn hostile() -> String {
    "\u{1b}[2J\n\0x".repeat(15_000)
}

/// Checks that an error is short, and that its only control characters are the newlines between its
/// lines.
#[track_caller]
fn is_fit(outcome: &Outcome, what: &str) {
    let Outcome { stdout, stderr, .. } = outcome;
    assert!(stderr.len() < 4096, "{what}: {} bytes on standard error", stderr.len());
    if outcome.status.success() {
        return;
    }
    let error: Value = serde_json::from_str(stdout).unwrap();
    let text = |key: &str| error[key].as_str().unwrap_or_default().to_owned();
    let length = text("msg").len() + text("details").len();
    assert!(length < 4096, "{what}: {length} bytes: {error}");
    assert!(!text("msg").contains(char::is_control), "{what}: {error}");
    let is_unfit = |c: char| c.is_control() && c != '\n';
    assert!(!text("details").contains(is_unfit), "{what}: {error}");
    assert!(!stderr.contains(is_unfit), "{what}: {stderr}");
}

/// The path of every key of a schema, including keys of nested objects and lists.
fn keys(schema: &Value, root: &Value, path: &[String], found: &mut Vec<Vec<String>>) {
    let schema = resolved(schema, root);
    if let Some(items) = schema.get("items") {
        keys(items, root, &[path, &["0".to_owned()]].concat(), found);
    }
    for (key, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten()
    {
        let path = [path, std::slice::from_ref(key)].concat();
        if path.len() < 6 {
            keys(property, root, &path, found);
        }
        found.push(path);
    }
}

fn resolved<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let one_of = schema.get("anyOf").and_then(Value::as_array);
    let schema = one_of.map_or(schema, |options| &options[0]);
    let path = schema.get("$ref").and_then(Value::as_str);
    path.map_or(schema, |path| root.pointer(&path[1..]).unwrap())
}

/// Sets the value at a path, and creates missing lists and objects.
fn set(config: &mut Value, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else { return *config = value };
    if first == "0" {
        if !config.is_array() {
            *config = json!([null]);
        }
        return set(&mut config[0], rest, value);
    }
    if !config.is_object() {
        *config = json!({});
    }
    set(&mut config[first], rest, value);
}

fn schema(plugin: &str) -> Value {
    let output = std::process::Command::new(binary(plugin)).arg("--schema").output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn errors_about_keys_are_short_and_clean() {
    let of_ipam = schema("host-local");
    for config in plugins() {
        let of_plugin = schema(kind(&config));
        let (mut paths, mut below) = (Vec::new(), Vec::new());
        keys(&of_plugin, &of_plugin, &[], &mut paths);
        keys(&of_ipam, &of_ipam, &["ipam".to_owned()], &mut below);
        paths.extend(below);
        for key in ["cniVersion", "name", "type", "prevResult", "runtimeConfig", "args", "dns"] {
            paths.push(vec![key.to_owned()]);
        }
        assert!(paths.len() > 15, "{paths:?}");
        for path in paths {
            let mut config = config.clone();
            set(&mut config, &path, json!(hostile()));
            let call = Cni::new(kind(&plugins_named(&config))).conf(&config);
            for verb in ["ADD", "DEL", "STATUS", "PLAN"] {
                let call = call.clone().env("CNI_NETNS", "/run/netns/none");
                is_fit(&call.raw(verb), &format!("{path:?} {verb}"));
            }
        }
    }
}

/// The configuration itself. If its type was replaced, another plugin reads it.
fn plugins_named(config: &Value) -> Value {
    match config["type"].as_str() {
        Some(kind) if kind.len() < 20 => config.clone(),
        _ => plugins()[0].clone(),
    }
}

#[test]
fn errors_about_keys_of_the_wrong_name_are_short_and_clean() {
    let mut config = plugins()[0].clone();
    config["capabilities"] = json!({ hostile(): 5 });
    is_fit(
        &Cni::new("bridge").conf(&config).env("CNI_NETNS", "/run/netns/none").add(),
        "a capability",
    );
}

#[test]
fn errors_about_the_environment_are_short_and_clean() {
    // A variable cannot contain NUL.
    let value = hostile().replace('\0', "\u{7}");
    let call = Cni::new("bridge").conf(&plugins()[0]).env("CNI_NETNS", "/run/netns/none");
    for variable in [
        "CNI_CONTAINERID",
        "CNI_IFNAME",
        "CNI_NETNS",
        "CNI_ARGS",
        "CNI_PATH",
        "CNI_COMMAND",
        "FERROCNI_TIMEOUT",
    ] {
        is_fit(&call.clone().env(variable, &value).add(), variable);
    }
}

#[test]
fn cnitool_prints_no_control_characters_of_others() {
    let value = hostile().replace('\0', "\u{7}");
    let tool = |args: &[&str]| {
        let output = std::process::Command::new(binary("cnitool")).args(args).output().unwrap();
        assert!(!output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for args in [
        ["add", &value, "/run/netns/none"],
        ["add", "pods", &value],
        [&value, "pods", "/run/netns/none"],
        ["add", "pods", &format!("--{value}")],
    ] {
        let text = tool(&args);
        assert!(text.len() < 4096, "{} bytes", text.len());
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text}");
    }
}
