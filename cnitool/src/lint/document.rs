//! A JSON document with the position of each value.

use crate::lint::problem::At;

/// A value.
#[derive(Debug, Clone)]
pub struct Node {
    pub at: At,
    pub value: Value,
}

#[derive(Debug, Clone)]
pub enum Value {
    Null,
    Bool(bool),
    /// The number as written, because the permitted range depends on the key.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Object(Vec<Member>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub struct Member {
    pub key: String,
    pub key_at: At,
    pub node: Node,
}

impl Node {
    /// The member of a key, as plugins find it: in any case, with preference for an exact match;
    /// the last of several; `null` counts as absent.
    pub fn member(&self, key: &str) -> Option<&Member> {
        let Value::Object(members) = &self.value else { return None };
        let exact = members.iter().rev().find(|member| member.key == key);
        let any = || members.iter().rev().find(|member| member.key.eq_ignore_ascii_case(key));
        exact.or_else(any).filter(|member| !matches!(member.node.value, Value::Null))
    }

    /// The member of a key of a list, as libcni finds it: with the exact key, and the last of
    /// several. `null` counts as absent here, because another check reports it.
    pub fn exact(&self, key: &str) -> Option<&Member> {
        let last = self.members().iter().rev().find(|member| member.key == key);
        last.filter(|member| !matches!(member.node.value, Value::Null))
    }

    /// Whether a switch of a list is on: `true`, or the word in any case.
    pub fn is_switched_on(&self, key: &str) -> bool {
        match self.exact(key).map(|member| &member.node.value) {
            Some(Value::Bool(on)) => *on,
            Some(Value::Text(word)) => word.eq_ignore_ascii_case("true"),
            _ => false,
        }
    }

    /// Whether the object has this key in any case, even with `null`.
    pub fn has(&self, key: &str) -> bool {
        self.members().iter().any(|member| member.key.eq_ignore_ascii_case(key))
    }

    /// The value of a key. See [`Node::member`].
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.member(key).map(|member| &member.node)
    }

    /// The text of a key, if it is text.
    pub fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key)?.text()
    }

    /// Whether a key is `true`.
    pub fn is_on(&self, key: &str) -> bool {
        matches!(self.get(key), Some(Node { value: Value::Bool(true), .. }))
    }

    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a list; empty for any other value.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The members of an object; empty for any other value.
    pub fn members(&self) -> &[Member] {
        match &self.value {
            Value::Object(members) => members,
            _ => &[],
        }
    }

    pub fn is_object(&self) -> bool {
        matches!(self.value, Value::Object(_))
    }

    /// The value as a whole number, if it is one.
    pub fn integer(&self) -> Option<i128> {
        match &self.value {
            Value::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The type of the value, in words.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(text) if text.contains(['.', 'e', 'E']) => "a number with a fraction",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
        }
    }

    /// The value as text for a sentence.
    pub fn shown(&self) -> String {
        match &self.value {
            Value::Null => "null".to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Number(text) => text.clone(),
            Value::Text(text) if text.chars().count() > 60 => {
                format!("{:?}", text.chars().take(57).chain("...".chars()).collect::<String>())
            }
            Value::Text(text) => format!("{text:?}"),
            Value::List(_) => "[..]".to_owned(),
            Value::Object(_) => "{..}".to_owned(),
        }
    }

    /// The value for JSON libraries; numbers that they cannot represent become 0.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(text) => serde_json::from_str(text).unwrap_or(Json::from(0)),
            Value::Text(text) => Json::String(text.clone()),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Object(members) => {
                members.iter().map(|it| (it.key.clone(), it.node.to_json())).collect()
            }
        }
    }
}

/// The path of a key of an object.
pub fn path_of(parent: &str, key: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_-/".contains(c);
    match (parent, !key.is_empty() && key.chars().all(is_word)) {
        ("", true) => key.to_owned(),
        (_, true) => format!("{parent}.{key}"),
        (_, false) => format!("{parent}[{key:?}]"),
    }
}
