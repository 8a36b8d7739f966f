//! The manual at the head of a plugin's source: its schema and its example stay true because a test compares them.

use serde_json::Value;

/// Checks that a plugin's committed schema is the one of its keys, and that the example in its source is a
/// configuration by that schema. With `UPDATE_DOCS=1` the schema's file is written first.
///
/// # Panics
///
/// If either is not so.
#[track_caller]
pub fn assert_manual(source: &str, schema: &Value, committed: &str, file: &str) {
    let schema_text = format!("{}\n", serde_json::to_string_pretty(&sorted(schema)).unwrap());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(file, &schema_text).unwrap();
    }
    assert_eq!(
        committed, schema_text,
        "{file}: run this test once with UPDATE_DOCS=1, then build again"
    );
    jsonschema::validate(schema, &example(source))
        .unwrap_or_else(|error| panic!("the example: {error}"));
}

/// The same value, its keys in alphabetical order: otherwise their order depends on the features of `serde_json` that some
/// crate of the build asks for.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(keys) => {
            let mut keys: Vec<_> =
                keys.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            keys.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(keys.into_iter().collect())
        }
        Value::Array(values) => values.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// The first block of JSON in a source's module documentation.
///
/// # Panics
///
/// If there is none.
#[track_caller]
pub fn example(source: &str) -> Value {
    let lines = source.lines().skip_while(|line| *line != "//! ```json").skip(1);
    let lines = lines.take_while(|line| *line != "//! ```");
    let text: String = lines.map(|line| line.trim_start_matches("//!")).collect();
    serde_json::from_str(&text).expect("an example in JSON at the head of the source")
}
