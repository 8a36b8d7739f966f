//! Checks the keys that libcni itself reads: the keys of a list, its name and its plugins.

use libcni::NetworkName;
use serde_json::Value as Json;

use crate::lint::document::{Node, Value};
use crate::lint::files::{File, Kind, Place};
use crate::lint::known;
use crate::lint::network::{Network, beginning};
use crate::lint::problem::Problem;
use crate::lint::schema::{self, Schema, View};
use crate::lint::suggest::nearest;

/// The keys of a list that libcni reads.
const READ: [&str; 7] = [
    "cniVersion",
    "cniVersions",
    "disableCheck",
    "disableGC",
    "loadOnlyInlinedPlugins",
    "name",
    "plugins",
];

const SWITCHES: [&str; 3] = ["disableCheck", "disableGC", "loadOnlyInlinedPlugins"];

/// The schema of a list.
pub fn keys() -> Json {
    serde_json::from_str(include_str!("list.schema.json")).unwrap_or_default()
}

/// Checks the keys of a network outside its plugins. Returns whether the plugins can be checked.
/// Some plugins may be in the network's folder.
pub fn check(
    file: &File,
    has_folder: bool,
    list_keys: &Json,
    plugin_keys: &Json,
    problems: &mut Vec<Problem>,
) -> bool {
    let Some(root) = &file.root else { return false };
    if !root.is_object() {
        problems.push(
            Problem::error(
                "not-an-object",
                &beginning(root),
                format!("expected an object, found {}", root.kind()),
            )
            .why("the runtime refuses the file")
            .help("write { \"cniVersion\": \"1.0.0\", \"name\": .., \"plugins\": [ .. ] }"),
        );
        return false;
    }
    match file.kind {
        Kind::Single => {
            if root.get("plugins").is_some() && root.get("type").is_none() {
                problems.push(wrong_kind(
                    file,
                    root,
                    "this file contains a list of plugins, but its name does not end in .conflist",
                    "runtimes read it as a single plugin, and refuse it: \"missing 'type'\"",
                    "conflist",
                ));
                return false;
            }
            if needs_name(file, root) {
                name(root, false, problems);
            }
        }
        Kind::List => {
            if !root.has("plugins") && root.get("type").is_some() && !has_folder {
                problems.push(wrong_kind(
                    file,
                    root,
                    "this file contains a single plugin, but its name ends in .conflist",
                    "runtimes read it as a list, and find no plugins in it",
                    "conf",
                ));
                return false;
            }
            spelling(root, problems);
            nulls(root, problems);
            let all = known::other_schemas("").map(|(_, keys)| keys).chain([plugin_keys]);
            let place = "move it into the object of a plugin";
            let elsewhere = all.map(|keys| (Schema::new(keys, ""), place.to_owned())).collect();
            let own = vec![Schema::new(list_keys, "libcni")];
            schema::check(root, &View { own, elsewhere, ..View::default() }, None, problems);
            switches(root, problems);
            if needs_name(file, root) {
                name(root, true, problems);
            }
            plugins(root, problems);
        }
        Kind::Part | Kind::Manifest | Kind::Ignored | Kind::Folder => {}
    }
    true
}

/// Whether a configuration needs a name. A plugin of a chain has the name of the chain, and a
/// network in a Kubernetes object can have the name of the object.
fn needs_name(file: &File, root: &Node) -> bool {
    match file.place {
        Place::Whole => true,
        // There, an empty name counts as absent.
        Place::Attachment(_) => root.has("name") && root.text_of("name") != Some(""),
        Place::Chain => false,
    }
}

fn wrong_kind(file: &File, root: &Node, what: &str, why: &str, end: &str) -> Problem {
    let renamed = file.path.with_extension(end);
    let renamed = renamed.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Problem::error("wrong-kind", &beginning(root), what)
        .why(why)
        .help(format!("rename it to {renamed}"))
}

/// libcni matches the keys of a list exactly; plugins match theirs in any case.
fn spelling(root: &Node, problems: &mut Vec<Problem>) {
    let keys = keys();
    let known: Vec<&str> = Schema::new(&keys, "").keys().collect();
    for member in root.members() {
        let Some(exact) = known.iter().find(|known| member.key.eq_ignore_ascii_case(known)) else {
            continue;
        };
        // Another check reports two keys that differ only in case.
        if root.members().iter().any(|member| member.key == **exact) {
            continue;
        }
        let what = format!("libcni does not find {exact:?}");
        let (problem, then) = match *exact {
            "name" | "plugins" => (Problem::error("key-by-case", &member.key_at, what), ""),
            _ => {
                (Problem::warning("key-by-case", &member.key_at, what), ", so this one is ignored")
            }
        };
        problems.push(
            problem
                .why(format!(
                    "the keys of a list must match exactly; only keys of plugins match in any \
                     case{then}"
                ))
                .help(format!("write {exact:?}")),
        );
    }
}

/// For libcni `null` does not count as absent; for plugins it does.
fn nulls(root: &Node, problems: &mut Vec<Problem>) {
    for member in root.members() {
        if READ.contains(&member.key.as_str()) && matches!(member.node.value, Value::Null) {
            problems.push(
                Problem::error("null", &member.node.at, "null is not allowed here")
                    .why(
                        "libcni refuses the file: null counts as absent only in the object of a \
                         plugin",
                    )
                    .help("remove the key, or give it a value"),
            );
        }
    }
}

fn switches(root: &Node, problems: &mut Vec<Problem>) {
    for node in SWITCHES.iter().filter_map(|key| root.exact(key)).map(|member| &member.node) {
        let Some(text) = node.text() else { continue };
        if ["true", "false"].contains(&text.to_lowercase().as_str()) {
            continue;
        }
        problems.push(
            Problem::error("not-allowed", &node.at, format!("{text:?} is not allowed here"))
                .why("libcni refuses it")
                .help("write true or false"),
        );
    }
}

/// Checks the network's name, which becomes part of file names, links and rules.
fn name(root: &Node, is_list: bool, problems: &mut Vec<Problem>) {
    let refused = "runtimes and plugins refuse a network without a name";
    let Some(name) = root.member("name").map(|member| &member.node) else {
        if root.has("name") && is_list {
            // Another check reports `null`.
            return;
        }
        let near = nearest("name", root.members().iter().map(|member| member.key.as_str()));
        let meant = root.members().iter().find(|member| Some(member.key.as_str()) == near);
        let problem = match meant {
            Some(member) => Problem::error("name", &member.key_at, "\"name\" is missing")
                .label("did you mean \"name\"?"),
            None => Problem::error("name", &beginning(root), "\"name\" is missing"),
        };
        problems.push(problem.why(refused).help("add a unique name: \"name\": \"..\""));
        return;
    };
    let Some(text) = name.text() else {
        // The check against the schema reports another type.
        return;
    };
    if text.is_empty() {
        problems.push(
            Problem::error("name", &name.at, "the name is empty")
                .why(refused)
                .help("give each network a unique name"),
        );
    } else if NetworkName::new(text).is_err() {
        problems.push(
            Problem::error("name", &name.at, format!("{text:?} cannot be the name of a network"))
                .why("it becomes the name of files and links, and plugins refuse it")
                .help(
                    "use letters, digits, \"_\", \".\" and \"-\", beginning with a letter or digit",
                ),
        );
    }
}

fn plugins(root: &Node, problems: &mut Vec<Problem>) {
    let none = |problem: Problem| problem.why("the runtime refuses a network without plugins");
    match root.exact("plugins").map(|member| &member.node) {
        None if root.has("plugins") => {}
        None => {
            let only_inlined = root.is_switched_on("loadOnlyInlinedPlugins");
            // Otherwise all plugins can be in the folder with the network's name, which is checked
            // later.
            if only_inlined {
                problems.push(
                    none(Problem::error(
                        "no-plugins",
                        &beginning(root),
                        "\"plugins\" is missing",
                    ))
                    .help(
                        "add \"plugins\": [ .. ]; with loadOnlyInlinedPlugins all plugins are in \
                         the list itself",
                    ),
                );
            }
        }
        Some(Node { at, value: Value::List(items) }) if items.is_empty() => {
            problems.push(
                none(Problem::error("no-plugins", at, "the list of plugins is empty"))
                    .help("add a plugin: { \"type\": \"bridge\", .. }"),
            );
        }
        Some(_) => {}
    }
}

/// Reports a network without any plugin, neither in the list nor in the folder beside it.
pub fn without_plugins(network: &Network<'_>) -> Option<Problem> {
    let root = network.root;
    if root.is_switched_on("loadOnlyInlinedPlugins") {
        return None;
    }
    let near = nearest("plugins", root.members().iter().map(|member| member.key.as_str()));
    let meant = root.members().iter().find(|member| Some(member.key.as_str()) == near);
    let problem = match meant {
        Some(member) => Problem::error("no-plugins", &member.key_at, "\"plugins\" is missing")
            .label("did you mean \"plugins\"?"),
        None => Problem::error("no-plugins", &beginning(root), "\"plugins\" is missing"),
    };
    let beside = match network.name() {
        "" => String::new(),
        folder => format!("; there are no files {folder}/*.conf beside it either"),
    };
    Some(
        problem
            .why(format!("the runtime refuses a network without plugins{beside}"))
            .help("add \"plugins\": [ .. ]"),
    )
}
