//! The modules of each crate depend on each other in one direction: modules of one parent form no
//! circle. A module and its submodules are one unit here.
#![cfg(test)]

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use source::Crate;

/// The modules that a module uses, each with an example.
type Graph = BTreeMap<String, BTreeMap<String, String>>;

/// The libraries and programs of the workspace: name and first source file.
fn roots() -> Vec<(String, PathBuf)> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--locked", "--format-version", "1"])
        .current_dir(workspace)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let targets = packages.flat_map(|package| package["targets"].as_array().unwrap());
    let is_product = |target: &&Value| {
        let kinds = target["kind"].as_array().unwrap();
        kinds.iter().any(|kind| kind == "lib" || kind == "bin")
    };
    let text = |target: &Value, key: &str| target[key].as_str().unwrap().to_owned();
    let root = |target: &Value| (text(target, "name"), text(target, "src_path").into());
    targets.filter(is_product).map(root).collect()
}

/// The graph of the modules of one parent. Each node includes its submodules.
fn siblings(all: &Crate, parent: &[String]) -> Graph {
    let mut graph = Graph::new();
    let child = |path: &[String]| path.strip_prefix(parent).and_then(|rest| rest.first().cloned());
    for (from, to) in all.uses() {
        if let (Some(one), Some(other)) = (child(&from), child(&to))
            && one != other
        {
            let example = format!("{} uses {}", from.join("::"), to.join("::"));
            graph.entry(one).or_default().entry(other).or_insert(example);
        }
    }
    graph
}

/// All modules that a module depends on, directly or not.
fn reach(graph: &Graph, from: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(module) = open.pop() {
        for next in graph.get(&module).into_iter().flat_map(BTreeMap::keys) {
            if found.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    found
}

/// The dependencies that are part of a circle, with their examples.
fn circular(graph: &Graph) -> Vec<String> {
    let reached: BTreeMap<&String, BTreeSet<String>> =
        graph.keys().map(|module| (module, reach(graph, module))).collect();
    let edges = graph.iter().flat_map(|(from, to)| to.iter().map(move |edge| (from, edge)));
    let is_circular =
        |from: &String, to: &String| reached.get(to).is_some_and(|reached| reached.contains(from));
    edges
        .filter(|(from, (to, _))| is_circular(from, to))
        .map(|(from, (to, example))| format!("  {from} -> {to}: {example}"))
        .collect()
}

#[test]
fn modules_form_no_circles() {
    let mut found = Vec::new();
    for (name, root) in roots() {
        let all = Crate::read(&root);
        for parent in all.modules() {
            let circles = circular(&siblings(&all, parent));
            if !circles.is_empty() {
                let parent = parent.join("::");
                found.push(format!("{name} {parent}:\n{}", circles.join("\n")));
            }
        }
    }
    assert!(found.is_empty(), "modules that depend on each other:\n{}", found.join("\n"));
}

#[test]
fn a_circle_is_found() {
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(root.path().join(name), text).unwrap();
    write("lib.rs", "mod one; mod two; mod three; pub use two::Two;");
    write("one.rs", "use crate::Two; pub struct One(Two);");
    write("two.rs", "use super::one::One; use crate::three; pub struct Two(Vec<One>, three::A);");
    write("three.rs", "#[cfg(test)] mod tests { use crate::one::One; } pub struct A;");
    let all = Crate::read(&root.path().join("lib.rs"));
    assert_eq!(
        circular(&siblings(&all, &[])),
        ["  one -> two: one uses two", "  two -> one: two uses one"]
    );
}
