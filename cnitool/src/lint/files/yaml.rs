//! A YAML reader that covers what Kubernetes objects need.

use saphyr_parser::{Event, Parser};
use serde_json::{Map, Value};

/// The maximum depth of nested values, and the maximum number of values.
const DEEPEST: usize = 64;
const MOST: usize = 1_000_000;

/// Why a text is not YAML, and the position in bytes.
pub struct Refused {
    pub why: String,
    pub at: usize,
}

/// The documents of a text. All scalars become text, because callers read only keys and names.
/// Aliases are not resolved.
pub fn documents(text: &str) -> Result<Vec<Value>, Refused> {
    let (mut documents, mut open): (Vec<Value>, Vec<Open>) = (Vec::new(), Vec::new());
    for (count, event) in Parser::new_from_str(text).enumerate() {
        let (event, span) = event.map_err(|error| Refused {
            why: error.info().to_owned(),
            at: offset(text, error.marker().index()),
        })?;
        if count > MOST || open.len() > DEEPEST {
            let at = offset(text, span.start.index());
            return Err(Refused { why: "it is too large, or nested too deeply".to_owned(), at });
        }
        let value = match event {
            Event::Scalar(text, ..) => Value::String(text.into_owned()),
            Event::Alias(_) => Value::Null,
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Object(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items)) => Value::Array(items),
                Some(Open::Object(members, _)) => Value::Object(members),
                None => continue,
            },
            _ => continue,
        };
        match open.last_mut() {
            Some(Open::List(items)) => items.push(value),
            Some(Open::Object(members, key)) => match key.take() {
                Some(key) => drop(members.insert(key, value)),
                None => *key = Some(value.as_str().unwrap_or_default().to_owned()),
            },
            None => documents.push(value),
        }
    }
    Ok(documents)
}

/// A value that is not complete yet; for an object also the key whose value comes next.
enum Open {
    List(Vec<Value>),
    Object(Map<String, Value>, Option<String>),
}

/// The byte offset of a character.
fn offset(text: &str, character: usize) -> usize {
    text.char_indices().nth(character).map_or(text.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn documents_become_values() {
        let text = "a: &x 1\nb:\n- 'c'\n- {d: e}\n- *x\n---\nconfig: |\n  {\n    \"f\": 1\n  }\n";
        let expected = [
            json!({ "a": "1", "b": ["c", { "d": "e" }, null] }),
            json!({ "config": "{\n  \"f\": 1\n}\n" }),
        ];
        assert_eq!(documents(text).ok().unwrap(), expected);
        assert_eq!(documents("a: [").err().unwrap().at, 4);
        assert!(documents(&"[".repeat(1000)).is_err());
    }

    proptest! {
        #[test]
        fn any_text(text in "[a\u{e9}{}\\[\\]:,&*|>'\"#!%@`?\\-\n\r\t 0-9.]{0,60}") {
            if let Err(refused) = documents(&text) {
                prop_assert!(text.is_char_boundary(refused.at));
            }
        }
    }
}
