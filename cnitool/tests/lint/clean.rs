//! What has no mistakes is said to be clean: every example of the documentation, and configurations
//! as they are found.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::{Bed, copy, entries, folder, name};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All files below a folder whose names end like this.
fn below(folder: &Path, end: &str) -> Vec<PathBuf> {
    let (folders, files): (Vec<_>, Vec<_>) =
        entries(folder).into_iter().partition(|path| path.is_dir());
    let mut found: Vec<_> = files.into_iter().filter(|path| name(path).ends_with(end)).collect();
    found.extend(folders.iter().flat_map(|folder| below(folder, end)));
    found
}

/// The blocks of JSON in a page, or in the documentation of a source.
fn blocks(page: &str) -> Vec<String> {
    let bare = |line: &str| line.trim_start().trim_start_matches("//!").to_owned();
    let (mut blocks, mut block) = (Vec::new(), None);
    for line in page.lines().map(bare) {
        match (line.trim(), &mut block) {
            ("```json", None) => block = Some(String::new()),
            ("```", Some(text)) => {
                blocks.push(std::mem::take(text));
                block = None;
            }
            (_, Some(text)) => *text += &format!("{line}\n"),
            _ => {}
        }
    }
    blocks
}

/// Networks in pages and sources, and as files: what each is from, its kind, its text.
fn examples() -> Vec<(String, &'static str, String)> {
    let root = root();
    let mut pages = below(&root.join("docs"), ".md");
    pages.push(root.join("README.md"));
    let mut sources = below(&root.join("plugins"), ".rs");
    sources.extend(below(&root.join("ipam"), ".rs"));
    sources.retain(|path| !path.to_str().unwrap().contains("/tests/"));
    let mut found = Vec::new();
    for path in pages.iter().chain(&sources) {
        let from = path.strip_prefix(&root).unwrap().display().to_string();
        for text in blocks(&fs::read_to_string(path).unwrap()) {
            let value: Value = serde_json::from_str(&text).unwrap_or_default();
            match (value.get("plugins"), value.get("type"), value.get("name")) {
                (Some(_), _, _) => found.push((from.clone(), "conflist", text)),
                (None, Some(kind), Some(_)) if is_chained(kind) => {
                    found.push((from.clone(), "conflist", behind_bridge(&value)));
                }
                // Those of host-local stand in an object of a plugin, without ranges of their own.
                (None, Some(_), Some(_)) => found.push((from.clone(), "conf", text)),
                _ => {}
            }
        }
    }
    for path in below(&root.join("docs"), ".conflist") {
        found.push((name(&path), "conflist", fs::read_to_string(&path).unwrap()));
    }
    found
}

fn is_chained(kind: &Value) -> bool {
    let is_it = |entry: &&ferrocni::Entry| kind == entry.manual.name;
    let entry = ferrocni::PLUGINS.iter().find(is_it);
    entry.is_some_and(|entry| entry.role == ferrocni::Role::Chained)
}

/// The configuration of a chained plugin in a list, after the plugin that makes the interface.
fn behind_bridge(config: &Value) -> String {
    let mut chained = config.clone();
    let keys = chained.as_object_mut().unwrap();
    keys.remove("prevResult");
    let (version, name) = (keys.remove("cniVersion"), keys.remove("name"));
    let ipam = json!({ "type": "host-local", "subnet": "10.1.2.0/24" });
    let bridge = json!({ "type": "bridge", "ipam": ipam });
    json!({ "cniVersion": version, "name": name, "plugins": [bridge, chained] }).to_string()
}

#[test]
fn examples_of_the_documentation_are_clean() {
    let examples = examples();
    let lists = examples.iter().filter(|(_, kind, _)| *kind == "conflist").count();
    assert!(lists >= 8 && examples.len() >= 14, "{lists} lists of {}", examples.len());
    for (from, kind, text) in examples {
        let (bed, file) = (Bed::new(), format!("example.{kind}"));
        bed.write(&file, text);
        let run = bed.lint(&["--no-host", "--path", "plugins:reference", &file]);
        assert_eq!(
            (run.status, &*run.stdout),
            (Some(0), "1 file, clean\n"),
            "{from}\n{}",
            run.stdout
        );
    }
}

#[test]
fn configurations_as_they_are_found_are_clean() {
    let all = entries(&folder().join("good"));
    assert!(all.len() >= 12, "{} files", all.len());
    for path in all {
        let (bed, file) = (Bed::new(), name(&path));
        copy(&path, &bed.path(&file));
        // Without plugins, because most of these are others'.
        let run = bed.lint(&["--no-host", &file]);
        assert_eq!(
            (run.status, &*run.stdout),
            (Some(0), "1 file, clean\n"),
            "{file}\n{}",
            run.stdout
        );
    }
}
