//! JSON as the CNI world reads it: by Go's rules, which every configuration in the field was written against.
//!
//! Keys of a struct match without regard to case, `null` leaves the default, unknown keys are ignored, and of
//! duplicate keys the last wins. See [`from_value`] for where this reaches and where it does not.

use std::fmt;
use std::iter::Enumerate;

use serde::Serialize;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Unexpected,
    Visitor,
};
use serde_json::{Map, Value};

use crate::{Error, Result, code};

/// The largest document [`parse`] takes, in bytes. A network configuration is a few kilobytes; GC lists every attachment
/// of a node, at about 200 bytes each.
pub const MAX_BYTES: usize = 8 << 20;

/// Reads one JSON object.
///
/// ```
/// assert!(libcni::json::parse(br#"{"name": "pods"}"#).is_ok());
/// assert!(libcni::json::parse(br#"{"name": "pods"} and more"#).is_err());
/// assert!(libcni::json::parse(b"[]").is_err());
/// ```
///
/// # Errors
///
/// [`code::DECODE_FAILURE`] if `bytes` are more than [`MAX_BYTES`], no UTF-8 text, no JSON, nested deeper than 128
/// levels, not an object, or followed by something else.
pub fn parse(bytes: &[u8]) -> Result<Value> {
    let bad = |msg: String| Error::new(code::DECODE_FAILURE, msg);
    if bytes.len() > MAX_BYTES {
        return Err(bad(format!("the document is larger than {MAX_BYTES} bytes")));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| bad(error.to_string()))?;
    let value: Value = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
    match value {
        Value::Object(_) => Ok(value),
        other => Err(bad(format!("expected a JSON object, found {}", kind(&other)))),
    }
}

/// Looks up `key` in an object without regard to case; an exact match is preferred. `null` counts as absent.
///
/// ```
/// let config = serde_json::json!({ "ISGATEWAY": true, "mtu": null });
/// assert_eq!(libcni::json::get(&config, "isGateway"), Some(&serde_json::Value::Bool(true)));
/// assert_eq!(libcni::json::get(&config, "mtu"), None);
/// ```
pub fn get<'a>(value: &'a Value, key: &str) -> Option<&'a Value> {
    lookup(value.as_object()?, key)
}

/// Turns a JSON value into a type of one's own, struct keys matched without regard to case at every level.
///
/// Where serde buffers a value before it knows its type (`flatten`, `untagged` and internally tagged enums), keys have to
/// match exactly, because there serde does not say which keys it looks for.
///
/// ```
/// #[derive(serde::Deserialize)]
/// #[serde(rename_all = "camelCase", default)]
/// #[derive(Default)]
/// struct Config {
///     is_gateway: bool,
///     mtu: u32,
/// }
///
/// let config: Config = libcni::json::from_value(&serde_json::json!({ "IsGateway": true, "mtu": null }))?;
/// assert!(config.is_gateway);
///
/// let error = libcni::json::from_value::<Config>(&serde_json::json!({ "mtu": "big" })).err().unwrap();
/// assert_eq!(error.msg, r#"mtu: invalid type: string "big", expected u32"#);
/// # Ok::<(), libcni::Error>(())
/// ```
///
/// # Errors
///
/// [`code::DECODE_FAILURE`], with the path of the key that has a wrong value.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T> {
    let read = T::deserialize(Node(value));
    read.map_err(|misfit| Error::new(code::DECODE_FAILURE, misfit.to_string()))
}

/// Writes JSON as the reference plugins do: four spaces, no newline at the end, `<`, `>` and `&` escaped.
///
/// # Errors
///
/// [`code::INTERNAL`] if the value cannot be JSON.
pub fn pretty(value: &impl Serialize) -> Result<String> {
    let mut text = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    value
        .serialize(&mut serde_json::Serializer::with_formatter(&mut text, format))
        .map_err(|error| Error::internal(format!("failed to write JSON: {error}")))?;
    // These stand only in strings, so that they can be replaced in the finished text.
    let text = String::from_utf8_lossy(&text);
    Ok(text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"))
}

/// A value that does not fit, and where it is: `ipam.ranges[0][1].subnet`. The path grows from its end, on the way out.
#[derive(Debug)]
struct Misfit(Box<(String, serde_json::Error)>);

impl Misfit {
    /// The same, seen from where `step` leads to it.
    fn behind(mut self, step: &str) -> Misfit {
        let path = &mut self.0.0;
        let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
        *path = [step, dot, path].concat();
        self
    }
}

impl From<serde_json::Error> for Misfit {
    fn from(error: serde_json::Error) -> Misfit {
        Misfit(Box::new((String::new(), error)))
    }
}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(what: T) -> Misfit {
        serde_json::Error::custom(what).into()
    }
}

impl std::error::Error for Misfit {}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, error) = &*self.0;
        if path.is_empty() { write!(f, "{error}") } else { write!(f, "{path}: {error}") }
    }
}

/// A value that knows the rules of this module.
#[derive(Clone, Copy)]
struct Node<'a>(&'a Value);

/// Leaves a type to `serde_json`, which is right for everything that has no struct inside.
macro_rules! as_serde_json {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            Ok(self.0.$method(visitor)?)
        }
    )*};
}

/// Goes by what the value is.
macro_rules! as_found {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            self.deserialize_any(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Node<'de> {
    type Error = Misfit;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Object(object) => visitor.visit_map(Fields { object, fields, found: None }),
            // A list would be taken for the fields in their order of declaration.
            Value::Array(_) => Err(de::Error::invalid_type(Unexpected::Seq, &visitor)),
            other => Ok(other.deserialize_any(visitor)?),
        }
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Object(object) => {
                visitor.visit_map(Entries { rest: object.iter(), found: None })
            }
            Value::Array(items) => visitor.visit_seq(Items(items.iter().enumerate())),
            other => Ok(other.deserialize_any(visitor)?),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        Ok(self.0.deserialize_enum(name, variants, visitor)?)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        Ok(self.0.deserialize_unit_struct(name, visitor)?)
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.deserialize_any(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.deserialize_any(visitor)
    }

    as_found! { deserialize_seq deserialize_map }

    as_serde_json! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32
        deserialize_f64 deserialize_char deserialize_str deserialize_string deserialize_bytes
        deserialize_byte_buf deserialize_unit deserialize_identifier deserialize_ignored_any
    }
}

/// The fields of a struct that an object has.
struct Fields<'de> {
    object: &'de Map<String, Value>,
    fields: &'static [&'static str],
    found: Option<(&'de str, &'de Value)>,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Self::Error> {
        while let Some((field, rest)) = self.fields.split_first() {
            self.fields = rest;
            if let Some(value) = lookup(self.object, field) {
                self.found = Some((field, value));
                return seed.deserialize(de::value::BorrowedStrDeserializer::new(field)).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Self::Error> {
        let (key, value) = self.found.take().unwrap_or(("", &Value::Null));
        seed.deserialize(Node(value)).map_err(|misfit| misfit.behind(key))
    }
}

/// The entries of an object that stays a map: its keys are data, their case is kept.
struct Entries<'de> {
    rest: serde_json::map::Iter<'de>,
    found: Option<(&'de str, &'de Value)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Self::Error> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.found = Some((key, value));
        seed.deserialize(de::value::BorrowedStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, Self::Error> {
        let (key, value) = self.found.take().unwrap_or(("", &Value::Null));
        seed.deserialize(Node(value)).map_err(|misfit| misfit.behind(key))
    }
}

/// The items of a list.
struct Items<'de>(Enumerate<std::slice::Iter<'de, Value>>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Self::Error> {
        let Some((index, item)) = self.0.next() else { return Ok(None) };
        let read = seed.deserialize(Node(item)).map(Some);
        read.map_err(|misfit| misfit.behind(&format!("[{index}]")))
    }
}

fn lookup<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    object
        .get(key)
        .or_else(|| {
            let same = |(found, _): &(&String, _)| found.eq_ignore_ascii_case(key);
            object.iter().rev().find(same).map(|(_, value)| value)
        })
        .filter(|value| !value.is_null())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Net {
        is_gateway: bool,
        mtu: u16,
        vlan: Option<u16>,
        ipam: Ipam,
        capabilities: BTreeMap<String, bool>,
        free: Value,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Ipam {
        ranges: Vec<Vec<Range>>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Range {
        subnet: ipnetwork::IpNetwork,
        range_start: Option<std::net::IpAddr>,
    }

    #[test]
    fn keys_match_in_any_case_at_every_level() {
        let value = json!({"ISGATEWAY": true, "Mtu": 9, "VLAN": 4, "Ipam": {"RANGES": [[{"Subnet": "10.0.0.0/8",
            "rangestart": "10.0.0.5"}]]}});
        let net: Net = from_value(&value).unwrap();
        assert!(net.is_gateway);
        assert_eq!((net.mtu, net.vlan), (9, Some(4)));
        assert_eq!(net.ipam.ranges[0][0].range_start, Some("10.0.0.5".parse().unwrap()));
    }

    #[test]
    fn the_exact_key_is_preferred_and_null_is_absent() {
        let net: Net = from_value(&json!({"MTU": 1, "mtu": 2, "Mtu": 3, "ipam": null})).unwrap();
        assert_eq!(net.mtu, 2);
        let net: Net = from_value(&json!({"mtu": null, "vlan": null, "other": [1]})).unwrap();
        assert_eq!(net, Net::default());
    }

    #[test]
    fn keys_of_maps_and_free_values_stay_as_they_are() {
        let net: Net =
            from_value(&json!({"capabilities": {"portMappings": true}, "free": {"MTU": [null]}}))
                .unwrap();
        assert!(net.capabilities.contains_key("portMappings"));
        assert_eq!(net.free, json!({"MTU": [null]}));
    }

    #[test]
    fn errors_name_the_key() {
        let wrong = |value: Value| from_value::<Net>(&value).unwrap_err().msg;
        assert_eq!(wrong(json!({"MTU": -1})), "mtu: invalid value: integer `-1`, expected u16");
        assert_eq!(
            wrong(json!({"mtu": 1.5})),
            "mtu: invalid type: floating point `1.5`, expected u16"
        );
        assert_eq!(
            wrong(json!({"ipam": {"ranges": [[{"subnet": "10.0.0.0/8"}, {"subnet": 3}]]}})),
            "ipam.ranges[0][1].subnet: invalid type: integer `3`, expected a string"
        );
        assert_eq!(
            wrong(json!({"ipam": []})),
            "ipam: invalid type: sequence, expected struct Ipam"
        );
        assert_eq!(
            wrong(json!({"ipam": {"ranges": [[{}]]}})),
            "ipam.ranges[0][0]: missing field `subnet`"
        );
        assert_eq!(wrong(json!("x")), "invalid type: string \"x\", expected struct Net");
    }

    #[test]
    fn documents_are_bounded_and_whole() {
        let msg = |bytes: &[u8]| {
            let error = parse(bytes).unwrap_err();
            assert_eq!(error.code, code::DECODE_FAILURE);
            error.msg
        };
        assert!(msg(&vec![b' '; MAX_BYTES + 1]).contains("larger than 8388608 bytes"));
        assert!(msg(b"").contains("EOF"));
        assert!(msg(b"{\"a\": 1").contains("EOF"));
        assert!(msg(b"{} x").contains("trailing"));
        assert!(msg(b"{\"\xff\": 1}").contains("utf-8"));
        assert!(msg(b"[1]").contains("found a list"));
        assert!(msg(format!("{}{}", "{\"a\":".repeat(200), "1}").as_bytes()).contains("recursion"));
        assert_eq!(parse(br#"{"a": 1, "a": 2}"#).unwrap(), json!({"a": 2}));
    }
}
