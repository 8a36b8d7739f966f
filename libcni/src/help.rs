//! What a plugin says of itself to a person: made from its manual, and the keys from its JSON
//! Schema.

use serde_json::Value;

use crate::{Manual, Version};

/// The width that help is wrapped at, in columns.
const WIDTH: usize = 100;

/// What a plugin prints when it is run without a command.
///
/// The first line is exactly that of the reference: nerdctl looks for it as a line of its own, and
/// Nomad takes the first version that it finds as the plugin's. Both decide by that version which
/// features the plugin has.
pub(crate) fn about(manual: &Manual) -> String {
    let Manual { name, version, suite, stands_for, summary, .. } = manual;
    let release = if stands_for.is_empty() { version } else { stands_for };
    let own = if suite.is_empty() { String::new() } else { format!("{suite} {version}: ") };
    format!(
        "CNI {name} plugin v{release}\n{own}{summary}\nCNI protocol versions supported: {}\n\
         This program is run by container runtimes. By hand: {name} --help\n",
        versions(manual.versions),
    )
}

/// `--version`
pub(crate) fn version(manual: &Manual) -> String {
    let Manual { name, version, suite, stands_for, versions: spoken, .. } = manual;
    let suite = if suite.is_empty() { String::new() } else { format!(" ({suite})") };
    let release = match *stands_for {
        "" => String::new(),
        release => format!(", in place of the reference's {release}"),
    };
    format!("{name}{suite} {version}{release}, CNI {}\n", versions(spoken))
}

/// `--help`
pub(crate) fn help(manual: &Manual) -> String {
    let mut text = format!(
        "{} {}.\n\nContainer runtimes run it by the CNI protocol: CNI_COMMAND and more in the environment, the network \
         configuration on stdin, the answer on stdout. By hand, use cnitool, or:\n\n  \
         CNI_COMMAND=VERSION {0}\n\n",
        manual.name, manual.summary
    );
    text = wrap(&text, 0);
    text += "Options:\n  --help     this text\n  --schema   the JSON Schema of the configuration\n  \
             --version  the version of this program, and of the protocol\n";
    if !manual.sync.is_empty() {
        text += "\nCommand:\n  sync [FILE]\n";
        text += &wrap(
            &format!(
                "{}. FILE is a network configuration, or a list with this plugin in it; without one it is read from \
                 stdin.\n",
                manual.sync
            ),
            6,
        );
    }
    // The schema is part of the program; one that is not JSON has no keys to show.
    let schema: Value = serde_json::from_str(manual.schema).unwrap_or_default();
    let mut keys = String::new();
    describe(&schema, &schema, 0, &mut keys);
    if !keys.is_empty() {
        text += &format!("\nKeys of the configuration:\n{keys}");
    }
    text
}

/// Writes the keys of a schema's object, and of the objects in it.
fn describe(schema: &Value, root: &Value, depth: usize, text: &mut String) {
    let Some(properties) = resolve(schema, root).get("properties").and_then(Value::as_object)
    else {
        return;
    };
    let indent = 2 + depth * 2;
    for (key, property) in properties {
        let target = resolve(property, root);
        let description = property.get("description").or_else(|| target.get("description"));
        let description = description.and_then(Value::as_str).unwrap_or_default();
        *text += &format!("{:indent$}{key}  {}\n", "", kind(property, root));
        if !description.is_empty() {
            *text += &wrap(&format!("{}\n", description.replace('\n', " ")), indent + 4);
        }
        if depth < 3 {
            describe(element(property, root), root, depth + 1, text);
        }
    }
}

/// What a property is: `string`, `integer, default 0`, `list of objects`.
fn kind(property: &Value, root: &Value) -> String {
    let target = resolve(property, root);
    let name = match type_of(target) {
        "array" => format!("list of {}s", type_of(element(property, root))),
        name => name.to_owned(),
    };
    match property.get("default") {
        None | Some(Value::Null | Value::Object(_)) => name,
        Some(default) => format!("{name}, default {default}"),
    }
}

fn type_of(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(name)) => name,
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or("value")
        }
        _ if schema.get("enum").is_some() => "string",
        _ if schema.get("properties").is_some() => "object",
        _ => "value",
    }
}

/// The innermost element of lists; otherwise the schema itself.
fn element<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let schema = resolve(schema, root);
    schema.get("items").map_or(schema, |items| element(items, root))
}

/// Follows `$ref`, also inside `anyOf` as optional keys have it.
fn resolve<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let one_of = schema.get("anyOf").and_then(Value::as_array);
    let schema = one_of.and_then(|options| options.first()).unwrap_or(schema);
    match schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#')) {
        Some(path) => root.pointer(path).unwrap_or(schema),
        None => schema,
    }
}

fn versions(versions: &[Version]) -> String {
    versions.iter().map(Version::to_string).collect::<Vec<_>>().join(", ")
}

/// Breaks lines at spaces, each indented.
fn wrap(text: &str, indent: usize) -> String {
    let mut wrapped = String::new();
    for line in text.lines() {
        let mut width = 0;
        for word in line.split_inclusive(' ') {
            if width == 0 || width + word.trim_end().len() > WIDTH - indent {
                if width != 0 {
                    wrapped.truncate(wrapped.trim_end().len());
                    wrapped.push('\n');
                }
                wrapped.push_str(&" ".repeat(indent));
                width = 0;
            }
            wrapped.push_str(word);
            width += word.len();
        }
        wrapped.push('\n');
    }
    wrapped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_from_the_schema() {
        let schema = r##"{
            "properties": {
                "mtu": { "description": "The largest packet.", "type": "integer", "default": 0 },
                "ipam": { "anyOf": [{ "$ref": "#/$defs/Ipam" }, { "type": "null" }], "description": "Addresses." }
            },
            "$defs": { "Ipam": { "properties": {
                "ranges": { "type": "array", "items": { "type": "array", "items": { "type": "string" } } }
            } } }
        }"##;
        let text = help(&Manual::new("demo", "2.0.1", "shows keys", schema));
        let keys = text.split("Keys of the configuration:\n").nth(1).unwrap();
        assert_eq!(
            keys,
            "  ipam  object\n      Addresses.\n    ranges  list of strings\n  mtu  integer, default 0\n      \
             The largest packet.\n"
        );
    }

    #[test]
    fn the_first_line_is_the_references() {
        let first = |manual: &Manual| {
            let text = about(manual);
            text.lines().take(2).map(str::to_owned).collect::<Vec<_>>()
        };
        let manual = Manual::new("demo", "2.0.1", "shows keys", "{}");
        assert_eq!(first(&manual), ["CNI demo plugin v2.0.1", "shows keys"]);
        let manual = manual.of_suite("demos");
        assert_eq!(first(&manual), ["CNI demo plugin v2.0.1", "demos 2.0.1: shows keys"]);
        let manual = manual.standing_for("1.9.1");
        assert_eq!(first(&manual), ["CNI demo plugin v1.9.1", "demos 2.0.1: shows keys"]);
    }

    #[test]
    fn lines_are_wrapped_at_spaces() {
        let long = "word ".repeat(60);
        assert!(
            wrap(&long, 4).lines().all(|line| line.len() <= WIDTH && line.starts_with("    word"))
        );
    }
}
