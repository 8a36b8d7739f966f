//! What the documentation repeats of the code stays true: tables of keys, plans, the list of plugins, and examples.
//!
//! What stands between `<!-- KIND ARGUMENT -->` and `<!-- /KIND -->` is made here. With `UPDATE_DOCS=1` the pages are
//! written, otherwise compared.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a panic is how it reports"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The pages that have made parts or examples.
fn pages() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned()];
    for folder in ["docs", "docs/examples", "docs/plugins"] {
        let entries = fs::read_dir(root().join(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        pages.extend(
            names.filter(|name| name.ends_with(".md")).map(|name| format!("{folder}/{name}")),
        );
    }
    pages.sort();
    pages
}

#[test]
fn made_parts_are_what_the_code_says() {
    for page in pages() {
        let text = read(&page);
        let made = remade(&text);
        if text != made && std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(root().join(&page), &made).unwrap();
            continue;
        }
        let changes = testbed::diff(&text, &made);
        assert!(changes.is_empty(), "{page}: run this test with UPDATE_DOCS=1\n{changes}");
    }
}

/// A page with its made parts made anew.
fn remade(page: &str) -> String {
    let (mut text, mut rest) = (String::new(), page);
    while let Some((before, from)) = rest.split_once("<!-- ") {
        let (mark, inside) = from.split_once(" -->").expect("the end of a mark");
        let (kind, argument) = mark.split_once(' ').unwrap_or((mark, ""));
        let (_, after) =
            inside.split_once(&format!("<!-- /{kind} -->")).expect("the end of a part");
        let part = match kind {
            "keys" => keys(&serde_json::from_str(&read(argument)).unwrap()),
            "plan" => plan(&read(&format!("plugins/tests/snapshots/{argument}.snap"))),
            "plugins" => plugins(),
            other => panic!("{other}: no such part"),
        };
        text += &format!("{before}<!-- {mark} -->\n{part}<!-- /{kind} -->");
        rest = after;
    }
    text + rest
}

/// The host's and the container's commands of a snapshot.
fn plan(snapshot: &str) -> String {
    let shown = snapshot.split("---\n").nth(2).expect("a snapshot after its header");
    let lines = shown.lines().take_while(|line| !line.starts_with("result"));
    let lines: String = lines.map(|line| format!("{line}\n")).collect();
    format!("```text\n{lines}```\n")
}

/// The built plugins, by what they say of themselves when they are run without a command.
fn plugins() -> String {
    let mut rows = Vec::new();
    for entry in fs::read_dir(testbed::bin()).unwrap() {
        let output =
            Command::new(entry.unwrap().path()).env_remove("CNI_COMMAND").output().unwrap();
        let about = String::from_utf8(output.stderr).unwrap();
        let Some(about) = about.lines().next().and_then(|line| line.strip_prefix("CNI ")) else {
            continue;
        };
        let (name, summary) = about.split_once(": ").unwrap();
        let name = name.split(' ').next().unwrap();
        let page = format!("docs/plugins/{name}.md");
        assert!(root().join(&page).is_file(), "{name} has no page {page}");
        rows.push(format!("| [{name}]({page}) | {summary} |\n"));
    }
    rows.sort();
    format!("| plugin | what it does |\n|---|---|\n{}", rows.concat())
}

/// The keys of a JSON Schema as a table.
fn keys(schema: &Value) -> String {
    let mut rows = Vec::new();
    describe(schema, schema, "", &mut rows);
    match rows.is_empty() {
        true => "It has none of its own.\n".to_owned(),
        false => format!("| key | value | meaning |\n|---|---|---|\n{}", rows.concat()),
    }
}

fn describe(schema: &Value, root: &Value, path: &str, rows: &mut Vec<String>) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let mut properties: Vec<(&String, &Value)> = properties.iter().collect();
    properties.sort_by_key(|(key, _)| key.to_lowercase());
    for (key, property) in properties {
        let (path, mut inner) = (format!("{path}{key}"), resolve(property, root));
        let mut lists = String::new();
        while type_of(inner) == "array" {
            inner = resolve(&inner["items"], root);
            lists += "[]";
        }
        // An object is its keys.
        if inner["properties"].is_object() {
            describe(inner, root, &format!("{path}{lists}."), rows);
            continue;
        }
        let meaning =
            property["description"].as_str().expect(&path).replace('|', "\\|").replace('\n', " ");
        rows.push(format!(
            "| `{path}{lists}` | {} | {meaning} |\n",
            value(inner, &property["default"])
        ));
    }
}

/// What can be given: "boolean, `false` if not given".
fn value(schema: &Value, default: &Value) -> String {
    match default {
        Value::Null | Value::Array(_) | Value::Object(_) => type_of(schema).to_owned(),
        default => format!("{}, `{default}` if not given", type_of(schema)),
    }
}

/// The type of a value that is not null.
fn type_of(schema: &Value) -> &str {
    match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        one => one.as_str(),
    }
    .unwrap_or("any")
}

/// Follows a reference, also that of an optional key.
fn resolve<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let schema = schema["anyOf"].get(0).unwrap_or(schema);
    match schema["$ref"].as_str() {
        Some(path) => root.pointer(path.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

#[test]
fn examples_are_configurations() {
    let mut seen = 0;
    for page in pages() {
        for block in read(&page).split("```json\n").skip(1) {
            let block = block.split("```").next().unwrap();
            let example: Value = serde_json::from_str(block)
                .unwrap_or_else(|error| panic!("{page}: {error}\n{block}"));
            for plugin in example["plugins"].as_array().into_iter().flatten() {
                assert_fits(plugin, plugin["type"].as_str().unwrap(), &page);
                if let Some(ipam) = plugin["ipam"]["type"].as_str() {
                    assert_fits(plugin, ipam, &page);
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 3, "only {seen} examples were found");
}

/// Checks a configuration by a plugin's schema.
fn assert_fits(config: &Value, plugin: &str, page: &str) {
    let output = Command::new(testbed::binary(plugin))
        .arg("--schema")
        .env_remove("CNI_COMMAND")
        .output()
        .unwrap();
    let schema = serde_json::from_slice(&output.stdout).unwrap();
    jsonschema::validate(&schema, config)
        .unwrap_or_else(|error| panic!("{page}: {plugin}: {error}"));
}

/// Links lead somewhere.
#[test]
fn links_between_pages_lead_somewhere() {
    for page in pages().into_iter().chain(["ARCHITECTURE.md".to_owned()]) {
        let folder = root().join(&page).parent().unwrap().to_owned();
        for link in
            read(&page).split("](").skip(1).map(|link| link.split([')', '#']).next().unwrap())
        {
            let outside = link.contains("://") || link.is_empty();
            assert!(outside || folder.join(link).exists(), "{page}: {link} leads nowhere");
        }
    }
}
