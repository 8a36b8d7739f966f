//! Keeps the parts of the documentation that repeat the code correct: tables of keys, plans, the
//! list of plugins, and examples.
//!
//! The text between `<!-- KIND ARGUMENT -->` and `<!-- /KIND -->` is generated here. With
//! `UPDATE_DOCS=1` the pages are written, otherwise compared.
#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

use libcni::Manual;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The pages with generated parts or examples.
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
fn generated_parts_match_the_code() {
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

/// A page with its generated parts regenerated.
fn remade(page: &str) -> String {
    let (mut text, mut rest) = (String::new(), page);
    while let Some((before, from)) = rest.split_once("<!-- ") {
        let (mark, inside) = from.split_once(" -->").expect("the end of a mark");
        let (kind, argument) = mark.split_once(' ').unwrap_or((mark, ""));
        let (_, after) =
            inside.split_once(&format!("<!-- /{kind} -->")).expect("the end of a part");
        let part = match kind {
            "keys" => keys(&schema(argument)),
            "plan" => plan(&read(&format!("plugins/tests/snapshots/{argument}.snap"))),
            "plugins" => plugins(),
            "pages" => links(),
            "missing" => missing(),
            "status" => status(),
            "differences" => differences(),
            "figures" => figures(),
            // A test in the lab generates it.
            "packets" => {
                inside.split_once('\n').unwrap().1.split_once("<!-- /").unwrap().0.to_owned()
            }
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

/// Every plugin of the suite.
fn manuals() -> impl Iterator<Item = Manual> {
    let plugins = ferrocni::PLUGINS.iter().map(|plugin| plugin.manual);
    plugins.chain(ipam::PLUGINS.iter().copied())
}

fn schema(plugin: &str) -> Value {
    let manual = manuals().find(|manual| manual.name == plugin);
    serde_json::from_str(manual.unwrap_or_else(|| panic!("{plugin}: no such plugin")).schema)
        .unwrap()
}

/// The names of all plugins, in alphabetical order.
fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = manuals().map(|manual| manual.name).collect();
    names.sort_unstable();
    names
}

/// The plugins, each with its page.
fn plugins() -> String {
    let mut rows: Vec<String> = manuals()
        .map(|Manual { name, summary, .. }| {
            let page = format!("docs/plugins/{name}.md");
            assert!(root().join(&page).is_file(), "{name} has no page {page}");
            format!("| [{name}]({page}) | {summary} |\n")
        })
        .collect();
    rows.sort();
    format!("| plugin | what it does |\n|---|---|\n{}", rows.concat())
}

/// The plugins' pages, for the index in `docs/`.
fn links() -> String {
    names().into_iter().map(|name| format!("- [{name}](plugins/{name}.md)\n")).collect()
}

/// The plugins of the reference suite, release 1.9.1.
const REFERENCE: [&str; 18] = [
    "portmap",
    "firewall",
    "bandwidth",
    "tuning",
    "sbr",
    "vrf",
    "bridge",
    "ptp",
    "macvlan",
    "ipvlan",
    "vlan",
    "host-device",
    "tap",
    "dummy",
    "loopback",
    "host-local",
    "static",
    "dhcp",
];

/// The plugins of the reference suite that this suite does not have.
fn missing() -> String {
    let ours = names();
    let missing: Vec<_> = REFERENCE.into_iter().filter(|name| !ours.contains(name)).collect();
    format!("{}.\n", missing.join(", "))
}

/// The conditions of STATUS on the plugins' pages, as one table.
fn status() -> String {
    let mut rows = String::from(
        "| plugin | condition | STATUS | next ADD | also reported by |\n|---|---|---|---|---|\n",
    );
    for (name, section) in sections("STATUS") {
        let lines = section.lines().filter(|line| line.starts_with("| ")).skip(1);
        rows.extend(lines.map(|line| format!("| {name} {line}\n")));
    }
    rows
}

/// The differences on the plugins' pages, one section for each plugin.
fn differences() -> String {
    let of_plugin = |(name, section): (_, String)| format!("## {name}\n\n{section}\n");
    let all: Vec<String> =
        sections("Differences from the reference plugin").map(of_plugin).collect();
    all.join("\n")
}

/// The text of a section of each plugin's page that has one, with links as in `docs/`.
fn sections(title: &str) -> impl Iterator<Item = (&'static str, String)> {
    names().into_iter().filter_map(move |name| {
        let page = read(&format!("docs/plugins/{name}.md"));
        let (_, from) = page.split_once(&format!("\n## {title}\n"))?;
        let section = from.split("\n## ").next()?.trim();
        Some((name, moved(section, name)))
    })
}

/// A part of a plugin's page with its links as in `docs/`.
fn moved(text: &str, plugin: &str) -> String {
    let mut parts = text.split("](");
    let mut moved = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        moved += &match part {
            outside if outside.split(')').next().unwrap().contains("://") => format!("]({outside}"),
            here if here.starts_with('#') => format!("](plugins/{plugin}.md{here}"),
            other => match other.strip_prefix("../") {
                Some(above) => format!("]({above}"),
                None => format!("](plugins/{other}"),
            },
        };
    }
    moved
}

/// The cases of `bench/results.json` that the comparison shows, and their verbs.
const FIGURES: [(&str, &str); 11] = [
    ("bridge", "ADD"),
    ("bridge", "DEL"),
    ("bridge-masq", "ADD"),
    ("bridge-masq", "DEL"),
    ("ptp-masq", "ADD"),
    ("macvlan", "ADD"),
    ("loopback", "ADD"),
    ("chain", "ADD"),
    ("gc", "GC"),
    ("host-local-0", "ADD"),
    ("host-local-50000", "ADD"),
];

/// Medians of a call, in milliseconds.
fn figures() -> String {
    let results: Value = serde_json::from_str(&read("bench/results.json")).unwrap();
    let suites = ["ferrocni", "reference 1.9.1", "reference 1.9.1 nftables"];
    let rows = results["rows"].as_array().unwrap();
    let mut text = String::from(
        "| call | ferrocni | reference 1.9.1 | the same, nftables |\n|---|---|---|---|\n",
    );
    for (case, verb) in FIGURES {
        let row = rows.iter().find(|row| row["case"] == case && row["verb"] == verb).unwrap();
        let figures = row["figures"].as_array().unwrap();
        let median = |suite: &str| {
            let figure = figures.iter().find(|figure| figure["label"] == suite);
            figure.map_or(String::new(), |it| format!("{:.1}", it["median"].as_f64().unwrap()))
        };
        let medians = suites.map(median).join(" | ");
        text += &format!("| {verb}: {} | {medians} |\n", row["title"].as_str().unwrap());
    }
    text
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
        // An object is described by its keys.
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

/// The possible values: "boolean, `false` if not given".
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

/// Validates a configuration against a plugin's schema.
fn assert_fits(config: &Value, plugin: &str, page: &str) {
    jsonschema::validate(&schema(plugin), config)
        .unwrap_or_else(|error| panic!("{page}: {plugin}: {error}"));
}

/// The target of every link exists.
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
