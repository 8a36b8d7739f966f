//! A plugin's manual: the schema and the example in its source, which a test compares with its
//! keys.

use serde_json::Value;

/// Checks that the committed schema of a plugin matches its keys, and that the example in its
/// source is valid by that schema. `UPDATE_DOCS=1` first writes the schema's file.
///
/// # Panics
///
/// If one of them does not match.
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

/// The value with sorted keys, and with descriptions without line breaks. Otherwise the order would
/// depend on the features of `serde_json` that other crates of the build enable, and the
/// descriptions on how comments are wrapped.
fn sorted(value: &Value) -> Value {
    let inner = |key: &str, value: &Value| match (key, value) {
        ("description", Value::String(text)) => unwrapped(text).into(),
        (_, value) => sorted(value),
    };
    match value {
        Value::Object(keys) => {
            let mut keys: Vec<_> =
                keys.iter().map(|(key, value)| (key.clone(), inner(key, value))).collect();
            keys.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(keys.into_iter().collect())
        }
        Value::Array(values) => values.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

/// The text with each paragraph on one line.
fn unwrapped(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// The first JSON block in the module documentation of a source file.
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
